"""Provenance of results: versions, machine, command and time, for the record beside each result."""

from __future__ import annotations

import platform
import re
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from retinagrade import __version__

_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "simplejpeg",
    "pandas",
    "scikit-learn",
    "torch",
    "timm",
    "lightning",
)


class Provenance(BaseModel):
    """The circumstances of a result, as :func:`provenance_record` describes them.

    Attributes:
        versions: Versions of the packages that can change a result.
        platform: The operating system.
        command: The command line.
        finished: The time in UTC, ISO 8601.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    versions: dict[str, str]
    platform: str
    command: tuple[str, ...]
    finished: str


def installed_versions() -> dict[str, str]:
    """Returns the versions of retinagrade, Python and the libraries that can change a result; imports none of them."""
    versions = {"retinagrade": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def provenance_record() -> dict[str, Any]:
    """Returns the part that all records have in common: versions, platform, command line and time (UTC)."""
    return {
        "versions": installed_versions(),
        "platform": platform.platform(),
        "command": [_program(), *map(_without_password, sys.argv[1:])],
        "finished": utc_time(),
    }


def utc_time() -> str:
    """Returns the time (UTC), to the second, in ISO format."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _program() -> str:
    """Returns the name of the running program: ``retinagrade`` for its command line, else the file of a script."""
    name = Path(sys.argv[0]).name
    return "retinagrade" if name in ("", "__main__.py") else name


def _without_password(argument: str) -> str:
    """Hides the password in an argument that is a URL."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", argument)
