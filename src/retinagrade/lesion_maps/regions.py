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
    """The connected regions of one map.

    Attributes:
        labels: Number of the region of each pixel (H, W), int32; -1 outside all regions.
        peaks: Highest probability in each region (R,), 0 to 1.
        areas: Pixels of each region (R,).
        cores: Pixels of each region (R,) that are more probable than not: the area of its outline.
        centres: Centre of each region (R, 2), as x and y in pixels.
    """

    labels: NDArray[np.int32]
    peaks: NDArray[np.float64]
    areas: NDArray[np.int64]
    cores: NDArray[np.int64]
    centres: NDArray[np.float64]

    def __len__(self) -> int:
        """Returns the number of regions."""
        return len(self.peaks)


def find_regions(lesion_map: NDArray[np.uint8]) -> Regions:
    """Finds the connected regions of one map.

    Args:
        lesion_map: Probability of a lesion (H, W), 0 to 255, 0 outside the field of view.

    Returns:
        The regions above :data:`LEAST`, in no particular order.
    """
    lit_pixels = lesion_map > LEAST
    # OpenCV's statistics visit every pixel, and take ten times as long as the labels; few pixels are lit.
    count, found = cv2.connectedComponents(lit_pixels.view(np.uint8))
    labels = np.asarray(found, np.int32)
    highest = np.zeros(count, np.uint8)
    lit = np.flatnonzero(lit_pixels)
    owners, values = labels.reshape(-1)[lit].astype(np.intp), lesion_map.reshape(-1)[lit]
    np.maximum.at(highest, owners, values)
    areas = np.bincount(owners, minlength=count)[1:]
    rows, columns = np.divmod(lit, lesion_map.shape[1])
    sums = [np.bincount(owners, weights=each, minlength=count)[1:] for each in (columns, rows)]
    return Regions(
        np.subtract(labels, 1, out=labels),
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
