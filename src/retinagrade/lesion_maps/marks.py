"""Marks of a camera, such as dust on its lens or sensor.

A mark looks like a small red lesion. It gives itself away, because it is at the same place in many photographs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.lesion_maps.numbers import RED_KINDS

_SHARE: Final = 0.05
"""Share of the photographs that have a red lesion where a mark is."""
_PHOTOGRAPHS: Final = 10
"""Fewer photographs show no mark, whatever their share."""
_CONTRAST: Final = 3.0
"""Number of red lesions at a mark, compared with the mean of its surroundings."""
_DEVIATIONS: Final = 6.0
"""Number of standard deviations (Poisson) by which a mark exceeds its surroundings: there are many places."""
_SURROUNDINGS: Final = 0.12
"""Side of a mark's surroundings, as a share of the frame's side."""
_RIM: Final = 0.006
"""Width of the rim around a mark, as a share of the frame's side."""


@dataclass(frozen=True)
class Mark:
    """One mark.

    Attributes:
        x: Distance of its middle from the left side of the frame, 0 to 1.
        y: Distance of its middle from the upper side of the frame, 0 to 1.
        photographs: Number of photographs that have a red lesion there.
    """

    x: float
    y: float
    photographs: int


class MarkFinder:
    """Finds the marks of a camera in the lesion maps of its photographs, one photograph after the other."""

    def __init__(self) -> None:
        """Begins without photographs."""
        self._count: NDArray[np.float32] | None = None
        self.photographs = 0
        """Number of photographs."""

    def add(self, red: NDArray[np.uint8]) -> None:
        """Adds a photograph.

        Args:
            red: Probability (S, S), 0 to 255, that a pixel belongs to a red lesion: a microaneurysm or a haemorrhage.
                All photographs have the same frame.
        """
        found = (red > 127).astype(np.float32)
        self._count = np.asarray(found if self._count is None else self._count + found, np.float32)
        self.photographs += 1

    def mask(self) -> NDArray[np.bool_] | None:
        """Returns True (S, S) at marks and their rims; ``None`` where there is no mark."""
        if self._count is None:
            return None
        side = self._count.shape[0]
        window, rim = (2 * round(share * side / 2) + 1 for share in (_SURROUNDINGS, 2 * _RIM))
        around = np.maximum(cv2.blur(self._count, (window, window)), 0)  # rounding may leave it just below 0
        enough = max(_PHOTOGRAPHS, _SHARE * self.photographs)
        expected = np.maximum(_CONTRAST * around, around + _DEVIATIONS * np.sqrt(around))
        found = (self._count >= enough) & (self._count >= expected)
        if not found.any():
            return None
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (rim, rim))
        return cv2.dilate(found.astype(np.uint8), disc).astype(np.bool_)

    def marks(self) -> list[Mark]:
        """Returns the single marks, the most frequent first."""
        mask = self.mask()
        if mask is None or self._count is None:
            return []
        count, labels, _, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        side = mask.shape[0]
        found = [
            Mark(float(x) / side, float(y) / side, int(self._count[labels == number].max()))
            for number, (x, y) in zip(range(1, count), centres[1:], strict=True)
        ]
        return sorted(found, key=lambda mark: -mark.photographs)


def find_marks(maps: Iterable[NDArray[np.uint8]], kinds: Sequence[str]) -> MarkFinder:
    """Looks for the marks of a camera in the lesion maps of its photographs.

    Args:
        maps: Probabilities (K, S, S) of each photograph, 0 to 255, all with the same frame.
        kinds: The kinds of lesions, in the order of the maps. Only the red ones count.

    Returns:
        The finder, with all photographs added: it knows the marks.
    """
    red = [number for number, kind in enumerate(kinds) if kind in RED_KINDS]
    finder = MarkFinder()
    for each in maps:
        if red:
            finder.add(each[red].max(axis=0))
    return finder


def erase_marks(maps: NDArray[np.uint8], kinds: Sequence[str], marks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Returns maps (K, S, S), 0 to 255, uint8, without red lesions where marks (S, S) are true.

    Example:
        >>> maps = np.full((2, 1, 2), 200, np.uint8)
        >>> erase_marks(maps, ["haemorrhages", "hard_exudates"], np.array([[True, False]])).tolist()
        [[[0, 200]], [[200, 200]]]
    """
    erased = maps.copy()
    for number, kind in enumerate(kinds):
        if kind in RED_KINDS:
            erased[number][marks] = 0
    return erased
