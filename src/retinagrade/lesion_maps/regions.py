"""The single lesions of a lesion map: connected pixels above a low probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

LEAST: Final = 38
"""Value of a map, 0 to 255, above which neighbouring pixels belong to one lesion: a probability of 0.15."""
CERTAIN: Final = 0.5
"""Highest probability that a region must reach to count as a lesion, unless a grade model has another limit."""
OUTLINED_ABOVE: Final = 127
"""Value of a map, 0 to 255, above which a pixel lies within a lesion's outline."""


@dataclass(frozen=True)
class Regions:
    """The connected regions of one map: R regions, of P pixels together, which are few of the map's pixels.

    Attributes:
        shape: Height and width of the map.
        pixels: Positions of all pixels (P,) in the map, row by row, in rising order.
        owners: Number of the region of each pixel (P,).
        peaks: Highest probability in each region (R,), 0 to 1.
        areas: Pixels of each region (R,).
        cores: Pixels of each region (R,) that are more probable than not: the area of its outline.
        centres: Centre of each region (R, 2), as x and y in pixels.
    """

    shape: tuple[int, int]
    pixels: NDArray[np.int64]
    owners: NDArray[np.int64]
    peaks: NDArray[np.float64]
    areas: NDArray[np.int64]
    cores: NDArray[np.int64]
    centres: NDArray[np.float64]

    def __len__(self) -> int:
        """Returns the number of regions."""
        return len(self.peaks)

    def mask(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Returns the pixels (H, W) of chosen regions (R,)."""
        mask = np.zeros(self.shape, np.bool_)
        mask.reshape(-1)[self.pixels[chosen[self.owners]]] = True
        return mask

    def region_at(self, row: int, column: int) -> int:
        """Returns the number of the region of a pixel, which must belong to one."""
        return int(self.owners[np.searchsorted(self.pixels, row * self.shape[1] + column)])


def find_regions(lesion_map: NDArray[np.uint8]) -> Regions:
    """Finds the connected regions of one map.

    Args:
        lesion_map: Probability of a lesion (H, W), 0 to 255, 0 outside the field of view.

    Returns:
        The regions above :data:`LEAST`, in no particular order.
    """
    lit = (lesion_map > LEAST).view(np.uint8)
    left, top, width, height = cv2.boundingRect(lit)
    box = np.s_[top : top + height, left : left + width]
    # OpenCV's statistics visit every pixel, and take ten times as long as the labels; few pixels are lit.
    count, labels = cv2.connectedComponents(lit[box]) if width else (1, np.zeros((0, 0), np.int32))
    places = np.flatnonzero(labels)
    rows, columns = np.divmod(places, max(1, width))
    owners, values = labels.reshape(-1)[places].astype(np.int64), lesion_map[box].reshape(-1)[places]
    rows, columns = rows + top, columns + left
    highest = np.zeros(count, np.uint8)
    np.maximum.at(highest, owners, values)
    areas = np.bincount(owners, minlength=count)[1:]
    sums = [np.bincount(owners, weights=each, minlength=count)[1:] for each in (columns, rows)]
    return Regions(
        lesion_map.shape[:2],
        rows * lesion_map.shape[1] + columns,
        owners - 1,
        highest[1:] / 255,
        areas,
        np.bincount(owners[values > OUTLINED_ABOVE], minlength=count)[1:],
        np.stack(sums, axis=1) / areas[:, None],
    )


def quadrants(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Returns the quadrant (R,) of points (R, 2) in a photograph: 0 upper left, 1 upper right, 2 and 3 below.

    Example:
        >>> quadrants(np.array([[10.0, 90.0]]), (100, 100)).tolist()
        [2]
    """
    return ((points[:, 0] > shape[1] / 2) + 2 * (points[:, 1] > shape[0] / 2)).astype(np.int64)


def distance_to_rim(inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Returns the distance (H, W) of each pixel from the rim of the field of view, or from the frame, in pixels."""
    bordered = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.distanceTransform(bordered, cv2.DIST_L2, 3)[1:-1, 1:-1], np.float32)
