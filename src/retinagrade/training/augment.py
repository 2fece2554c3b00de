"""Online augmentation: flips, zoom and rotation (report, chapter 3) as one warp, then colours, then another camera."""

from __future__ import annotations

from typing import Final, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.experiments.experiment import AugmentationSettings
from retinagrade.images.camera import apply_camera, draw_camera, lit_region

LUMA: Final = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in grey (ITU-R BT.601)."""
LIT: Final = 32
"""Brightest channel, 0 to 255, from which a pixel counts fully as part of the field of view."""


class ColourJitter(NamedTuple):
    """A change of colours: factors of brightness, contrast and saturation, and a rotation of the hue in turns."""

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0


def random_warp(rng: np.random.Generator, settings: AugmentationSettings, size: int) -> NDArray[np.float64]:
    """Draws flips, zoom and rotation, composed about the centre of the photograph.

    Args:
        rng: Random number generator.
        settings: Ranges of the augmentation.
        size: Side of the square photograph, in pixels.

    Returns:
        Affine matrix (2, 3), float64, from source to augmented pixel coordinates (x, y).

    Example:
        >>> random_warp(np.random.default_rng(0), AugmentationSettings(), 8)
        array([[1., 0., 0.],
               [0., 1., 0.]])
    """
    # All values are drawn regardless of the settings, so that switching one off leaves the others unchanged.
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


def random_jitter(rng: np.random.Generator, settings: AugmentationSettings) -> ColourJitter:
    """Draws a change of colours.

    Args:
        rng: Random number generator.
        settings: Ranges of the augmentation.

    Returns:
        Factors ``1 ± setting`` and a rotation ``± hue``, each drawn uniformly.
    """
    ranges = np.array([settings.brightness, settings.contrast, settings.saturation, settings.hue])
    brightness, contrast, saturation, hue = (rng.uniform(-1, 1, 4) * ranges).tolist()
    return ColourJitter(1 + brightness, 1 + contrast, 1 + saturation, hue)


def jitter_colours(photograph: NDArray[np.uint8], jitter: ColourJitter) -> NDArray[np.uint8]:
    """Changes brightness, contrast, saturation and hue, in this order; black stays black.

    With pixel ``x``, its grey ``g(x)`` and the mean grey ``m`` of the field of view, the first three are torchvision's:
    ``x → b·x``, ``x → c·x + (1 - c)·m`` and ``x → s·x + (1 - s)·g(x)``. All are affine in ``x``, so one matrix applies
    them with one rounding and clipping to 0 … 255. The constant term of the contrast would turn the camera's mask grey,
    so it fades out below a brightest channel of :data:`LIT`: black stays black, and JPEG noise beside the disc changes
    little. The hue is rotated in HSV.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.
        jitter: The change of colours.

    Returns:
        RGB pixels (H, W, 3), uint8.

    Example:
        >>> jitter_colours(np.full((1, 1, 3), 100, np.uint8), ColourJitter(brightness=1.2)).tolist()
        [[[120, 120, 120]]]
    """
    if jitter[:3] != (1.0, 1.0, 1.0):
        channels = cv2.split(photograph)
        lit = np.minimum(cv2.max(cv2.max(channels[0], channels[1]), channels[2]), LIT).astype(np.uint8)
        mean = jitter.brightness * float(LUMA @ cv2.mean(photograph, (lit == LIT).astype(np.uint8))[:3])
        saturate = jitter.saturation * np.eye(3) + (1 - jitter.saturation) * np.tile(LUMA, (3, 1))
        added = np.full((3, 1), (1 - jitter.contrast) * mean / LIT)
        matrix = np.hstack([jitter.brightness * jitter.contrast * saturate, added])
        photograph = cast(NDArray[np.uint8], cv2.transform(cv2.merge([*channels, lit]), matrix))
    if jitter.hue:
        hsv = cv2.cvtColor(photograph.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)  # hue in degrees
        hsv[..., 0] = (hsv[..., 0] + 360 * jitter.hue) % 360
        photograph = np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)
    return photograph


def augment(
    photograph: NDArray[np.uint8], rng: np.random.Generator, settings: AugmentationSettings
) -> NDArray[np.uint8]:
    """Augments one photograph; pixels from outside of it are black, like the camera's mask.

    Args:
        photograph: RGB pixels (S, S, 3), uint8.
        rng: Random number generator.
        settings: Ranges of the augmentation.

    Returns:
        RGB pixels (S, S, 3), uint8.
    """
    size = photograph.shape[0]
    warp = random_warp(rng, settings, size)
    jitter = random_jitter(rng, settings)  # drawn after the warp, so that colours don't change the geometry
    warped = cv2.warpAffine(photograph, warp, (size, size), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0))
    changed = jitter_colours(cast(NDArray[np.uint8], warped), jitter)
    if not settings.camera or keeps_look(rng, settings):
        return changed
    return apply_camera(draw_camera(rng, settings.camera), changed, lit_region(changed))


def keeps_look(rng: np.random.Generator, settings: AugmentationSettings) -> bool:
    """Draws whether a photograph keeps its look; without a draw where ``camera`` changes all."""
    return settings.camera_share < 1 and rng.random() >= settings.camera_share
