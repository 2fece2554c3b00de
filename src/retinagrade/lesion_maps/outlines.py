"""Outlines of lesions: polygons for programs, and pictures for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.lesion_maps.regions import CERTAIN, OUTLINED_ABOVE, Regions

COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "microaneurysms": (255, 64, 255),
    "haemorrhages": (64, 128, 255),
    "hard_exudates": (64, 255, 64),
    "soft_exudates": (0, 255, 255),
}
"""Colour of each kind's outlines, RGB. None of them is a colour of the retina."""
OTHER_COLOUR: Final = (255, 255, 255)
"""Colour of the outlines of all other kinds, RGB."""
_GAP: Final = 5
"""Pixels by which a drawn outline of one pixel is wider than its lesion, so that it doesn't cover it."""


@dataclass(frozen=True)
class Outline:
    """The outline of one lesion.

    Attributes:
        polygon: Points (P, 2), as x and y in pixels. Whole numbers are centres of pixels, so the line runs along the
            edges of the lesion's pixels.
        probability: Highest probability within the lesion, 0.5 to 1.
        area: Area, in pixels.
    """

    polygon: NDArray[np.float64]
    probability: float
    area: int


def outline_lesions(lesion_map: NDArray[np.uint8], regions: Regions, counted_from: float = CERTAIN) -> list[Outline]:
    """Finds the outlines of the lesions of one kind that are certain enough.

    Args:
        lesion_map: Probability of the lesion (H, W), 0 to 255.
        regions: The regions of the map.
        counted_from: Highest probability that a lesion must reach.

    Returns:
        One outline for each part of a lesion, around the pixels with a probability above one half; the largest first.
    """
    inside = mask_lesions(lesion_map, regions, counted_from).astype(np.uint8)
    if not inside.any():
        return []
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(inside)
    outlines = []
    for part in range(1, count):
        left, top, width, height, area = (int(value) for value in boxes[part])
        box = parts[top : top + height, left : left + width] == part
        row, column = np.argwhere(box)[0]
        peak = float(regions.peaks[regions.region_at(top + int(row), left + int(column))])
        outlines.append(Outline(_trace(box) + np.array([left, top]), peak, area))
    return sorted(outlines, key=lambda outline: -outline.area)


def mask_lesions(lesion_map: NDArray[np.uint8], regions: Regions, counted_from: float = CERTAIN) -> NDArray[np.bool_]:
    """Returns the pixels (H, W) within the outlines of :func:`outline_lesions`; same arguments."""
    return np.asarray(regions.mask(regions.peaks >= counted_from) & (lesion_map > OUTLINED_ABOVE), np.bool_)


def draw_outlines(
    photograph: NDArray[np.uint8], outlines: Mapping[str, Sequence[Outline]], width: int = 1
) -> NDArray[np.uint8]:
    """Draws outlines over a photograph, a little outside the lesions.

    Args:
        photograph: RGB pixels (S, S, 3), uint8.
        outlines: Outlines by kind, in pixels of the photograph.
        width: Width of a line, in pixels.

    Returns:
        RGB pixels (S, S, 3), uint8.
    """
    picture, gap = np.ascontiguousarray(photograph).copy(), _GAP + width // 2 * 2
    for kind, of_kind in outlines.items():
        filled = np.zeros(picture.shape[:2], np.uint8)
        for outline in of_kind:
            cv2.fillPoly(filled, [np.round(outline.polygon).astype(np.int32)], 1)
        wider = cv2.dilate(filled, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap)))
        found, _ = cv2.findContours(wider, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        without = picture.copy()
        cv2.drawContours(picture, found, -1, COLOURS.get(kind, OTHER_COLOUR), width, cv2.LINE_AA)
        np.copyto(picture, without, where=filled[..., None] == 1)  # a wide line may cover a small lesion
    return picture


def _trace(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns the outer edge (P, 2) of the one connected part of a mask, along the edges of its pixels."""
    # In a picture three times finer, the outermost pixels lie a sixth of a pixel from the edges.
    fine = np.repeat(np.repeat(inside.astype(np.uint8), 3, axis=0), 3, axis=1)
    found, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    longest = max(found, key=len)
    return np.asarray((longest[:, 0] - 1) / 3, np.float64)
