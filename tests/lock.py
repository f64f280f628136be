"""The versions of the lock file, for an install of something else than the lock file itself."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def constraints(folder: Path) -> Path:
    """A file in the folder for pip's `--constraint`."""
    lock = (ROOT / "requirements.lock").read_text()
    versions = folder / "versions.txt"
    versions.write_text("".join(f"{line}\n" for line in re.findall(r"^(\S+==[^\\\n]+?) *\\?$", lock, re.MULTILINE)))
    return versions
