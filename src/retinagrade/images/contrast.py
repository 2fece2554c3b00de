"""Contrast: adaptive histogram equalisation (CLAHE) on lightness, and Graham's subtraction of the local average."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

TILES: Final = 5
"""Number of tiles along each side (report §2.3)."""
CLIP_LIMIT: Final = 2.0
"""Clip limit of OpenCV, whose default of 40 also amplifies noise."""


def clahe(photograph: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Equalises lightness tile by tile, and leaves the hue unchanged.

    Source: K. Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994; tiles from
    the report, §2.3.

    Args:
        photograph: RGB pixels (H, W, 3), uint8; any size.
        inside: True (H, W) in the field of view. All other pixels become black, so that the noise of the camera's
            mask isn't amplified.

    Returns:
        RGB pixels (H, W, 3), uint8.
    """
    lab = cv2.cvtColor(photograph, cv2.COLOR_RGB2LAB)
    equalise = cv2.createCLAHE(clipLimit=CLIP_LIMIT, tileGridSize=(TILES, TILES))
    lab[..., 0] = equalise.apply(lab[..., 0])
    return np.where(inside[..., None], cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8(0))


AVERAGE: Final = 1 / 30
"""Standard deviation of the local average, as a share of the field of view's radius (Graham)."""
GAIN: Final = 4.0
"""Factor of the difference to the local average (Graham)."""


def subtract_average(photograph: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Subtracts the local average from each pixel, which evens out illumination and complexions.

    Source: B. Graham, "Kaggle diabetic retinopathy detection competition report", University of Warwick, 2015. Graham
    cuts the rim away, because its average includes black pixels. Here the average has only pixels inside the field of
    view.

    Args:
        photograph: RGB pixels (S, S, 3), uint8, whose field of view spans its width.
        inside: True (S, S) in the field of view. All other pixels become black, like a camera's mask.

    Returns:
        RGB pixels (S, S, 3), uint8; 128 is the local average.
    """
    sigma = AVERAGE * photograph.shape[1] / 2
    weights = inside.astype(np.float32)
    average = cv2.GaussianBlur(photograph * weights[..., None], (0, 0), sigma)
    share = np.maximum(cv2.GaussianBlur(weights, (0, 0), sigma), 1e-6)[..., None]
    difference = np.clip(GAIN * (photograph - average / share) + 128, 0, 255)
    return np.where(inside[..., None], difference, 0).astype(np.uint8)
