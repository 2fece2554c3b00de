"""Lesion maps that are drawn, so that their lesions are known."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 256
KINDS = ("microaneurysms", "haemorrhages", "hard_exudates", "soft_exudates", "optic_disc")
Spot = tuple[str, float, float, float, float]
"""Kind, x, y, radius and probability of a lesion."""


def whole_field(side: int = SIDE) -> NDArray[np.bool_]:
    """Returns a field of view that fills the square."""
    disc = np.zeros((side, side), np.uint8)
    cv2.circle(disc, (side // 2, side // 2), side // 2 - 1, 1, -1)
    return np.asarray(disc > 0)


def draw_maps(spots: Sequence[Spot], side: int = SIDE, kinds: Sequence[str] = KINDS) -> NDArray[np.uint8]:
    """Draws round lesions with a constant probability."""
    maps = np.zeros((len(kinds), side, side), np.uint8)
    for kind, x, y, radius, probability in spots:
        rows, columns = np.ogrid[:side, :side]
        maps[kinds.index(kind)][np.hypot(columns - x, rows - y) <= radius] = round(255 * probability)
    return maps
