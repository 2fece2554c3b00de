"""Contrast: adaptive histogram equalisation (CLAHE) on lightness, and Graham's subtraction of the local average."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

TILES: Final = 5
"""Tiles a side (report §2.3)."""
CLIP_LIMIT: Final = 2.0
"""OpenCV's clip limit; its default of 40 equalises noise as well."""


def clahe(photograph: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Equalises lightness tile by tile and leaves colour as it is.

    Source: K. Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994; tiles from
    the report, §2.3.

    Args:
        photograph: RGB pixels (H, W, 3), uint8; any size.
        inside: True (H, W) in the field of view; everything else becomes black, so that the noise of the camera's
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
"""How much the difference to the local average is raised (Graham)."""


def subtract_average(photograph: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Takes the local average off every pixel, which evens illumination and complexions out.

    Source: B. Graham, "Kaggle diabetic retinopathy detection competition report", University of Warwick, 2015. There
    the rim is cut away, because the average bleeds over it; here the average is taken of the inside alone.

    Args:
        photograph: RGB pixels (S, S, 3), uint8, whose field of view spans its width.
        inside: True (S, S) in the field of view; everything else becomes black, as a camera's mask is.

    Returns:
        RGB pixels (S, S, 3), uint8; 128 is the local average.
    """
    sigma = AVERAGE * photograph.shape[1] / 2
    weights = inside.astype(np.float32)
    around = cv2.GaussianBlur(photograph * weights[..., None], (0, 0), sigma)
    share = np.maximum(cv2.GaussianBlur(weights, (0, 0), sigma), 1e-6)[..., None]
    evened = np.clip(GAIN * (photograph - around / share) + 128, 0, 255)
    return np.where(inside[..., None], evened, 0).astype(np.uint8)
