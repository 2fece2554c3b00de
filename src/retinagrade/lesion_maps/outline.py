"""The way from a prepared photograph to its lesion maps, which training and grading share."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.images.camera import lit_region


def blacken_outside(photograph: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Makes a photograph black outside its field of view, as the crops are that a network is trained on.

    Args:
        photograph: RGB pixels (S, S, 3), uint8, prepared.

    Returns:
        RGB pixels (S, S, 3), and True (S, S) inside the field of view.
    """
    inside = lit_region(photograph)
    return np.asarray(cv2.bitwise_and(photograph, photograph, mask=inside.astype(np.uint8)), np.uint8), inside
