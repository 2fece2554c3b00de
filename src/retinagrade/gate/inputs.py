"""The gate's inputs: the whole picture, and its field of view, each in a black square of fixed size."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.images.field_of_view import FieldOfView

FRAME: Final = 64
"""Side, in pixels, of the input that shows the whole picture."""
SQUARE: Final = 256
"""Side, in pixels, of the input that shows the field of view."""


def gate_inputs(photograph: NDArray[np.uint8], fov: FieldOfView) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns the two pictures that the gate looks at.

    Training and grading both call this function. Nothing else prepares the pixels: the gate judges light, colour and
    detail as the camera gave them.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.
        fov: Its field of view; :func:`~retinagrade.images.field_of_view.whole_frame` where none was found.

    Returns:
        The whole picture (FRAME, FRAME, 3) and the field of view (SQUARE, SQUARE, 3), uint8, in the middle of black
        squares whose sides the longer sides fill.
    """
    left, top, right, bottom = fov.x, fov.y, fov.x + fov.width, fov.y + fov.height
    while max(right - left, bottom - top) >= 2 * SQUARE and min(right - left, bottom - top) > 1:  # for both pictures
        photograph = _halved(photograph)
        left, top, right, bottom = (length // 2 for length in (left, top, right, bottom))
    return letterbox(photograph, FRAME), letterbox(photograph[top:bottom, left:right], SQUARE)


def letterbox(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resizes a picture so that its longer side fills a black square.

    Args:
        pixels: RGB pixels (H, W, 3), uint8.
        side: Side of the square, in pixels.

    Returns:
        RGB pixels (side, side, 3), uint8.
    """
    while max(pixels.shape[:2]) >= 2 * side and min(pixels.shape[:2]) > 1:  # a mean of two is fast, any other is slow
        pixels = _halved(pixels)
    height, width = pixels.shape[:2]
    factor = side / max(height, width)
    height, width = max(1, round(height * factor)), max(1, round(width * factor))
    interpolation = cv2.INTER_LINEAR if factor < 1 else cv2.INTER_CUBIC
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + height, left : left + width] = cv2.resize(pixels, (width, height), interpolation=interpolation)
    return square


def _halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduces a picture to half its size; an odd last row or column is left out."""
    height, width = (length // 2 for length in pixels.shape[:2])
    even = pixels[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
