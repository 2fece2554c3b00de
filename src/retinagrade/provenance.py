"""What a result was made with: versions, machine and time, for the ``run.json`` beside every result."""

from __future__ import annotations

import platform
import re
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

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


def installed_versions() -> dict[str, str]:
    """Versions of retinagrade, Python and those libraries that can change a result; nothing is imported."""
    found = {"retinagrade": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def provenance_record() -> dict[str, Any]:
    """The part of a ``run.json`` that every command shares: versions, platform, command line and UTC time."""
    return {
        "versions": installed_versions(),
        "platform": platform.platform(),
        "command": ["retinagrade", *map(_without_password, sys.argv[1:])],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _without_password(argument: str) -> str:
    """An argument of a command that may be a URL, fit to be shown."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", argument)
