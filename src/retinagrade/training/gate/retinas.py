"""Retinas: prepared photographs, and synthetic ones, of which made-up cameras take pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.datasets.synthetic.photograph import CameraModel, Complexion, draw_photograph
from retinagrade.grades import Grade
from retinagrade.images.camera import lit_region
from retinagrade.images.field_of_view import crop_square, find_field_of_view
from retinagrade.images.prepare import resize_to_input
from retinagrade.images.read import read_photograph
from retinagrade.training.gate.landmarks import Landmarks

RETINA_SIDE: Final = 512
"""Side of a retina's pixels: more than the gate ever sees."""
_KEPT: Final = 450
"""Retinas that stay in memory, of 1 MB each."""
_SYNTHETIC_SIZE: Final = 420


@dataclass(frozen=True)
class Retina:
    """A retina.

    Attributes:
        image_id: Id of its photograph.
        pixels: RGB (S, S, 3), uint8; the disc of the camera touches the four sides.
        inside: True (S, S) inside the field of view.
        landmarks: Optic disc and fovea.
    """

    image_id: str
    pixels: NDArray[np.uint8]
    inside: NDArray[np.bool_]
    landmarks: Landmarks


@dataclass(frozen=True)
class RetinaSource:
    """Where retinas come from.

    Attributes:
        files: Files of prepared photographs by image id.
        landmarks: Their landmarks by image id.
    """

    files: Mapping[str, Path]
    landmarks: Mapping[str, Landmarks]

    def read(self, image_id: str) -> Retina:
        """Reads a prepared photograph.

        Raises:
            ImageError: The photograph can't be read.
        """
        pixels, inside = _read(self.files[image_id])
        return Retina(image_id, pixels, inside, self.landmarks.get(image_id, Landmarks()))


@lru_cache(maxsize=_KEPT)
def _read(file: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    pixels = resize_to_input(read_photograph(file), RETINA_SIDE)
    return pixels, lit_region(pixels)


@lru_cache(maxsize=_KEPT)
def draw_synthetic_retina(seed: tuple[int, ...]) -> Retina:
    """Draws a synthetic retina without landmarks.

    Args:
        seed: Seed of the drawing.
    """
    rng = np.random.default_rng(seed)
    grade, is_left = Grade(int(rng.integers(5))), bool(rng.random() < 0.5)
    drawn = draw_photograph(rng, grade, is_left, _SYNTHETIC_SIZE, Complexion.draw(rng), CameraModel.draw(rng)).pixels
    square = crop_square(drawn, find_field_of_view(drawn))
    pixels = np.asarray(cv2.resize(square, (RETINA_SIDE, RETINA_SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)
    return Retina("synthetic", pixels, lit_region(pixels), Landmarks())
