"""Lesions that are too large for a network that learns from crops: plaques of exudates, and pools of blood.

Such a network can't see that a photograph already shows an optic disc, or that a dark place goes on from a haemorrhage
to the rim. The whole photograph tells: an eye has one optic disc, and blood in front of the retina is dark, with a
sharp edge on which the network has outlined haemorrhages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.lesion_maps.anatomy import choose_disc, disc_scores, region_diameters, roundness
from retinagrade.lesion_maps.regions import OUTLINED_ABOVE, distance_to_rim, find_regions

_DISC: Final = "optic_disc"
_EXUDATES: Final = "hard_exudates"
_BLOOD: Final = "haemorrhages"
_PLAQUE_PEAK: Final = 0.7
"""Highest probability of being an optic disc that a plaque reaches. Fibrous tissue and sheens have less."""
_PLAQUE_DIAMETER: Final = 0.04
"""Smallest diameter of a plaque, as a share of the photograph's side."""
_PLAQUE_ROUND: Final = 0.45
"""Share of the smallest circle around a plaque that it fills. A sheen is less round."""
_RIM: Final = 0.04
"""Distance of a plaque from the rim of the field of view, as a share of the photograph's side."""
_WORSE: Final = 0.9
"""Score as a disc that a plaque has at most, as a share of the disc's. If two places are alike, neither is changed."""
_POOL_SIDE: Final = 256
"""Side of the reduced photograph in which pools are searched."""
_DARK: Final = 0.6
"""Green value of a pool, as a share of the median in the field of view, below which it is dark."""
_THICK: Final = 11
"""Thickness of a pool, in pixels of the reduced photograph: more than a vessel's."""
_POOL_AREA: Final = 0.03
"""Smallest area of a pool, as a share of the field of view. Shades at the rim are smaller."""
_OUTLINED_SHARE: Final = 0.02
"""Share of a pool that the network has outlined as a haemorrhage."""
_SHARP: Final = 0.85
"""Green value just inside a pool's edge, as a share of the value just outside. The edge of a shade is less sharp."""
_POOL_VALUE: Final = 140
"""Value of a map, 0 to 255, that a pool receives: a probability of 0.55, just above that of an outline's rim."""


def complete_large_lesions(
    maps: NDArray[np.uint8], kinds: Sequence[str], photograph: NDArray[np.uint8], inside: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Adds lesions to maps that only the whole photograph shows.

    * A second optic disc becomes a hard exudate, see :func:`~retinagrade.lesion_maps.anatomy.choose_disc`.
    * A large dark place becomes a haemorrhage where the network has outlined a part of it.

    Args:
        maps: Probabilities (K, S, S), 0 to 255, as a network made them.
        kinds: The kinds of lesions, in the order of the maps.
        photograph: RGB pixels (S, S, 3), uint8, prepared.
        inside: True (S, S) inside the field of view.

    Returns:
        The same array where there is nothing to add; otherwise a new one.
    """
    if _DISC in kinds and _EXUDATES in kinds:
        plaques = _find_plaques(maps[kinds.index(_DISC)], inside)
        if plaques.any():
            maps = maps.copy()
            disc, exudates = maps[kinds.index(_DISC)], maps[kinds.index(_EXUDATES)]
            exudates[plaques] = np.maximum(exudates[plaques], disc[plaques])
            disc[plaques] = 0
    if _BLOOD in kinds:
        pools = _find_pools(maps[kinds.index(_BLOOD)], photograph, inside)
        if pools.any():
            maps = maps.copy()
            blood = maps[kinds.index(_BLOOD)]
            blood[pools] = np.maximum(blood[pools], _POOL_VALUE)
    return maps


def _find_plaques(disc_map: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Finds the pixels (S, S) of places that look like a second optic disc.

    A place next to the disc is a part of it, and a place near the rim is a reflex.
    """
    regions = find_regions(disc_map)
    scores = disc_scores(regions)
    disc = choose_disc(scores)
    chosen = np.zeros(len(regions), np.bool_)
    if disc is not None:
        diameters, side = region_diameters(regions), max(disc_map.shape)
        away = np.hypot(*(regions.centres - regions.centres[disc]).T)
        certain = (regions.peaks >= _PLAQUE_PEAK) & (diameters > _PLAQUE_DIAMETER * side)
        worse = scores < _WORSE * scores[disc]
        for region in np.flatnonzero(certain & worse & (away > diameters[disc])):
            chosen[region] = roundness(regions, int(region)) > _PLAQUE_ROUND
    if chosen.any():
        rim = distance_to_rim(inside).reshape(-1)[regions.pixels]
        nearest = np.full(len(regions), np.inf)
        np.minimum.at(nearest, regions.owners, rim)
        chosen &= nearest > _RIM * side
    return regions.mask(chosen)


def _find_pools(
    blood_map: NDArray[np.uint8], photograph: NDArray[np.uint8], inside: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Finds the pixels (S, S) of large dark places that are partly outlined as haemorrhages."""
    none = np.zeros(blood_map.shape, np.bool_)
    outlined = blood_map > OUTLINED_ABOVE
    if np.count_nonzero(outlined) <= _OUTLINED_SHARE * _POOL_AREA * np.count_nonzero(inside):
        return none
    green, known = _reduce(photograph[..., 1]), _reduce(outlined)
    field = _reduce(inside) > 0.5
    dark = (green < _DARK * np.median(green[field])) & field
    opened = cv2.morphologyEx(dark.astype(np.uint8), cv2.MORPH_OPEN, _circle(_THICK))
    count, labels = cv2.connectedComponents(opened)
    smallest = _POOL_AREA * np.count_nonzero(field)
    pools = np.zeros(labels.shape, np.bool_)
    for label in range(1, count):
        place = labels == label
        if np.count_nonzero(place) >= smallest and known[place].mean() > _OUTLINED_SHARE:
            pools |= place & (_edge_ratio(green, place, field) < _SHARP)
    if not pools.any():
        return none
    side = (blood_map.shape[1], blood_map.shape[0])
    smooth = cv2.resize(pools.astype(np.float32), side, interpolation=cv2.INTER_LINEAR)
    return np.asarray((smooth > 0.5) & inside)


def _reduce(pixels: NDArray[np.uint8] | NDArray[np.bool_]) -> NDArray[np.float32]:
    small = cv2.resize(np.asarray(pixels, np.float32), (_POOL_SIDE, _POOL_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _edge_ratio(green: NDArray[np.float32], place: NDArray[np.bool_], field: NDArray[np.bool_]) -> float:
    """Returns the mean green value just inside the edge of a place, as a share of the mean just outside.

    The rim of the field of view is no edge. A place without any other edge has a ratio of 1.
    """
    filled = place.astype(np.uint8)
    away_from_rim = cv2.erode(field.astype(np.uint8), _circle(9), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    outside = (cv2.dilate(filled, _circle(9)) > 0) & (cv2.dilate(filled, _circle(3)) == 0) & away_from_rim
    within = place & (cv2.erode(filled, _circle(7)) == 0) & (cv2.dilate(outside.astype(np.uint8), _circle(11)) > 0)
    if not within.any() or not outside.any():
        return 1.0
    return float(green[within].mean() / max(1.0, green[outside].mean()))


def _circle(diameter: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter)), np.uint8)
