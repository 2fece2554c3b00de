"""The content of folders, as digests that tests compare."""

from __future__ import annotations

import hashlib
from pathlib import Path


def file_digests(folder: Path) -> dict[str, str]:
    """Digests of all files of a folder by their relative paths, hidden files included."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def without_paths(digests: dict[str, str]) -> dict[str, str]:
    """Leaves the one file out that names paths, in the reasons why photographs could not be used."""
    return {name: digest for name, digest in digests.items() if name != "prepare.json"}
