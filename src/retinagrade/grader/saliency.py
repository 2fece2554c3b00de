"""Heatmaps: saliency for a grade over the photograph that the network saw."""

from __future__ import annotations

import cv2
import numpy as np


def saliency_overlay(photograph: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """Lays saliency over a photograph, the more opaque the more there is.

    Args:
        photograph: RGB pixels (S, S, 3), uint8.
        saliency: Of one grade (h, w), from 0; coloured relative to its own largest value.

    Returns:
        RGB pixels (S, S, 3), uint8.
    """
    fine = np.clip(cv2.resize(saliency, photograph.shape[1::-1], interpolation=cv2.INTER_LINEAR), 0, None)
    largest = float(fine.max())
    share = fine / largest if largest > 0 else fine
    coloured = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    weight = 0.6 * share[..., None]
    mixed: np.ndarray = (photograph * (1 - weight) + coloured * weight).round().astype(np.uint8)
    return mixed
