"""The report's online augmentation (chapter 3) as one warp of the photograph."""

from __future__ import annotations

import cv2
import numpy as np

from retinagrade.training.experiment import AugmentationSettings


def random_warp(rng: np.random.Generator, settings: AugmentationSettings, size: int) -> np.ndarray:
    """Draws flips, zoom and rotation, composed about the centre of the photograph.

    Args:
        rng: Where the draws come from.
        settings: What may be drawn.
        size: Side of the square photograph, in pixels.

    Returns:
        Affine matrix (2, 3), float64, from source to augmented pixel coordinates (x, y).

    Example:
        >>> random_warp(np.random.default_rng(0), AugmentationSettings(), 8)
        array([[1., 0., 0.],
               [0., 1., 0.]])
    """
    # Every draw is made whatever the settings, so that switching one off leaves the others as they were.
    flip_x, flip_y = rng.random(2) < 0.5
    zoom, turn = rng.uniform(-1, 1, 2)
    scale = 1 + settings.zoom * zoom
    angle = 2 * np.pi * settings.rotation * turn
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mirror = np.diag(
        [
            -1.0 if flip_x and settings.flip_horizontal else 1.0,
            -1.0 if flip_y and settings.flip_vertical else 1.0,
        ]
    )
    linear = rotation @ mirror
    centre = np.full(2, (size - 1) / 2)  # pixel centres have whole coordinates in OpenCV
    return np.hstack([linear, (centre - linear @ centre)[:, None]])


def augment(photograph: np.ndarray, rng: np.random.Generator, settings: AugmentationSettings) -> np.ndarray:
    """Augments one photograph; what comes from outside it is black, as is the camera's mask.

    Args:
        photograph: RGB pixels (S, S, 3), uint8.
        rng: Where the draws come from.
        settings: What may be drawn.

    Returns:
        RGB pixels (S, S, 3), uint8.
    """
    size = photograph.shape[0]
    warp = random_warp(rng, settings, size)
    return cv2.warpAffine(photograph, warp, (size, size), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0))
