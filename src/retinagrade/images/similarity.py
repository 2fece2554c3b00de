"""Similarity of photographs: a perceptual hash to find candidates for copies, and a correlation to confirm them."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.images.field_of_view import FieldOfView, crop_square

HASH_SIDE: Final = 16
_THUMBNAIL_SIDE: Final = 96
_DESCRIPTOR_SIDE: Final = 32
_PAIRS_AT_A_TIME: Final = 1 << 14


def perceptual_hash(photograph: NDArray[np.uint8], fov: FieldOfView) -> NDArray[np.uint64]:
    """Hashes the vessels and lesions of a photograph, independently of size, compression and brightness.

    The green channel of the field of view is reduced to 16 × 16 pixels, without its slow changes: all photographs have
    the disc of the camera and its illumination in common. The sign of each pixel is one bit.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.
        fov: Its field of view.

    Returns:
        Hash of 256 bits, (4,) uint64.
    """
    reduced = cv2.resize(thumbnail(photograph, fov), (HASH_SIDE, HASH_SIDE), interpolation=cv2.INTER_AREA)
    return np.packbits(reduced > 0).view(np.uint64)


def descriptor(photograph: NDArray[np.uint8], fov: FieldOfView) -> NDArray[np.int8]:
    """Describes the structures of a photograph in a kilobyte, so that a million descriptors fit into memory.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.
        fov: Its field of view.

    Returns:
        The thumbnail at 32 × 32 pixels, flat (1024,), int8, scaled to -127 to 127.
    """
    side = (_DESCRIPTOR_SIDE, _DESCRIPTOR_SIDE)
    reduced = cv2.resize(thumbnail(photograph, fov), side, interpolation=cv2.INTER_AREA)
    largest = float(np.abs(reduced).max())
    return np.round(reduced * (127 / largest if largest else 0)).astype(np.int8).reshape(-1)


def descriptor_correlations(descriptors: NDArray[np.int8], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """Computes the correlation of the descriptors of each pair.

    Args:
        descriptors: Descriptors (N, 1024), int8.
        pairs: Rows of ``descriptors``, (P, 2), int64.

    Returns:
        Correlations about zero (P,), float32, -1 to 1; 0 where a descriptor is empty.
    """
    norms = np.sqrt(np.einsum("nd,nd->n", descriptors, descriptors, dtype=np.float32))
    result = np.zeros(len(pairs), np.float32)
    for start in range(0, len(pairs), _PAIRS_AT_A_TIME):
        first, second = pairs[start : start + _PAIRS_AT_A_TIME].T
        products = np.einsum("pd,pd->p", descriptors[first], descriptors[second], dtype=np.float32)
        scale = norms[first] * norms[second]
        np.divide(products, scale, out=result[start : start + len(scale)], where=scale > 0)
    return result


def thumbnail(photograph: NDArray[np.uint8], fov: FieldOfView) -> NDArray[np.float32]:
    """Reduces the field of view to its structures: the green channel without the local average.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.
        fov: Its field of view.

    Returns:
        Differences to the local average (96, 96), float32, with mean 0; 0 outside the field of view.
    """
    side = (_THUMBNAIL_SIDE, _THUMBNAIL_SIDE)
    inside = cv2.resize(crop_square(fov.full_mask(photograph), fov), side, interpolation=cv2.INTER_AREA) > 250
    green = cv2.resize(crop_square(photograph[..., 1], fov), side, interpolation=cv2.INTER_AREA).astype(np.float32)
    weights = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 8) + 1e-6
    average = cv2.GaussianBlur(green * inside, (0, 0), 8) / weights
    structure = np.where(inside, green - average, 0)
    if inside.any():
        structure[inside] -= structure[inside].mean()
    return structure


def thumbnail_correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Returns the Pearson correlation of two thumbnails, -1 to 1; 0 where one is empty."""
    scale = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float((first * second).sum() / scale) if scale else 0.0
