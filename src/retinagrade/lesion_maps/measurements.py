"""Counted and measured lesions of a photograph, by kind and quadrant: the part of a result that a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from retinagrade.lesion_maps.numbers import RED, ReadMaps
from retinagrade.lesion_maps.regions import CERTAIN, quadrants

QUADRANTS: Final = ("upper_left", "upper_right", "lower_left", "lower_right")
"""Quadrants of the photograph as a person sees it, around its middle."""
NO_LIMITS: Final[Mapping[str, float]] = MappingProxyType({})
"""No limits by kind."""


@dataclass(frozen=True)
class CountedKind:
    """The lesions of one kind.

    Attributes:
        counts: Number of lesions in each of the :data:`QUADRANTS`.
        areas: Their area in each quadrant, as a share of the field of view, 0 to 1.
    """

    counts: tuple[int, int, int, int]
    areas: tuple[float, float, float, float]


@dataclass(frozen=True)
class CountedLesions:
    """The lesions of a photograph.

    Attributes:
        by_kind: Measurements of each kind of lesion.
    """

    by_kind: dict[str, CountedKind]

    def counts_by_quadrant(self, kind: str) -> tuple[int, int, int, int]:
        """Returns the number of lesions of a kind in each of the :data:`QUADRANTS`; 0 for an unknown kind."""
        return self.by_kind[kind].counts if kind in self.by_kind else (0, 0, 0, 0)

    def count(self, kind: str) -> int:
        """Returns the number of lesions of a kind."""
        return sum(self.counts_by_quadrant(kind))

    def area(self, kind: str) -> float:
        """Returns the area of all lesions of a kind, as a share of the field of view, 0 to 1."""
        return sum(self.by_kind[kind].areas) if kind in self.by_kind else 0.0


def measure_lesions(read: ReadMaps, counted_from: Mapping[str, float] = NO_LIMITS) -> CountedLesions:
    """Counts the lesions that are certain enough, and measures their area.

    Args:
        read: The lesions of a photograph.
        counted_from: Highest probability, by kind, that a lesion must reach; :data:`CERTAIN` for other kinds.

    Returns:
        Numbers and areas by kind. A lesion belongs to the quadrant of its centre.
    """
    inside = max(1, int(np.count_nonzero(read.inside)))
    by_kind = {}
    for kind, regions in read.regions.items():
        if kind == RED:
            continue
        certain = regions.peaks >= counted_from.get(kind, CERTAIN)
        where = quadrants(regions.centres, read.inside.shape)
        counts = np.bincount(where[certain], minlength=4)
        areas = np.bincount(where[certain], weights=regions.cores[certain], minlength=4) / inside
        by_kind[kind] = CountedKind(tuple(counts.tolist()), tuple(areas.tolist()))
    return CountedLesions(by_kind)
