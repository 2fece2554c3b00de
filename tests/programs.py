"""Programs that tests need and pip can't install: missing at home they skip a test, in CI they fail it."""

from __future__ import annotations

import os
import shutil

import pytest


def require_program(name: str, package: str) -> str:
    """The path of a program, or the end of the test.

    Args:
        name: The program.
        package: Debian's package of it.
    """
    path = shutil.which(name)
    if path is not None:
        return path
    missing = f"no {name} here: apt-get install {package}"
    if "CI" in os.environ:
        pytest.fail(missing)
    pytest.skip(missing)
