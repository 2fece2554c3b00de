"""Overlays: heat lies where the network saw it, whatever preparation cut off, padded and shrank."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from retinagrade.datasets.prepare_file import prepare_file
from retinagrade.explain.overlay import (
    WHOLE,
    SquarePlacement,
    add_colour_scale,
    grey_png,
    overlay_map,
    project_map,
    scale_end,
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
def test_heat_comes_back_to_where_it_was_in_the_file(tmp_path: Path, square: Square, suffix: str) -> None:
    spot = (330, 400)
    path = tmp_path / f"photograph{suffix}"
    photograph_with_a_spot(path, spot)
    outcome = prepare_file(("one", "one", path), PreparationSettings(96, square=square), tmp_path / "set")
    assert outcome.field_of_view is not None
    seen = read_photograph(tmp_path / "set" / "photographs" / "one.jpg")
    heat = (seen[..., 2] > 150).astype(np.float32)  # a map of heat that is right: blue is in the spot alone
    over = project_map(heat, square_placement(outcome.field_of_view, square), HEIGHT, WIDTH)
    assert over.shape == (HEIGHT, WIDTH)
    y, x = np.argwhere(over > 0.5).mean(axis=0)
    assert abs(x - spot[0]) < WIDTH / 96
    assert abs(y - spot[1]) < WIDTH / 96


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (300, 300), (2848, 4288)])
def test_any_size_of_photograph(height: int, width: int) -> None:
    heat = np.eye(7, dtype=np.float32)
    photograph = np.full((height, width, 3), 90, np.uint8)
    over = project_map(heat, SquarePlacement(-0.1, 0.2, 1.1), height, width)
    drawn = overlay_map(photograph, over, 1.0)
    assert drawn.shape == photograph.shape
    assert add_colour_scale(drawn, 1.0, "what it shows").shape[1] == width
    assert over.min() >= 0


def test_outside_the_square_there_is_no_heat_and_inside_nothing_is_lost() -> None:
    over = project_map(np.ones((4, 4), np.float32), SquarePlacement(0.25, 0.1, 0.5), 100, 100)
    np.testing.assert_allclose(over[10:60, 25:75], 1, rtol=1e-5)
    assert np.count_nonzero(over) == 50 * 50


def test_hotter_is_yellower_and_half_has_a_line() -> None:
    photograph = np.full((100, 100, 3), 100, np.uint8)
    heat = np.tile(np.linspace(0, 1, 100, dtype=np.float32), (100, 1))
    drawn = overlay_map(photograph, heat, 1.0).astype(int)
    assert drawn[50, 0].tolist() == [230, 230, 230]  # no heat: the green channel, brightened
    assert drawn[50, 90, 0] - drawn[50, 90, 2] > 60  # yellow
    assert drawn[50, 50].min() > drawn[50, 40].min() + 50


def test_scales_leave_single_pixels_out_but_never_all() -> None:
    heat = np.zeros((100, 100), np.float32)
    assert scale_end(heat) == 0
    assert overlay_map(np.zeros((100, 100, 3), np.uint8), heat, 0).max() == 0
    heat[0, 0] = 5
    assert scale_end(heat) == 5
    heat[50:60] = 1
    assert scale_end(heat) == 1
    grey = cv2.imdecode(np.frombuffer(grey_png(heat, 1.0), np.uint8), cv2.IMREAD_UNCHANGED)
    assert grey is not None
    assert grey.dtype == np.uint16
    assert grey.max() == grey[55, 0] == 65535
    assert grey[0, 50] == 0


def test_fine_maps_are_drawn_as_densities_and_coarse_ones_as_they_are() -> None:
    dust = np.zeros((256, 256), np.float32)
    dust[100:120:2, 100:120:2] = 4
    assert np.isclose(smooth_for_display(dust)[105:115, 105:115].mean(), 1, atol=0.2)
    coarse = np.random.default_rng(0).random((7, 7), dtype=np.float32)
    assert smooth_for_display(coarse) is coarse
    assert project_map(coarse, WHOLE, 7, 7).tolist() == coarse.tolist()
