"""The way from a prepared photograph to its lesion maps, which training and grading share."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.images.camera import lit_region

_Value = TypeVar("_Value", np.uint8, np.float32)


def blacken_outside(photograph: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Makes a photograph black outside its field of view, as the crops are that a network is trained on.

    Args:
        photograph: RGB pixels (S, S, 3), uint8, prepared.

    Returns:
        RGB pixels (S, S, 3), and True (S, S) inside the field of view.
    """
    inside = lit_region(photograph)
    return np.asarray(cv2.bitwise_and(photograph, photograph, mask=inside.astype(np.uint8)), np.uint8), inside


def enlarge_maps(maps: NDArray[_Value], side: int) -> NDArray[_Value]:
    """Resizes maps to the pixels of their photograph, by linear interpolation.

    A network whose decoder has fewer blocks than its backbone has stages makes smaller maps. OpenCV enlarges these in
    less time than the engines of graphs need for it.

    Args:
        maps: Probabilities (K, H, W): float32, or uint8 from 0 to 255. H and W are at most ``side``, or
            twice as large where fast grading enlarged the photograph for the network.
        side: Side of the photograph, in pixels.

    Returns:
        Probabilities (K, side, side); the maps themselves where they have that side.

    Example:
        >>> enlarge_maps(np.full((5, 2, 2), 7, np.uint8), 4).shape
        (5, 4, 4)
    """
    if maps.shape[1:] == (side, side):
        return maps
    enlarged = np.empty((len(maps), side, side), maps.dtype)
    for small, large in zip(maps, enlarged, strict=True):
        cv2.resize(small, (side, side), dst=large, interpolation=cv2.INTER_LINEAR)
    return enlarged
