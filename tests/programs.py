"""Programs that tests need and pip can't install. Without one, a test is skipped, but fails in CI on Linux."""

from __future__ import annotations

import os
import shutil
import sys

import pytest


def require_program(name: str, package: str) -> str:
    """Returns the path of a program, or ends the test.

    Args:
        name: Name of the program.
        package: Debian package that contains it.
    """
    path = shutil.which(name)
    if path is not None:
        return path
    missing = f"no {name} here: apt-get install {package}"
    if "CI" in os.environ and sys.platform == "linux":
        pytest.fail(missing)
    pytest.skip(missing)
