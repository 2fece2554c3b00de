"""Detect and crop: the field of view of a fundus photograph, and the square around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from retinagrade.errors import ImageError

SEARCH_SIDE: Final = 320
"""Longer side, in pixels, of the copy in which the field of view is looked for."""
_SMALLEST_SHARE: Final = 0.1
"""A lit region under this share of the frame is a reflex, a label or noise, not a fundus."""
_LEVEL: Final = 0.12
"""Share of the way from background to bright retina above which a pixel counts as lit."""
_FAINTEST: Final = 6.0
"""Least difference, in grey levels, between background and retina."""


@dataclass(frozen=True)
class FieldOfView:
    """The lit region of a photograph.

    Attributes:
        x: Left edge of its bounding rectangle, in pixels of the photograph.
        y: Top edge.
        width: Width of the rectangle, in pixels.
        height: Height of the rectangle, in pixels.
        mask: True (h, w) where a reduced copy of the whole photograph is lit; holes are filled.
    """

    x: int
    y: int
    width: int
    height: int
    mask: np.ndarray

    @property
    def side(self) -> int:
        """Side of the square around it, in pixels."""
        return max(self.width, self.height)


def find_field_of_view(photograph: np.ndarray) -> FieldOfView:
    """Finds the lit disc of a fundus photograph (grey → threshold → bounding rectangle; report §2.1).

    Robust where a fixed threshold is not: the level lies between the photograph's own background and its own bright
    retina, so dark photographs work; the largest connected region counts, so hot pixels, sensor noise, date stamps
    and labels in the black don't widen the rectangle. A photograph that is lit to all its borders is its own field
    of view.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.

    Returns:
        The field of view.

    Raises:
        ImageError: Nothing is lit, or no lit region is large enough.
    """
    height, width = photograph.shape[:2]
    scale = min(1.0, SEARCH_SIDE / max(height, width))
    small_size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(photograph, small_size, interpolation=cv2.INTER_AREA)
    # The brightest channel: in a dark fundus only red is above the noise.
    grey = cv2.medianBlur(small.max(axis=2), 5)
    background, bright = np.percentile(grey, (1, 90))
    if bright - min(background, _FAINTEST) < _FAINTEST:
        raise ImageError("no field of view: the photograph is black")
    if background > bright / 2:
        lit = np.ones_like(grey)  # no dark frame around the retina
    else:
        lit = (grey > background + max(_LEVEL * (bright - background), _FAINTEST / 2)).astype(np.uint8)
        lit = cv2.morphologyEx(lit, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8), borderValue=0)
    region = _largest_region(lit)
    if region is None or region.mean() < _SMALLEST_SHARE:
        raise ImageError("no field of view: no lit region is large enough to be a fundus")
    x, y, w, h = cv2.boundingRect(region)
    # One pixel of the copy more on every side, so that rounding never takes retina away.
    left, right = _to_full(x - 1, w + 2, width / small_size[0], width)
    top, bottom = _to_full(y - 1, h + 2, height / small_size[1], height)
    return FieldOfView(left, top, right - left, bottom - top, region.astype(bool))


def crop_square(photograph: np.ndarray, fov: FieldOfView) -> np.ndarray:
    """Cuts the square around the field of view, black where it reaches beyond the photograph.

    The report cuts the rectangle down to a square. Where the camera has cut the disc at top and bottom, that takes
    retina from the sides, so here the short side is padded instead.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.
        fov: Its field of view.

    Returns:
        RGB pixels (side, side, 3), uint8.
    """
    square = np.zeros((fov.side, fov.side, *photograph.shape[2:]), photograph.dtype)
    top, left = (fov.side - fov.height) // 2, (fov.side - fov.width) // 2
    square[top : top + fov.height, left : left + fov.width] = photograph[
        fov.y : fov.y + fov.height, fov.x : fov.x + fov.width
    ]
    return square


def detect_and_crop(photograph: np.ndarray) -> np.ndarray:
    """Finds the field of view and cuts the square around it (report §2.1).

    Args:
        photograph: RGB pixels (H, W, 3), uint8.

    Returns:
        RGB pixels (S, S, 3), uint8; S is the longer side of the field of view.

    Raises:
        ImageError: No field of view.
    """
    return crop_square(photograph, find_field_of_view(photograph))


def _largest_region(lit: np.ndarray) -> np.ndarray | None:
    """The largest connected region, its holes filled, as uint8 (h, w)."""
    contours, _ = cv2.findContours(lit, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    region = np.zeros_like(lit)
    return cv2.drawContours(region, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)


def _to_full(start: int, length: int, factor: float, limit: int) -> tuple[int, int]:
    """First pixel and the one after the last of a stretch, in the full photograph."""
    return max(0, round(start * factor)), min(limit, round((start + length) * factor))
