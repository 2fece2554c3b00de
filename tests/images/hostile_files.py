"""Small files that promise much: pages, pixels, scans and entries of palettes."""

from __future__ import annotations

import io
import re
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def many_pages(count: int, side: int = 32) -> bytes:
    """A TIFF whose pages all show the same strip."""
    entries: tuple[tuple[int, int, int], ...] = (
        (256, 3, side),
        (257, 3, side),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 0),
        (277, 3, 1),
    )
    entries += ((278, 3, side), (279, 4, side * side))
    length = 2 + 12 * len(entries) + 4
    pages = []
    for page in range(count):
        directory = struct.pack("<H", len(entries))
        for tag, kind, value in entries:
            value = 8 + length * count if tag == 273 else value
            directory += struct.pack("<HHII" if kind == 4 else "<HHIHxx", tag, kind, 1, value)
        pages.append(directory + struct.pack("<I", 8 + length * (page + 1) if page < count - 1 else 0))
    return b"II*\0" + struct.pack("<I", 8) + b"".join(pages) + bytes([120]) * side * side


def run_length_bmp(width: int, height: int) -> bytes:
    """A run-length BMP of one pixel and jumps to the last row."""
    jumps = b"\x01\x64" + b"\0\2\0\xff" * (height // 255) + b"\0\2\0" + bytes([height % 255]) + b"\0\1"
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256))
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(jumps), 0, 0, 256, 0)
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(jumps), 0, 0, start) + header + palette + jumps


def plain(kind: str, width: int, height: int, mode: str = "RGB", **options: object) -> bytes:
    """A picture of one colour."""
    stream = io.BytesIO()
    Image.new(mode, (width, height), 120 if mode in "LP" else (180, 90, 40)).save(stream, kind, **options)
    return stream.getvalue()


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scans refine nothing."""
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    start = data.rindex(b"\xff\xda")
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, data[start + 5], data[start + 6], 1, 63, 0) + bytes(8)
    return data[:-2] + scan * count + b"\xff\xd9"


def with_restarts(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    """A JPEG with restart markers; Pillow's options say how many."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=80, **options)
    return stream.getvalue()


def with_stray_bytes(data: bytes, *marks: int, stray: bytes = b"\x12\x34") -> bytes:
    """Puts stray bytes before the restart markers with these numbers."""
    scan = data.index(b"\xff\xda")
    places = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data) if found.start() > scan]
    for mark in sorted(marks, reverse=True):
        data = data[: places[mark]] + stray + data[places[mark] :]
    return data
