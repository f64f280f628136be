"""`make vendor VERSION=…` takes the files of /docs out of the npm package, and runs nothing of it."""

import json
import subprocess
import sys
import tarfile
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

FOLDER = Path(str(files("duckycart"))) / "vendored" / "swagger-ui"
PACKAGE = "swagger-ui-dist"
NAMES = ("LICENSE", "NOTICE", "swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "swagger-ui.css")


def pinned() -> dict[str, str]:
    """Return the sum of each file, as it was when it was fetched."""
    sums: dict[str, str] = json.loads((FOLDER / "PINNED.json").read_text())["sha256"]
    return sums


def sums() -> dict[str, str]:
    """Return the sum of each file, as it is."""
    return {name: sha256((FOLDER / name).read_bytes()).hexdigest() for name in NAMES}


def fetch(version: str) -> None:
    """Put the files of that version in the place of the present ones. npm checks them against its registry's sums."""
    with TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, f"{PACKAGE}@{version}"]
        subprocess.run(command, check=True)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            for name in NAMES:
                file = package.extractfile(f"package/{name}")
                assert file is not None
                (FOLDER / name).write_bytes(file.read())
    pins = {"package": PACKAGE, "version": version, "sha256": sums()}
    (FOLDER / "PINNED.json").write_text(json.dumps(pins, indent=2) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1]:
        sys.exit("Which version? make vendor VERSION=5.35.0")
    fetch(sys.argv[1])
