"""The mark in pictures that retinagrade makes, such as saliency overlays, so that nobody grades them as photographs.

Results in DICOM have the name of their maker. Prepared and synthetic photographs have no mark: they are photographs.
"""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Final

from retinagrade.images.formats import is_dicom

MARK: Final = "Made by retinagrade. Not a photograph."
"""The text of the mark: a comment in a JPEG, a text chunk in a PNG."""
_HEAD: Final = 4096
_SOURCE: Final = "Source: "
_MADE_IN_DICOM: Final = re.compile(rb"\x08\x00\x70\x00LO..retinagrade", re.DOTALL)
"""The element Manufacturer of our results."""
_APP0: Final = b"\xff\xe0"
_AFTER_HEADER: Final = 33  # a PNG's signature and its first chunk


def mark_jpeg(picture: bytes, source: str = "") -> bytes:
    """Puts the mark into a JPEG.

    Args:
        picture: The JPEG.
        source: Digest of the photograph that the picture was made from; empty where it was made from several.
    """
    start = 2
    if picture[start : start + 2] == _APP0:
        start += 2 + int.from_bytes(picture[start + 2 : start + 4], "big")
    text = _text(source)
    return picture[:start] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + picture[start:]


def mark_png(picture: bytes, source: str = "") -> bytes:
    """Puts the mark into a PNG; arguments as for :func:`mark_jpeg`."""
    chunk = b"tEXtComment\0" + _text(source)
    length, check = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return picture[:_AFTER_HEADER] + length + chunk + check + picture[_AFTER_HEADER:]


def is_own_picture(path: Path) -> bool:
    """Whether a file has the mark, or is a result in DICOM; a file that can't be read is neither."""
    return own_source(path) is not None


def own_source(path: Path) -> str | None:
    """Returns the digest of the photograph that a marked picture was made from, perhaps empty; else ``None``."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except (OSError, ValueError):
        return None
    if is_dicom(head):
        return "" if _MADE_IN_DICOM.search(head) else None
    _, found, rest = head.partition(MARK.encode())
    if not found or not head.startswith((b"\xff\xd8", b"\x89PNG")):
        return None
    _, named, source = rest.partition(_SOURCE.encode())
    return source.partition(b"\n")[0].decode("ascii", "replace") if named else ""


def _text(source: str) -> bytes:
    return f"{MARK}\n{_SOURCE}{source}\n".encode("ascii", "replace")
