"""What becomes of one photograph: decoded, cropped to its field of view, resized, its contrast raised when asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from retinagrade.errors import ImageError
from retinagrade.images.contrast import clahe, subtract_average
from retinagrade.images.decoding import File
from retinagrade.images.field_of_view import SEARCH_SIDE, FieldOfView, crop_square, find_field_of_view, whole_frame
from retinagrade.images.read import read_photograph

Contrast = Literal["none", "clahe", "graham"]
Square = Literal["pad", "crop", "frame"]


@dataclass(frozen=True)
class PreparationSettings:
    """How photographs are prepared.

    Attributes:
        size: Side of the square photographs, in pixels.
        contrast: ``none``; ``clahe``, lightness equalised by tiles (report §2.3); or ``graham``, each pixel less the
            average around it.
        square: ``pad`` keeps the whole field of view, ``crop`` cuts its longer side as the report does, ``frame`` looks
            for none and pads the whole frame: for photographs that were cropped already.
        recipe: Raised whenever the same settings would give other pixels.
    """

    size: int
    contrast: Contrast = "none"
    square: Square = "pad"
    recipe: int = 1


def prepare_photograph(path: File, settings: PreparationSettings) -> tuple[np.ndarray, FieldOfView, tuple[int, int]]:
    """Prepares one photograph (report, chapter 2).

    A JPEG is decoded at the smallest scale at which its field of view still has the size that is asked for, and can be
    found to a pixel or two of the result.

    Args:
        path: The photograph.
        settings: What to make of it.

    Returns:
        RGB pixels (size, size, 3), uint8; the field of view and the (height, width) of the decoded photograph that
        it refers to. Shrinking by more than half averages areas, by less interpolates linearly; enlarging is bicubic.

    Raises:
        ImageError: Corrupt, or without a field of view.
    """
    photograph, fov = open_photograph(path, settings)
    return fit_photograph(photograph, fov, settings), fov, (photograph.shape[0], photograph.shape[1])


def open_photograph(path: File, settings: PreparationSettings) -> tuple[np.ndarray, FieldOfView]:
    """The first half of :func:`prepare_photograph`: RGB pixels (H, W, 3), uint8, at the scale needed, and their FOV.

    Raises:
        ImageError: Corrupt, or without a field of view.
    """
    photograph = read_photograph(path, max(settings.size, SEARCH_SIDE))
    fov = _find(photograph, path, settings)
    side = _side(fov, settings)
    if side < settings.size:
        finer = read_photograph(path, round(1.1 * min(photograph.shape[:2]) * settings.size / side))
        if finer.shape != photograph.shape:
            photograph, fov = finer, _find(finer, path, settings)
    return photograph, fov


def fit_photograph(photograph: np.ndarray, fov: FieldOfView, settings: PreparationSettings) -> np.ndarray:
    """The second half of :func:`prepare_photograph`: RGB pixels (size, size, 3), uint8, of a decoded photograph."""
    square = _fit(photograph, fov, settings)
    shape = photograph.shape[0], photograph.shape[1]
    if settings.contrast != "none":
        inside = prepare_mask(fov.mask, fov, shape, settings) > 0.5
        square = clahe(square, inside) if settings.contrast == "clahe" else subtract_average(square, inside)
    return square


def resize_to_input(photograph: np.ndarray, size: int) -> np.ndarray:
    """A prepared photograph (P, P, 3), uint8, as a network of input side ``size`` takes it."""
    if photograph.shape[:2] == (size, size):
        return photograph
    shrinks = photograph.shape[0] > size
    return cv2.resize(photograph, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def prepare_mask(
    mask: np.ndarray, fov: FieldOfView, shape: tuple[int, int], settings: PreparationSettings
) -> np.ndarray:
    """Crops and resizes a mask of a photograph exactly as :func:`prepare_photograph` does the photograph.

    Args:
        mask: True (h, w) where something is; of the whole photograph, at any scale.
        fov: The photograph's field of view, as :func:`prepare_photograph` found it.
        shape: The (height, width) that the field of view refers to, from the same call.
        settings: What was made of the photograph.

    Returns:
        How much of each pixel of the prepared photograph the mask covers (size, size), float32, 0 to 1.
    """
    shrinks = mask.shape[0] > shape[0]
    covered = cv2.resize(
        mask.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return np.asarray(np.clip(_fit(covered, fov, settings), 0, 1))  # cubic interpolation overshoots


def _find(photograph: np.ndarray, path: File, settings: PreparationSettings) -> FieldOfView:
    if settings.square == "frame":
        return whole_frame(photograph)
    try:
        return find_field_of_view(photograph)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def _side(fov: FieldOfView, settings: PreparationSettings) -> int:
    return min(fov.width, fov.height) if settings.square == "crop" else fov.side


def _fit(photograph: np.ndarray, fov: FieldOfView, settings: PreparationSettings) -> np.ndarray:
    """The square around, or in, the field of view at the size that is asked for."""
    size = settings.size
    if settings.square == "crop":
        square = crop_square(photograph, fov, "crop")
        return cv2.resize(square, (size, size), interpolation=_interpolation(square.shape[0] / size))
    # Resized into its place, before it is padded: fewer pixels are copied.
    box = photograph[fov.y : fov.y + fov.height, fov.x : fov.x + fov.width]
    height, width = (max(1, round(length * size / fov.side)) for length in box.shape[:2])
    top, left = (size - height) // 2, (size - width) // 2
    padded = np.zeros((size, size, *photograph.shape[2:]), photograph.dtype)
    place = padded[top : top + height, left : left + width]
    cv2.resize(box, (width, height), place, interpolation=_interpolation(fov.side / size))
    return padded


def _interpolation(shrinking: float) -> int:
    if shrinking >= 2:
        return cv2.INTER_AREA
    return cv2.INTER_LINEAR if shrinking >= 1 else cv2.INTER_CUBIC
