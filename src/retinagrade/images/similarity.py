"""Likeness: a perceptual hash that finds candidates for copies, and the correlation that confirms them."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from retinagrade.images.field_of_view import FieldOfView, crop_square

HASH_SIDE: Final = 16
_THUMBNAIL_SIDE: Final = 96


def perceptual_hash(photograph: np.ndarray, fov: FieldOfView) -> np.ndarray:
    """Hashes the vessels and lesions of a photograph, whatever its size, compression and brightness.

    The field of view is reduced to 16 × 16 pixels of the green channel without its slow changes, so that the disc of
    the camera and the illumination, which all photographs share, don't count; each pixel gives the bit of its sign.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.
        fov: Its field of view.

    Returns:
        256 bits as (4,) uint64.
    """
    reduced = cv2.resize(thumbnail(photograph, fov), (HASH_SIDE, HASH_SIDE), interpolation=cv2.INTER_AREA)
    return np.packbits(reduced > 0).view(np.uint64)


def thumbnail(photograph: np.ndarray, fov: FieldOfView) -> np.ndarray:
    """The structures of a photograph's field of view: 96 × 96 pixels, float32, mean 0; 0 outside the field of view."""
    side = (_THUMBNAIL_SIDE, _THUMBNAIL_SIDE)
    lit = cv2.resize(fov.mask.astype(np.uint8) * 255, photograph.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    inside = cv2.resize(crop_square(lit, fov), side, interpolation=cv2.INTER_AREA) > 250
    green = cv2.resize(crop_square(photograph[..., 1], fov), side, interpolation=cv2.INTER_AREA).astype(np.float32)
    weights = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 8) + 1e-6
    around = cv2.GaussianBlur(green * inside, (0, 0), 8) / weights
    structure = np.where(inside, green - around, 0)
    if inside.any():
        structure[inside] -= structure[inside].mean()
    return structure


def thumbnail_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation of two thumbnails, -1 to 1; 0 where one is empty."""
    scale = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float((first * second).sum() / scale) if scale else 0.0
