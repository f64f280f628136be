"""Libraries that are not among the tests' own, because some machines have no wheel of them."""

import importlib
import os
from typing import Any

import pytest


def library(name: str, what: str) -> Any:
    """The module. Where it is missing the test of `what` is skipped aloud; in CI, which installs it, the test fails."""
    try:
        return importlib.import_module(name)
    except ImportError:
        reason = f"{what} was NOT tested: pip install -r tests/clients/requirements.txt"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
