"""Agreement of a saliency map with a region, by shares of saliency and of area and by the most salient point.

A map that agrees with lesions is no evidence that a network reasons by them. Saliency shows where a score depends on
one photograph, and lesions often lie where vessels and the macula are. Every number therefore needs a baseline beside
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

NEIGHBOURHOOD: Final = 0.05
"""Width of a lesion's neighbourhood, in diameters of the field of view: about 2.5 of its 45 to 50 degrees, a third of
an optic disc and of a cell of the usual 7 × 7 maps."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of a saliency map with a region.

    Attributes:
        area: Share of the retina in the region, 0 to 1: the expected share of a map without any preference, and the
            probability that a random point is in the region.
        saliency: Share of the saliency in the region, 0 to 1; NaN for a map of zeros.
        hit: 1 if the most salient pixel is in the region, else 0 (the share of pixels in the region if several are
            equally salient); NaN for a map of zeros. The mean over photographs is the score of the pointing game.
    """

    area: float
    saliency: float
    hit: float

    @property
    def ratio(self) -> float:
        """Share of saliency divided by share of area: 1 is no preference; NaN where either is undefined."""
        return self.saliency / self.area if self.area else float("nan")


def region_agreement(saliency: NDArray[np.floating], region: NDArray[np.bool_], retina: NDArray[np.bool_]) -> Agreement:
    """Measures the agreement of a saliency map with a region, such as all lesions of a kind.

    Saliency outside the retina counts as saliency outside the region, but area outside the retina does not count.
    Otherwise, every map that is concentrated on the retina would seem to agree with lesions.

    Sources: J. Zhang et al., "Top-down neural attention by excitation backprop", International Journal of Computer
    Vision 126, 2018 (pointing game, with a margin of 15 pixels instead of :func:`dilate_region`); R. R. Selvaraju et
    al., "Grad-CAM", ICCV 2017 (saliency for localisation).

    Args:
        saliency: Saliency map (H, W), at least 0.
        region: True (H, W) in the region; parts outside the retina are ignored.
        retina: True (H, W) on the retina, for at least one pixel.

    Example:
        >>> saliency = np.array([[0.0, 3.0], [1.0, 0.0]])
        >>> region_agreement(saliency, saliency > 2, np.ones((2, 2), bool))
        Agreement(area=0.25, saliency=0.75, hit=1.0)
    """
    inside = region & retina
    area, total = float(inside.sum() / retina.sum()), float(saliency.sum(dtype=np.float64))
    if not total > 0:
        return Agreement(area, float("nan"), float("nan"))
    most_salient = saliency == saliency.max()
    share = float(saliency[inside].sum(dtype=np.float64) / total)
    return Agreement(area, share, float(inside[most_salient].mean()))


def dilate_region(region: NDArray[np.bool_], retina: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Adds its neighbourhood to a region: the retina at a distance of at most :data:`NEIGHBOURHOOD` diameters.

    Args:
        region: True (H, W) in the region.
        retina: True (H, W) on the retina.

    Returns:
        True (H, W) in the region or its neighbourhood.
    """
    diameter = max(int(np.ptp(indices)) + 1 for indices in np.nonzero(retina))
    if not region.any():
        return region
    distance = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(region | ((distance <= NEIGHBOURHOOD * diameter) & retina))


def enlarge_map(saliency: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Enlarges a map (h, w) to the network's input size (size, size), by linear interpolation."""
    if saliency.shape == (size, size):
        return saliency
    return np.asarray(cv2.resize(saliency, (size, size), interpolation=cv2.INTER_LINEAR))
