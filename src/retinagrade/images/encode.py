"""Encoding as JPEG: of prepared photographs, and of pictures for people."""

from __future__ import annotations

from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

JPEG_QUALITY: Final = 95
"""JPEG quality of prepared photographs."""
_VIEW_QUALITY: Final = 90


def encode_prepared(square: NDArray[np.uint8]) -> bytes:
    """Encodes a prepared photograph as the JPEG that a prepared set stores.

    Args:
        square: RGB pixels (size, size, 3), uint8.
    """
    data: bytes = simplejpeg.encode_jpeg(square, JPEG_QUALITY, colorspace="RGB", colorsubsampling="444")
    return data


def encode_view(pixels: NDArray[np.uint8]) -> bytes:
    """Encodes a picture for people.

    Args:
        pixels: RGB pixels (H, W, 3), uint8.
    """
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), _VIEW_QUALITY, colorspace="RGB")
    return data
