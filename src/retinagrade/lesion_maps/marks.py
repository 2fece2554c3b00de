"""Marks of a camera, such as dust on its lens or sensor.

A mark looks like a small lesion. It gives itself away, because it is at the same place in many photographs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.lesion_maps.numbers import RED_KINDS

_SHARE: Final = 0.05
"""Share of the photographs that have a lesion where a mark is. Real lesions share a place much less often."""
_PHOTOGRAPHS: Final = 10
"""Fewer photographs show no mark, whatever their share."""
_CONTRAST: Final = 3.0
"""Number of lesions at a mark, compared with the mean of its surroundings."""
_SURROUNDINGS: Final = 0.12
"""Side of a mark's surroundings, as a share of the frame's side."""
_RIM: Final = 0.006
"""Width of the rim around a mark, as a share of the frame's side."""


class MarkFinder:
    """Finds the marks of a camera in the lesion maps of its photographs, one photograph after the other."""

    def __init__(self) -> None:
        """Begins without photographs."""
        self._count: NDArray[np.float32] | None = None
        self._photographs = 0

    def add(self, dark: NDArray[np.uint8]) -> None:
        """Adds a photograph.

        Args:
            dark: Probability (S, S), 0 to 255, that a pixel belongs to a dark lesion: a microaneurysm or a haemorrhage.
                All photographs have the same frame.
        """
        found = (dark > 127).astype(np.float32)
        self._count = np.asarray(found if self._count is None else self._count + found, np.float32)
        self._photographs += 1

    def marks(self) -> NDArray[np.bool_] | None:
        """Returns True (S, S) at marks and their rims; ``None`` where there is no mark."""
        if self._count is None:
            return None
        side = self._count.shape[0]
        window, rim = (2 * round(share * side / 2) + 1 for share in (_SURROUNDINGS, 2 * _RIM))
        around = cv2.blur(self._count, (window, window))
        enough = max(_PHOTOGRAPHS, _SHARE * self._photographs)
        marks = (self._count >= enough) & (self._count >= _CONTRAST * around)
        if not marks.any():
            return None
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (rim, rim))
        return cv2.dilate(marks.astype(np.uint8), disc).astype(np.bool_)


def find_marks(maps: Iterable[NDArray[np.uint8]], kinds: Sequence[str]) -> NDArray[np.bool_] | None:
    """Finds the marks of a camera in the lesion maps of its photographs.

    Args:
        maps: Probabilities (K, S, S) of each photograph, 0 to 255, all with the same frame.
        kinds: The kinds of lesions, in the order of the maps. Only dark ones, microaneurysms and haemorrhages, count.

    Returns:
        True (S, S) at marks and their rims; ``None`` where there is no mark.
    """
    dark = [number for number, kind in enumerate(kinds) if kind in RED_KINDS]
    finder = MarkFinder()
    for each in maps:
        if dark:
            finder.add(each[dark].max(axis=0))
    return finder.marks()


def erase_marks(maps: NDArray[np.uint8], kinds: Sequence[str], marks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Returns maps (K, S, S) without dark lesions at marks (S, S).

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


def count_marks(marks: NDArray[np.bool_] | None) -> int:
    """Returns the number of separate marks."""
    return 0 if marks is None else cv2.connectedComponents(marks.astype(np.uint8))[0] - 1
