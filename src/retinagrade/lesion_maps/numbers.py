"""Plain numbers of lesion maps: how much of each kind there is, how many, how certain, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.lesion_maps.anatomy import Anatomy
from retinagrade.lesion_maps.regions import CERTAIN, Regions, distance_to_rim, find_regions, quadrants

RED: Final = "red_lesions"
"""Microaneurysms and haemorrhages together. A different camera moves small lesions from one to the other, and not out
of their sum."""
RED_KINDS: Final = ("microaneurysms", "haemorrhages")
"""The kinds of red lesions."""
_COUNTED_FROM: Final = (0.3, 0.5, 0.7, 0.85)
"""Highest probabilities that a lesion must reach to be counted."""
_SOFTNESS: Final = 0.1
"""Half the width of the step from 0 to 1 with which a lesion counts, so that rounding changes no number much."""
_AREAS_ABOVE: Final = (0.2, 0.5, 0.8)
_LOAD_ABOVE: Final = 0.05
_RANKS: Final = (1, 2, 3, 5, 10, 20)
_LARGE: Final = 1.5e-4
"""Share of the field of view (some 12 × 12 of 1,024 pixels) from which a lesion is larger than a microaneurysm."""
_NEAR_FOVEA: Final = (0.33, 0.67, 1.0, 1.5)
"""Distances from the fovea, in diameters of the optic disc. Exudates within one are a high risk of macular oedema."""
_RIM: Final = 0.015
"""Share of the field of view's diameter along its rim where reflexes and compression look like lesions."""


@dataclass(frozen=True)
class ReadMaps:
    """The lesions of one photograph.

    Attributes:
        maps: Probability (H, W), 0 to 255, by kind, without the rim of the field of view.
        regions: Single lesions, by kind.
        inside: True (H, W) inside the field of view, without its rim.
    """

    maps: dict[str, NDArray[np.uint8]]
    regions: dict[str, Regions]
    inside: NDArray[np.bool_]


def read_maps(maps: NDArray[np.uint8], kinds: Sequence[str], inside: NDArray[np.bool_]) -> ReadMaps:
    """Finds the single lesions of a photograph's maps.

    Args:
        maps: Probabilities (K, H, W), 0 to 255.
        kinds: The kinds of lesions, in the order of the maps. The optic disc is no lesion, and is left out.
        inside: True (H, W) inside the field of view.

    Returns:
        The lesions of each kind, and of :data:`RED` where the maps have both of its kinds.
    """
    inner = without_rim(inside)
    mask = inner.astype(np.uint8)
    of_kind = {
        kind: np.asarray(cv2.bitwise_and(each, each, mask=mask), np.uint8)
        for kind, each in zip(kinds, maps, strict=True)
        if kind != "optic_disc"
    }
    if all(kind in of_kind for kind in RED_KINDS):
        of_kind[RED] = np.maximum(of_kind[RED_KINDS[0]], of_kind[RED_KINDS[1]])
    return ReadMaps(of_kind, {kind: find_regions(each) for kind, each in of_kind.items()}, inner)


def without_rim(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns the field of view (H, W) without its rim."""
    width = round(_RIM * max(inside.shape))
    if width == 0:
        return inside
    return np.asarray(distance_to_rim(inside) > width)


def lesion_numbers(read: ReadMaps, anatomy: Anatomy) -> dict[str, float]:
    """Describes the lesions of a photograph by plain numbers.

    Areas are logarithms of ten-thousandths of the field of view, log(1 + x). Numbers of lesions are logarithms as well,
    log(1 + n). Peaks are logits of the highest probability of each lesion, in falling order.

    Args:
        read: The lesions.
        anatomy: Optic disc and fovea. Where the fovea is unknown, the middle of the photograph stands for it.

    Returns:
        Numbers by name, always the same names in the same order for the same kinds.
    """
    numbers: dict[str, float] = {}
    pixels = int(np.count_nonzero(read.inside))
    for kind, lesion_map in read.maps.items():
        of_kind = _describe(lesion_map, read.regions[kind], pixels)
        numbers |= {f"{kind}_{name}": value for name, value in of_kind.items()}
    if "hard_exudates" in read.maps:
        near = _exudates_near_fovea(read.maps["hard_exudates"], anatomy)
        numbers |= {f"hard_exudates_{name}": value for name, value in near.items()}
    return numbers


def number_row(numbers: Mapping[str, float], names: Sequence[str]) -> NDArray[np.float64]:
    """Returns numbers (F,) in the order of names."""
    return np.array([numbers[name] for name in names])


def _describe(lesion_map: NDArray[np.uint8], regions: Regions, pixels: int) -> dict[str, float]:
    first = _first(_LOAD_ABOVE)
    disc, share = float(max(1, pixels)), np.bincount(lesion_map[lesion_map >= first], minlength=256)
    numbers = {f"area_above_{level:g}": _log(1e4 * share[_first(level) :].sum() / disc) for level in _AREAS_ABOVE}
    numbers["load"] = _log(1e4 * float(share[first:] @ np.arange(first, 256)) / 255 / disc)
    numbers["sum_of_peaks"] = _log(float(regions.peaks.sum()))
    for level in _COUNTED_FROM:
        numbers[f"count_from_{level:g}"] = _log(float(_counts(regions.peaks, level).sum()))
    large = regions.areas > _LARGE * disc
    for level in _COUNTED_FROM[:3:2]:
        numbers[f"large_from_{level:g}"] = _log(float(_counts(regions.peaks, level)[large].sum()))
    certain = _counts(regions.peaks, CERTAIN)
    numbers["largest"] = _log(1e4 * float((regions.areas * certain).max(initial=0)) / disc)
    ranked = np.sort(regions.peaks)[::-1]
    for rank in _RANKS:
        numbers[f"peak_{rank}"] = _logit(float(ranked[rank - 1])) if len(ranked) >= rank else _logit(0.15)
    by_quadrant = np.bincount(quadrants(regions.centres, lesion_map.shape), weights=certain, minlength=4)
    numbers["quadrants"] = float(np.minimum(by_quadrant, 1).sum())
    numbers["emptiest_quadrant"] = _log(float(by_quadrant.min()))
    return numbers


def _exudates_near_fovea(lesion_map: NDArray[np.uint8], anatomy: Anatomy) -> dict[str, float]:
    """Returns the area of exudates, and their highest probability, within distances from the fovea."""
    x, y = anatomy.fovea_or_middle(lesion_map.shape)
    diameter = anatomy.disc_diameter(lesion_map.shape)
    farthest = _NEAR_FOVEA[-1] * diameter
    top, left = max(0, int(y - farthest)), max(0, int(x - farthest))
    part = lesion_map[top : max(0, int(y + farthest) + 2), left : max(0, int(x + farthest) + 2)]
    rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    squared = (rows - y) ** 2 + (columns - x) ** 2
    numbers = {}
    for reach in _NEAR_FOVEA:
        near = part[squared < (reach * diameter) ** 2]
        numbers[f"peak_within_{reach:g}"] = _logit(float(near.max(initial=0)) / 255)
        numbers[f"area_within_{reach:g}"] = _log(1e4 * float((near > 127).sum()) / lesion_map.size)
    return numbers


def _first(level: float) -> int:
    return int(np.floor(255 * level)) + 1


def _counts(peaks: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Returns 1 for lesions that certainly reach a level, 0 for ones that don't, and between them a line."""
    return np.clip((peaks - level) / (2 * _SOFTNESS) + 0.5, 0, 1)


def _log(value: float) -> float:
    return float(np.log1p(value))


def _logit(probability: float) -> float:
    bounded = min(max(probability, 0.004), 0.996)
    return float(np.log(bounded / (1 - bounded)))
