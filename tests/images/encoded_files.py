"""Encoded photographs of smooth colours, and a measure of how near two photographs are."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

AVIF = pytest.param("AVIF", marks=pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF"))


def gradient(height: int, width: int) -> NDArray[np.uint8]:
    """Smooth colours with no symmetry, so that JPEG loses little and any turn or swap shows."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return (np.stack([40 + 200 * x, 30 + 150 * y, 90 - 60 * x * y], axis=2)).astype(np.uint8)


def jpeg(pixels: NDArray[np.uint8], **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def encoded(pixels: NDArray[Any], kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **({"lossless": True} if kind == "WEBP" else {}), **options)
    return stream.getvalue()


def giant(kind: str, width: int, height: int) -> bytes:
    """A small file whose header promises ``width`` × ``height`` pixels."""
    data = bytearray(encoded(gradient(60, 90), kind))
    if kind == "JPEG":
        place = data.index(b"\xff\xc0")
        data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    elif kind == "PNG":
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif kind == "BMP":
        data[18:26] = struct.pack("<II", width, height)
    else:
        tags = Image.open(io.BytesIO(data)).tag_v2  # type: ignore[attr-defined]
        tags[256], tags[257] = width, height
        data[8:] = tags.tobytes(8) + bytes(data)
    return bytes(data)


def near(first: NDArray[Any], second: NDArray[Any], limit: float = 4) -> bool:
    return first.shape == second.shape and float(np.abs(first.astype(int) - second.astype(int)).mean()) < limit
