"""Saliency overlays: maps lie at the right place of a photograph, however it was cropped, padded and shrunk."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from retinagrade.explanations.overlay import (
    add_colour_scale,
    draw_overlay,
    grey_png,
    scale_maximum,
    smooth_for_display,
)
from retinagrade.explanations.style import DrawingStyle
from retinagrade.images.placement import Placement

STYLE = DrawingStyle()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (300, 300), (2848, 4288)])
def test_photographs_of_any_size_are_drawn_on(height: int, width: int) -> None:
    saliency = np.eye(7, dtype=np.float32)
    photograph = np.full((height, width, 3), 90, np.uint8)
    projected = Placement(-0.1 * width, 0.2 * width, 1.1 * width, 1.1 * width, 7).project(saliency, height, width)
    drawn = draw_overlay(photograph, projected, 1.0, STYLE)
    assert drawn.shape == photograph.shape
    assert add_colour_scale(drawn, 1.0, STYLE, "a caption").shape[1] == width
    assert projected.min() >= 0


def test_higher_saliency_is_yellower_and_half_of_the_scale_has_a_line() -> None:
    photograph = np.full((100, 100, 3), 100, np.uint8)
    saliency = np.tile(np.linspace(0, 1, 100, dtype=np.float32), (100, 1))
    drawn = draw_overlay(photograph, saliency, 1.0, STYLE).astype(int)
    assert drawn[50, 0].tolist() == [230, 230, 230]  # no saliency: the green channel, brightened
    assert drawn[50, 90, 0] - drawn[50, 90, 2] > 60  # yellow
    assert drawn[50, 50].min() > drawn[50, 40].min() + 50


def test_the_scale_ignores_single_pixels_but_not_all() -> None:
    saliency = np.zeros((100, 100), np.float32)
    assert scale_maximum(saliency) == 0
    assert draw_overlay(np.zeros((100, 100, 3), np.uint8), saliency, 0, STYLE).max() == 0
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
    np.testing.assert_allclose(Placement(0, 0, 7, 7, 7).project(coarse, 7, 7), coarse, atol=1e-6)
