"""A folder of pictures without a fundus, with a sub-folder for each package or other origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.errors import ImageError, LayoutError
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.images.listing import list_folder
from retinagrade.images.read import read_photograph
from retinagrade.training.gate.drawing import any_colour, to_pixels
from retinagrade.training.gate.round_things import put_on_disc, shade_like_a_ball

_LONGEST: Final = 800
"""Longest side, in pixels, at which a picture is kept in memory."""
_SHORTEST: Final = 100
"""Shortest side, in pixels, of a picture that shows enough to be of use."""
_KEPT: Final = 1200
_LEVELS: Final = 100
_WHITE: Final = (245, 0.3)
"""Grey level that counts as white, and the share of white pixels from which a picture is a drawing."""


@dataclass(frozen=True)
class FolderPicture:
    """A picture of the folder.

    Attributes:
        file: Its file.
        origin: Name of its sub-folder.
        is_photograph: Whether it has many grey levels and little white, unlike most drawings.
    """

    file: Path
    origin: str
    is_photograph: bool


def list_pictures(folder: Path, progress: Progress | None = None) -> list[FolderPicture]:
    """Lists the pictures of a folder, sorted by path; those that can't be read or are small are left out.

    Args:
        folder: The folder.
        progress: Receives the number of pictures.

    Raises:
        LayoutError: The folder holds none.
    """
    files = list_folder(folder).photographs
    step = begin_stage(progress, "reading other pictures", len(files))
    usable = []
    for file in files:
        picture = _examine(file, file.relative_to(folder).parts[0])
        if picture is not None:
            usable.append(picture)
        step()
    if not usable:
        raise LayoutError(f"{folder}: no pictures: give a folder with a sub-folder of pictures for each origin")
    return usable


def hold_out_origins(pictures: Sequence[FolderPicture], share: float, seed: int) -> frozenset[str]:
    """Draws the sub-folders whose pictures are for judging only: as many as fit into a share of all pictures.

    Args:
        pictures: The pictures.
        share: Largest share of the pictures.
        seed: Seed of the draw.
    """
    origins = sorted({each.origin for each in pictures})
    counts = {origin: sum(each.origin == origin for each in pictures) for origin in origins}
    held: set[str] = set()
    room = share * len(pictures)
    for place in np.random.default_rng(seed).permutation(len(origins)):
        origin = origins[int(place)]
        if counts[origin] <= room and len(held) < len(origins) - 1:
            held.add(origin)
            room -= counts[origin]
    return frozenset(held)


def show_picture(rng: np.random.Generator, picture: FolderPicture) -> NDArray[np.uint8]:
    """Shows a part of a picture at any size, sometimes in the colours of a fundus."""
    pixels = _part(rng, _read(picture.file), (200, 500), 0.45)
    return _tint(rng, pixels) if rng.random() < 0.3 else pixels


def show_on_disc(rng: np.random.Generator, picture: FolderPicture) -> NDArray[np.uint8]:
    """Shows a part of a picture on a disc, as a camera shows a fundus, often in its colours."""
    pixels = _part(rng, _read(picture.file), (260, 480), 0.2)
    draw = rng.random()
    if draw < 0.6:
        pixels = _tint(rng, pixels)
    elif draw < 0.7:
        grey = pixels.mean(axis=2, keepdims=True) / 255
        pixels = to_pixels(grey * any_colour(rng, 120, 255))
    if rng.random() < 0.3:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.5, 6)), np.uint8)
    light = rng.random()
    if light < 0.25:
        pixels = _light(rng, pixels)
    elif light < 0.5:
        pixels = shade_like_a_ball(rng, pixels)
    return put_on_disc(rng, pixels)


@lru_cache(maxsize=_KEPT)
def _read(file: Path) -> NDArray[np.uint8]:
    pixels = read_photograph(file)
    factor = _LONGEST / max(pixels.shape)
    if factor >= 1:
        return pixels
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)


def _examine(file: Path, origin: str) -> FolderPicture | None:
    """Returns the picture of a file; ``None`` where it can't be read, is small or shows nothing."""
    try:
        pixels = _read(file)
    except ImageError:
        return None
    if min(pixels.shape[:2]) < _SHORTEST or float(pixels.std()) < 3:
        return None
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    level, share = _WHITE
    is_photograph = np.count_nonzero(np.bincount(grey.ravel())) > _LEVELS and float(np.mean(grey > level)) < share
    return FolderPicture(file, origin, bool(is_photograph))


def _part(
    rng: np.random.Generator, pixels: NDArray[np.uint8], sizes: tuple[int, int], least: float
) -> NDArray[np.uint8]:
    """Cuts out a part of any place and shape, and resizes it so that its longer side has one of these sizes."""
    height, width = pixels.shape[:2]
    share = rng.uniform(least, 1)
    high, wide = int(height * share), int(width * rng.uniform(max(least, share - 0.3), min(1, share + 0.3)))
    top, left = int(rng.integers(0, height - high + 1)), int(rng.integers(0, width - wide + 1))
    part = pixels[top : top + high, left : left + wide]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    factor = rng.integers(*sizes) / max(part.shape[:2])
    size = max(1, round(wide * factor)), max(1, round(high * factor))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(np.ascontiguousarray(part), size, interpolation=interpolation))


def _tint(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Gives a picture the colours of a fundus."""
    grey = pixels.astype(np.float32).mean(axis=2, keepdims=True) / 255
    colour = rng.uniform((160, 70, 5), (250, 150, 90))
    return to_pixels(grey ** rng.uniform(0.6, 1.3) * colour)


def _light(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lets light fall off from a place in the middle."""
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = rng.uniform(0.35, 0.65, 2)
    away = ((columns / width - x) ** 2 + (rows / height - y) ** 2) * rng.uniform(1.5, 3.5)
    return to_pixels(pixels * np.clip(1.1 - away, 0.05, 1.2)[..., None])
