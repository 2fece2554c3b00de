"""Optic disc, fovea and laterality of drawn retinas."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from retinagrade.lesion_maps.anatomy import Anatomy, find_anatomy
from tests.lesion_maps.made_up_maps import draw_maps, whole_field

SIDE = 512


def retina(fovea: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Draws an evenly red retina with a darker fovea."""
    pixels = np.zeros((SIDE, SIDE, 3), np.float32)
    pixels[:] = (170, 90, 30)
    if fovea is not None:
        rows, columns = np.ogrid[:SIDE, :SIDE]
        pixels *= 1 - 0.35 * np.exp(-((rows - fovea[1]) ** 2 + (columns - fovea[0]) ** 2) / (2 * 28**2))[..., None]
    pixels[~whole_field(SIDE)] = 0
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1), np.uint8)


def disc_map(x: float, y: float, radius: float = 40) -> NDArray[np.uint8]:
    return np.asarray(draw_maps([("optic_disc", x, y, radius, 0.95)], SIDE)[4])


@pytest.mark.parametrize(("disc_x", "fovea", "eye"), [(390, (190, 280), "right"), (122, (330, 275), "left")])
def test_the_fovea_lies_on_the_temporal_side_of_the_disc(disc_x: int, fovea: tuple[int, int], eye: str) -> None:
    anatomy = find_anatomy(retina(fovea), disc_map(disc_x, 250), whole_field(SIDE))
    assert anatomy.disc is not None
    assert anatomy.disc.x == pytest.approx(disc_x, abs=1)
    assert anatomy.disc.diameter == pytest.approx(80, abs=2)
    assert anatomy.laterality == eye
    assert anatomy.fovea is not None
    assert np.hypot(anatomy.fovea[0] - fovea[0], anatomy.fovea[1] - fovea[1]) < 12


def test_without_a_disc_nothing_is_known() -> None:
    empty = np.zeros((SIDE, SIDE), np.uint8)
    for none in (None, empty, disc_map(250, 250, 8), disc_map(250, 250, 120)):
        anatomy = find_anatomy(retina((190, 280)), none, whole_field(SIDE))
        assert anatomy == Anatomy()
        assert anatomy.fovea_or_middle((SIDE, SIDE)) == (256, 256)
        assert 60 < anatomy.disc_diameter((SIDE, SIDE)) < 100


def test_a_disc_in_the_middle_leaves_the_eye_open() -> None:
    anatomy = find_anatomy(retina(None), disc_map(256, 256), whole_field(SIDE))
    assert anatomy.disc is not None
    assert anatomy.laterality is None
