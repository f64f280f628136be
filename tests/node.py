"""Node, and what `npm ci` installs for it beside a package-lock.json."""

import os
import platform
import shutil
import sys
from pathlib import Path

import pytest


def node_with(folder: Path, untested: str) -> str:
    """The program that runs what is installed in `folder`. Where either is missing the test is skipped, and `untested`
    says aloud what that leaves out; in CI, where both can be installed, it fails."""
    beside_python = str(Path(sys.executable).parent)
    node = shutil.which("node", path=os.pathsep.join([beside_python, os.environ.get("PATH", os.defpath)]))
    if node is not None and (folder / "node_modules").is_dir():
        return node
    place = folder.relative_to(Path(__file__).parent.parent)
    reason = "there is no node on PATH" if node is None else f"`npm ci` in {place} has not been run"
    if os.environ.get("CI") == "true" and platform.machine() == "x86_64":
        pytest.fail(reason)
    pytest.skip(f"{untested}: {reason}")
