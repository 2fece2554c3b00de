"""Optic disc, fovea and laterality of a photograph.

Proportions: the centre of the fovea lies about 2.5 diameters of the optic disc to the temporal side of the disc's
centre, and a third of a diameter below it (K. Rohrschneider, "Determination of the location of the fovea on the
fundus", IOVS 45(9), 2004).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.lesion_maps.regions import OUTLINED_ABOVE, Regions, find_regions

Laterality = Literal["left", "right"]
TYPICAL_DIAMETER: Final = 0.155
"""Diameter of the optic disc as a share of the field of view's, for cameras of 45° to 50°."""
_DIAMETERS: Final = (0.07, 0.26)
"""Smallest and largest plausible diameter, as shares of the field of view's."""
_LEAST_PEAK: Final = 0.6
_LEAST_SCORE: Final = 0.2
"""Smallest score of a disc. Half a disc at the rim has 0.35, a reflex along the rim less than 0.15."""
_TEMPORAL: Final = 2.5
_BELOW: Final = 0.33
_SEARCHED: Final = 0.9
"""Distance, in diameters of the disc, from the expected place within which the fovea is searched."""
_SIDE: Final = 256
"""Side of the reduced photograph in which the fovea is searched."""
_WIDE_SIDE: Final = 64
"""Side of the one in which the surroundings are measured, whose width hides all details."""
_CERTAIN_SIDE: Final = 0.08
"""Distance of the disc from the middle, as a share of the width, from which its side alone tells the eye."""


@dataclass(frozen=True)
class OpticDisc:
    """The optic disc.

    Attributes:
        x: Horizontal position of its centre, in pixels.
        y: Vertical position, in pixels.
        diameter: Diameter of the disc with the same area, in pixels.
        confidence: Highest probability of its region, 0 to 1.
        pixels: True (S, S) where a pixel of the region is more probable than not.
    """

    x: float
    y: float
    diameter: float
    confidence: float
    pixels: NDArray[np.bool_] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Anatomy:
    """Landmarks of a photograph.

    Attributes:
        disc: The optic disc; ``None`` where the photograph doesn't show it.
        fovea: Position of the fovea's centre as x and y, in pixels; ``None`` where it can't be found.
        laterality: The eye: in a photograph of the right eye, the optic disc is to the right of the fovea.
    """

    disc: OpticDisc | None = None
    fovea: tuple[float, float] | None = None
    laterality: Laterality | None = None

    def fovea_or_middle(self, shape: tuple[int, ...]) -> tuple[float, float]:
        """Returns the fovea, or else the middle of a photograph of that shape, where cameras place it."""
        return self.fovea or (shape[1] / 2, shape[0] / 2)

    def disc_diameter(self, shape: tuple[int, ...]) -> float:
        """Returns the diameter of the optic disc, or else a typical one for a photograph of that shape, in pixels."""
        return TYPICAL_DIAMETER * max(shape) if self.disc is None else self.disc.diameter


def find_anatomy(
    photograph: NDArray[np.uint8], disc_map: NDArray[np.uint8] | None, inside: NDArray[np.bool_]
) -> Anatomy:
    """Finds optic disc, fovea and laterality.

    Args:
        photograph: RGB pixels (S, S, 3), uint8, prepared.
        disc_map: Probability (S, S), 0 to 255, of the optic disc; ``None`` for a network that doesn't outline it.
        inside: True (S, S) inside the field of view.

    Returns:
        The landmarks that could be found.
    """
    disc = None if disc_map is None else _find_disc(disc_map)
    if disc is None:
        return Anatomy()
    side, middle = photograph.shape[0], photograph.shape[1] / 2
    darkness = _darkness(photograph, inside, disc)
    candidates = {eye: _search_fovea(darkness, disc, side, eye) for eye in ("left", "right")}
    if abs(disc.x - middle) > _CERTAIN_SIDE * side:
        eye: Laterality = "right" if disc.x > middle else "left"
        found = candidates[eye]
    else:
        visible = {name: each for name, each in candidates.items() if each is not None}
        if len(visible) != 1:
            return Anatomy(disc)
        eye = "left" if "left" in visible else "right"
        found = visible[eye]
    return Anatomy(disc, None if found is None else found[:2], eye)


def _find_disc(disc_map: NDArray[np.uint8]) -> OpticDisc | None:
    regions = find_regions(disc_map)
    best = choose_disc(disc_scores(regions))
    if best is None:
        return None
    x, y = regions.centres[best]
    return OpticDisc(
        float(x),
        float(y),
        float(region_diameters(regions)[best]),
        float(regions.peaks[best]),
        np.asarray(regions.mask(np.arange(len(regions)) == best) & (disc_map > OUTLINED_ABOVE), np.bool_),
    )


def choose_disc(scores: NDArray[np.float64]) -> int | None:
    """Chooses the optic disc among the places that look like one.

    Args:
        scores: :func:`disc_scores` (R,) of the places.

    Returns:
        The number of the region; ``None`` where none can be a disc.
    """
    return int(scores.argmax()) if scores.max(initial=0) > _LEAST_SCORE else None


def disc_scores(regions: Regions) -> NDArray[np.float64]:
    """Measures how much each place looks like an optic disc: probability, roundness and size.

    Plaques of hard exudates and reflexes at the rim can be as probable as a disc, and larger, but they are less round.

    Args:
        regions: The regions of a map of the optic disc.

    Returns:
        Products (R,) of three shares: the highest probability, the roundness, and the smaller of diameter and
        :data:`TYPICAL_DIAMETER` divided by the larger. 0 where diameter or probability are none of a disc.
    """
    side, diameters = max(regions.shape), region_diameters(regions)
    plausible = (diameters > _DIAMETERS[0] * side) & (diameters < _DIAMETERS[1] * side) & (regions.peaks > _LEAST_PEAK)
    scores = np.zeros(len(regions))
    for region in np.flatnonzero(plausible):
        ratio = diameters[region] / (TYPICAL_DIAMETER * side)
        scores[region] = regions.peaks[region] * roundness(regions, int(region)) * min(ratio, 1 / ratio)
    return scores


def region_diameters(regions: Regions) -> NDArray[np.float64]:
    """Returns the diameters (R,) of discs with the areas of the regions, in pixels."""
    return np.asarray(2 * np.sqrt(regions.areas / np.pi), np.float64)


def roundness(regions: Regions, region: int) -> float:
    """Returns the share of the smallest circle around one of the regions that it fills, its holes included, 0 to 1."""
    rows, columns = np.divmod(regions.pixels[regions.owners == region], regions.shape[1])
    left, top = columns.min(), rows.min()
    box = np.zeros((rows.max() - top + 1, columns.max() - left + 1), np.uint8)
    box[rows - top, columns - left] = 1
    outlines, _ = cv2.findContours(box, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.count_nonzero(cv2.drawContours(box, outlines, -1, 1, cv2.FILLED))
    _, radius = cv2.minEnclosingCircle(max(outlines, key=len))
    return min(1.0, filled / (np.pi * (radius + 0.5) ** 2))


def _darkness(photograph: NDArray[np.uint8], inside: NDArray[np.bool_], disc: OpticDisc) -> NDArray[np.float32]:
    """Measures how much darker each place of a reduced photograph is than its surroundings, in grey levels."""
    share = disc.diameter / photograph.shape[0]
    small = np.asarray(cv2.resize(photograph, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.float32)
    lit = _reduce(inside.astype(np.float32), _SIDE)
    grey = np.asarray((small[..., 0] + 2 * small[..., 1]) / 3, np.float32)
    narrow = _blur(grey * lit, 0.2 * share) / np.maximum(_blur(lit, 0.2 * share), 1e-3)
    seen, bright = (_blur(_reduce(each, _WIDE_SIDE), 0.9 * share) for each in (lit, grey * lit))
    wide = cv2.resize(bright / np.maximum(seen, 1e-3), (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.where(lit > 0.9, wide - narrow, -np.inf), np.float32)


def _reduce(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _blur(values: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    """Blurs a picture; the width is a share of its side."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), width * values.shape[0]), np.float32)


def _search_fovea(
    darkness: NDArray[np.float32], disc: OpticDisc, side: int, eye: str
) -> tuple[float, float, float] | None:
    """Finds the darkest place near the expected one; returns x, y and its darkness, or ``None`` outside the disc."""
    scale = _SIDE / side
    diameter, towards = disc.diameter * scale, -1 if eye == "right" else 1
    x, y = disc.x * scale + towards * _TEMPORAL * diameter, disc.y * scale + _BELOW * diameter
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    away = np.hypot(rows - y, columns - x) / diameter
    score = np.where(away < _SEARCHED, darkness - 6 * away**2, -np.inf)
    best = int(np.argmax(score))
    if not np.isfinite(score.flat[best]):
        return None
    row, column = divmod(best, _SIDE)
    return (column + 0.5) / scale, (row + 0.5) / scale, float(darkness[row, column])
