"""Preparation of one photograph: decode, crop to the field of view, resize, and enhance contrast on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.errors import ImageError
from retinagrade.images.contrast import clahe, subtract_average
from retinagrade.images.decoding import File
from retinagrade.images.field_of_view import (
    SEARCH_SIDE,
    FieldOfView,
    Pixel,
    crop_square,
    find_field_of_view,
    whole_frame,
)
from retinagrade.images.read import read_photograph

Contrast = Literal["none", "clahe", "graham"]
Square = Literal["pad", "crop", "frame"]


@dataclass(frozen=True)
class PreparationSettings:
    """Settings of the preparation.

    Attributes:
        size: Side of the square photographs, in pixels.
        contrast: ``none``; ``clahe`` equalises lightness by tiles (report §2.3); ``graham`` subtracts the local average
            from each pixel.
        square: ``pad`` keeps the whole field of view; ``crop`` cuts its longer side, as in the report; ``frame`` pads
            the whole frame and detects no field of view: for photographs that were cropped before.
        recipe: Version of the preparation. It grows when the same settings give different pixels.
    """

    size: int
    contrast: Contrast = "none"
    square: Square = "pad"
    recipe: int = 1


def prepare_photograph(
    path: File, settings: PreparationSettings
) -> tuple[NDArray[np.uint8], FieldOfView, tuple[int, int]]:
    """Prepares one photograph (report, chapter 2).

    A JPEG is decoded at the smallest scale at which its field of view has at least the requested size. At this scale
    the field of view is found to within a pixel or two of the result.

    Args:
        path: The photograph.
        settings: Size, contrast and crop.

    Returns:
        RGB pixels (size, size, 3), uint8; the field of view; and the (height, width) of the decoded photograph, which
        the field of view refers to. Shrinking to less than half averages areas, other shrinking interpolates linearly,
        and enlarging is bicubic.

    Raises:
        ImageError: The photograph is corrupt, or has no field of view.
    """
    photograph, fov = open_photograph(path, settings)
    return fit_photograph(photograph, fov, settings), fov, (photograph.shape[0], photograph.shape[1])


def open_photograph(path: File, settings: PreparationSettings) -> tuple[NDArray[np.uint8], FieldOfView]:
    """Decodes a photograph and finds its field of view: the first half of :func:`prepare_photograph`.

    Returns:
        RGB pixels (H, W, 3), uint8, at the needed scale, and their field of view.

    Raises:
        ImageError: The photograph is corrupt, or has no field of view.
    """
    photograph = read_photograph(path, max(settings.size, SEARCH_SIDE))
    fov = _find(photograph, path, settings)
    side = _side(fov, settings)
    if side < settings.size:
        finer = read_photograph(path, round(1.1 * min(photograph.shape[:2]) * settings.size / side))
        if finer.shape != photograph.shape:
            photograph, fov = finer, _find(finer, path, settings)
    return photograph, fov


def fit_photograph(photograph: NDArray[np.uint8], fov: FieldOfView, settings: PreparationSettings) -> NDArray[np.uint8]:
    """Crops, resizes and enhances a decoded photograph: the second half of :func:`prepare_photograph`.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.
        fov: Its field of view.
        settings: Size, contrast and crop.

    Returns:
        RGB pixels (size, size, 3), uint8.
    """
    square = _fit(photograph, fov, settings)
    shape = photograph.shape[0], photograph.shape[1]
    if settings.contrast != "none":
        inside = prepare_mask(fov.mask, fov, shape, settings) > 0.5
        square = clahe(square, inside) if settings.contrast == "clahe" else subtract_average(square, inside)
    return square


def resize_to_input(photograph: NDArray[Pixel], size: int) -> NDArray[Pixel]:
    """Resizes a prepared photograph to the input of a network.

    Args:
        photograph: Pixels (P, P) or (P, P, C).
        size: Side of the input, in pixels.

    Returns:
        Pixels (size, size) or (size, size, C) of the same type.
    """
    if photograph.shape[:2] == (size, size):
        return photograph
    shrinks = photograph.shape[0] > size
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(photograph, (size, size), interpolation=interpolation), photograph.dtype)


def prepare_mask(
    mask: NDArray[Any], fov: FieldOfView, shape: tuple[int, int], settings: PreparationSettings
) -> NDArray[np.float32]:
    """Crops and resizes a mask exactly like :func:`prepare_photograph` crops and resizes its photograph.

    Args:
        mask: True (h, w) in the marked region of the whole photograph; at any scale.
        fov: The photograph's field of view, from :func:`prepare_photograph`.
        shape: The (height, width) that the field of view refers to, from the same call.
        settings: Settings of the same call.

    Returns:
        Share of each pixel of the prepared photograph that the mask covers, (size, size), float32, 0 to 1.
    """
    shrinks = mask.shape[0] > shape[0]
    covered = cv2.resize(
        mask.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    square = _fit(np.asarray(covered, np.float32), fov, settings)
    return np.clip(square, 0, 1)  # cubic interpolation goes beyond the range


def _find(photograph: NDArray[np.uint8], path: File, settings: PreparationSettings) -> FieldOfView:
    if settings.square == "frame":
        return whole_frame(photograph)
    try:
        return find_field_of_view(photograph)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def _side(fov: FieldOfView, settings: PreparationSettings) -> int:
    return min(fov.width, fov.height) if settings.square == "crop" else fov.side


def _fit(photograph: NDArray[Pixel], fov: FieldOfView, settings: PreparationSettings) -> NDArray[Pixel]:
    """Returns the square around, or within, the field of view at the requested size."""
    size = settings.size
    if settings.square == "crop":
        square = crop_square(photograph, fov, "crop")
        interpolation = _interpolation(square.shape[0] / size)
        return np.asarray(cv2.resize(square, (size, size), interpolation=interpolation), photograph.dtype)
    # Resizing into the padded square copies fewer pixels than padding first.
    box = photograph[fov.y : fov.y + fov.height, fov.x : fov.x + fov.width]
    height, width = (max(1, round(length * size / fov.side)) for length in box.shape[:2])
    top, left = (size - height) // 2, (size - width) // 2
    padded = np.zeros((size, size, *photograph.shape[2:]), photograph.dtype)
    target = padded[top : top + height, left : left + width]
    cv2.resize(box, (width, height), target, interpolation=_interpolation(fov.side / size))
    return padded


def _interpolation(shrinking: float) -> int:
    if shrinking >= 2:
        return cv2.INTER_AREA
    return cv2.INTER_LINEAR if shrinking >= 1 else cv2.INTER_CUBIC
