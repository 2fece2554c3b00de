"""Names of files that are made of ids: what any system can store, and what one file is on some of them."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from typing import Final

_FORBIDDEN: Final = frozenset('<>:"\\|?*')
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""Names that Windows takes for devices, whatever their suffix."""


def is_safe_id(image_id: str) -> bool:
    """Whether an id can be a file name within a folder, on all systems."""
    path = PurePosixPath(image_id)
    return (
        str(path) == image_id
        and not image_id.startswith("/")
        and not _FORBIDDEN & set(image_id)
        and image_id.isprintable()
        and not any(part.startswith(".") or _DEVICE.match(part) for part in path.parts)
    )


def safe_name(image_id: str) -> str:
    """Returns a path that stays within its folder, and that all systems can store, for any id.

    Example:
        >>> safe_name("../a:b/con"), safe_name("7_left")
        ('a_b/_con', '7_left')
    """
    parts = (part for part in image_id.split("/") if part.strip("."))
    shown = ("".join("_" if c in _FORBIDDEN or not c.isprintable() else c for c in part) for part in parts)
    return "/".join(f"_{part}" if _DEVICE.match(part) else part for part in shown)


def file_key(name: str) -> str:
    """Returns a key that is equal for names that are one file on disks that ignore case, or the form of accents."""
    return unicodedata.normalize("NFC", name).casefold()
