"""Contrast-limited adaptive histogram equalisation (CLAHE) on lightness."""

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
