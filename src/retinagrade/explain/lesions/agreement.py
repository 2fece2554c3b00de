"""Agreement of heat with lesions: shares of heat against shares of area, and where the hottest point is.

A map that agrees with lesions is no evidence that a network reasons by them: heat says what a score depends on near one
photograph, and lesions lie where vessels and the macula are. So every figure wants a baseline beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

NEAR: Final = 0.05
"""Width of a lesion's neighbourhood, in diameters of the field of view: some 2.5 of its 45 to 50 degrees, a third of an
optic disc and of a cell of the usual 7 × 7 maps."""


@dataclass(frozen=True)
class Agreement:
    """How much of a map's heat is in a region.

    Attributes:
        area: Share of the retina that the region takes, 0 to 1: what heat without any preference would have there, and
            how often a point at random is in it.
        heat: Share of the heat in the region, 0 to 1; NaN of a map without heat.
        hit: Whether the hottest pixel is in the region, 0 or 1 (of several equally hot ones, their share); NaN of a map
            without heat. Its mean over photographs is the pointing game.
    """

    area: float
    heat: float
    hit: float

    @property
    def ratio(self) -> float:
        """Share of heat by share of area: 1 is no preference; NaN where either is undefined."""
        return self.heat / self.area if self.area else float("nan")


def agreement(heat: np.ndarray, region: np.ndarray, retina: np.ndarray) -> Agreement:
    """Measures a map of heat against a region, such as all lesions of a kind.

    Heat outside the retina counts as heat outside the region, but no area outside it does: else every map that knows
    where the retina is would agree with lesions.

    Sources: J. Zhang et al., "Top-down neural attention by excitation backprop", International Journal of Computer
    Vision 126, 2018 (pointing game, there with a margin of 15 pixels; see :func:`dilate_region`); R. R. Selvaraju et al.,
    "Grad-CAM", ICCV 2017 (heat as localisation).

    Args:
        heat: Heat (H, W), float, at least 0.
        region: True (H, W) in the region; what of it is outside the retina is left out.
        retina: True (H, W) on the retina, at least once.

    Returns:
        Shares of area and heat, and whether the hottest point is inside.

    Example:
        >>> heat = np.array([[0.0, 3.0], [1.0, 0.0]])
        >>> agreement(heat, heat > 2, np.ones((2, 2), bool))
        Agreement(area=0.25, heat=0.75, hit=1.0)
    """
    inside = region & retina
    area, total = float(inside.sum() / retina.sum()), float(heat.sum(dtype=np.float64))
    if not total > 0:
        return Agreement(area, float("nan"), float("nan"))
    hottest = heat == heat.max()
    return Agreement(area, float(heat[inside].sum(dtype=np.float64) / total), float(inside[hottest].mean()))


def dilate_region(region: np.ndarray, retina: np.ndarray) -> np.ndarray:
    """A region with its neighbourhood on the retina: what is at most :data:`NEAR` diameters of the retina away.

    Args:
        region: True (H, W) in the region.
        retina: True (H, W) on the retina.

    Returns:
        True (H, W) in either.
    """
    diameter = max(int(np.ptp(places)) + 1 for places in np.nonzero(retina))
    if not region.any():
        return region
    away = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(region | ((away <= NEAR * diameter) & retina))


def enlarge_map(heat: np.ndarray, side: int) -> np.ndarray:
    """A map (h, w), float32, in the frame of the network's input (side, side), by linear interpolation."""
    if heat.shape == (side, side):
        return heat
    return np.asarray(cv2.resize(heat, (side, side), interpolation=cv2.INTER_LINEAR))
