"""Saliency overlays: maps lie at the right place of a photograph, however it was cropped, padded and shrunk."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from retinagrade.datasets.prepare_file import prepare_file
from retinagrade.explanations.overlay import (
    WHOLE,
    SquarePlacement,
    add_colour_scale,
    draw_overlay,
    grey_png,
    project_map,
    scale_maximum,
    smooth_for_display,
    square_placement,
)
from retinagrade.images.prepare import PreparationSettings, Square
from retinagrade.images.read import read_photograph

HEIGHT, WIDTH = 500, 800


def photograph_with_a_spot(path: Path, spot: tuple[int, int]) -> None:
    """A disc that the frame cuts at top and bottom, with a bright spot at (x, y)."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    cv2.circle(pixels, (380, 250), 300, (150, 80, 40), cv2.FILLED)
    cv2.circle(pixels, spot, 12, (255, 255, 255), cv2.FILLED)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("square", ["pad", "crop", "frame"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])  # JPEGs are decoded at reduced scale
def test_saliency_is_projected_to_its_place_in_the_file(tmp_path: Path, square: Square, suffix: str) -> None:
    spot = (330, 400)
    path = tmp_path / f"photograph{suffix}"
    photograph_with_a_spot(path, spot)
    outcome = prepare_file(("one", "one", path), PreparationSettings(96, square=square), tmp_path / "set")
    assert outcome.field_of_view is not None
    prepared = read_photograph(tmp_path / "set" / "photographs" / "one.jpg")
    saliency = (prepared[..., 2] > 150).astype(np.float32)  # a correct map: only the spot is blue
    projected = project_map(saliency, square_placement(outcome.field_of_view, square), HEIGHT, WIDTH)
    assert projected.shape == (HEIGHT, WIDTH)
    y, x = np.argwhere(projected > 0.5).mean(axis=0)
    assert abs(x - spot[0]) < WIDTH / 96
    assert abs(y - spot[1]) < WIDTH / 96


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (300, 300), (2848, 4288)])
def test_photographs_of_any_size_are_drawn_on(height: int, width: int) -> None:
    saliency = np.eye(7, dtype=np.float32)
    photograph = np.full((height, width, 3), 90, np.uint8)
    projected = project_map(saliency, SquarePlacement(-0.1, 0.2, 1.1), height, width)
    drawn = draw_overlay(photograph, projected, 1.0)
    assert drawn.shape == photograph.shape
    assert add_colour_scale(drawn, 1.0, "a caption").shape[1] == width
    assert projected.min() >= 0


def test_saliency_is_0_outside_the_square_and_complete_inside() -> None:
    projected = project_map(np.ones((4, 4), np.float32), SquarePlacement(0.25, 0.1, 0.5), 100, 100)
    np.testing.assert_allclose(projected[10:60, 25:75], 1, rtol=1e-5)
    assert np.count_nonzero(projected) == 50 * 50


def test_higher_saliency_is_yellower_and_half_of_the_scale_has_a_line() -> None:
    photograph = np.full((100, 100, 3), 100, np.uint8)
    saliency = np.tile(np.linspace(0, 1, 100, dtype=np.float32), (100, 1))
    drawn = draw_overlay(photograph, saliency, 1.0).astype(int)
    assert drawn[50, 0].tolist() == [230, 230, 230]  # no saliency: the green channel, brightened
    assert drawn[50, 90, 0] - drawn[50, 90, 2] > 60  # yellow
    assert drawn[50, 50].min() > drawn[50, 40].min() + 50


def test_the_scale_ignores_single_pixels_but_not_all() -> None:
    saliency = np.zeros((100, 100), np.float32)
    assert scale_maximum(saliency) == 0
    assert draw_overlay(np.zeros((100, 100, 3), np.uint8), saliency, 0).max() == 0
    saliency[0, 0] = 5
    assert scale_maximum(saliency) == 5
    saliency[50:60] = 1
    assert scale_maximum(saliency) == 1
    grey = cv2.imdecode(np.frombuffer(grey_png(saliency, 1.0), np.uint8), cv2.IMREAD_UNCHANGED)
    assert grey is not None
    assert grey.dtype == np.uint16
    assert grey.max() == grey[55, 0] == 65535
    assert grey[0, 50] == 0


def test_fine_maps_are_smoothed_and_coarse_ones_are_not() -> None:
    dust = np.zeros((256, 256), np.float32)
    dust[100:120:2, 100:120:2] = 4
    assert np.isclose(smooth_for_display(dust)[105:115, 105:115].mean(), 1, atol=0.2)
    coarse = np.random.default_rng(0).random((7, 7), dtype=np.float32)
    assert smooth_for_display(coarse) is coarse
    assert project_map(coarse, WHOLE, 7, 7).tolist() == coarse.tolist()
