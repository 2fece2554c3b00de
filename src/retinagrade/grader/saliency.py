"""Saliency overlays: a saliency map in colours over its photograph."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def saliency_overlay(photograph: NDArray[np.uint8], saliency: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lays a saliency map over a photograph; higher saliency is more opaque.

    Args:
        photograph: RGB pixels (S, S, 3), uint8.
        saliency: Saliency map of one grade (h, w), not negative; its largest value gets the brightest colour.

    Returns:
        RGB pixels (S, S, 3), uint8.
    """
    fine = np.clip(cv2.resize(saliency, photograph.shape[1::-1], interpolation=cv2.INTER_LINEAR), 0, None)
    largest = float(fine.max())
    share = fine / largest if largest > 0 else fine
    colours = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    weight = 0.6 * share[..., None]
    overlay: NDArray[np.uint8] = (photograph * (1 - weight) + colours * weight).round().astype(np.uint8)
    return overlay
