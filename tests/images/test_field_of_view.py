"""The field of view is found whatever the camera, exposure and noise; it never fails silently."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retinagrade.datasets.synthetic.photograph import CameraModel, Complexion, draw_photograph
from retinagrade.errors import ImageError
from retinagrade.grades import Grade
from retinagrade.images.field_of_view import LOW_CONFIDENCE, crop_square, detect_and_crop, find_field_of_view


def disc(
    height: int, width: int, x: int, y: int, radius: int, brightness: int = 120, background: int = 0
) -> NDArray[Any]:
    photograph = np.full((height, width, 3), background, np.uint8)
    return cv2.circle(photograph, (x, y), radius, (brightness, brightness // 2, brightness // 5), cv2.FILLED)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(200, 900),
    st.floats(1.0, 1.8),
    st.floats(0.25, 0.47),
    st.floats(0.47, 0.53),
    st.integers(25, 255),
    st.integers(0, 4),
    st.integers(0, 2**32 - 1),
)
def test_found_within_two_percent(
    height: int, aspect: float, share: float, place: float, brightness: int, background: int, seed: int
) -> None:
    width, radius = round(height * aspect), round(height * share)
    x, y = round(width * place), round(height * place)
    photograph = disc(height, width, x, y, radius, brightness, background)
    rng = np.random.default_rng(seed)
    hot = rng.integers(0, (height, width), size=(30, 2))  # hot pixels anywhere
    photograph[hot[:, 0], hot[:, 1]] = 255
    noise = rng.integers(0, 3, photograph.shape, dtype=np.uint8)
    fov = find_field_of_view(np.asarray(cv2.add(photograph, noise), np.uint8))
    slack = 0.02 * height + 4
    assert abs(fov.x - (x - radius)) <= slack
    assert abs(fov.y - (y - radius)) <= slack
    assert abs(fov.width - 2 * radius) <= 2 * slack
    assert abs(fov.height - 2 * radius) <= 2 * slack


def test_a_date_stamp_and_a_light_leak_do_not_widen_it() -> None:
    photograph = disc(600, 900, 450, 300, 260)
    cv2.putText(photograph, "2026-11-23", (10, 580), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
    photograph[:8, :200] = 200
    fov = find_field_of_view(photograph)
    assert abs(fov.x - 190) < 8
    assert abs(fov.side - 520) < 16


def test_dark_retina_keeps_its_dark_side() -> None:
    photograph = disc(600, 900, 450, 300, 260, brightness=60, background=1).astype(np.float32)
    photograph *= np.linspace(1, 0.35, 900)[None, :, None]  # the right side is almost black
    fov = find_field_of_view(photograph.astype(np.uint8))
    assert abs(fov.width - 520) < 20


def test_a_photograph_lit_to_its_borders_is_its_own_field_of_view() -> None:
    lit = np.random.default_rng(0).integers(90, 160, (300, 400, 3), np.uint8)
    fov = find_field_of_view(lit)
    assert (fov.x, fov.y, fov.width, fov.height) == (0, 0, 400, 300)
    assert detect_and_crop(lit).shape == (400, 400, 3)


@pytest.mark.parametrize(
    "photograph",
    [
        np.zeros((300, 400, 3), np.uint8),
        np.random.default_rng(0).integers(0, 4, (300, 400, 3), np.uint8),
        disc(600, 900, 450, 300, 30),
    ],
    ids=["black", "noise", "a reflex only"],
)
def test_no_field_of_view_is_an_error(photograph: NDArray[Any]) -> None:
    with pytest.raises(ImageError, match="no field of view"):
        detect_and_crop(photograph)


def test_the_square_is_padded_where_the_sensor_cut_and_loses_nothing() -> None:
    photograph = disc(400, 900, 450, 200, 260)  # cut at top and bottom
    fov = find_field_of_view(photograph)
    square = crop_square(photograph, fov)
    assert square.shape[0] == square.shape[1] == fov.side
    assert int((square > 0).sum()) == int((photograph > 0).sum())
    assert not square[: (fov.side - 400) // 2 - 2].any()


@pytest.mark.parametrize("seed", range(12))
def test_synthetic_photographs_fill_their_crop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    camera = CameraModel.draw(rng)
    pixels = draw_photograph(rng, Grade(seed % 5), bool(seed % 2), 300, Complexion.draw(rng), camera).pixels
    fov = find_field_of_view(pixels)
    side = 2 * 300 * camera.radius / (1 - camera.cut)
    assert abs(fov.width - side) < 0.04 * side
    assert abs(fov.height - min(300, side)) < 0.04 * side


def on_background(pixels: NDArray[Any], colour: int, noise: float, seed: int = 0) -> NDArray[Any]:
    """The same photograph with its black replaced by a grey or white that sensor noise covers."""
    rng = np.random.default_rng(seed)
    outside = pixels.max(axis=2) < 12
    outside = cv2.morphologyEx(outside.astype(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9), np.uint8)).astype(bool)
    grey = np.clip(rng.normal(colour, noise, pixels.shape[:2]), 0, 255).astype(np.uint8)
    return np.where(outside[..., None], grey[..., None], pixels)


@pytest.mark.parametrize("colour", [0, 60, 128, 200, 255])
@pytest.mark.parametrize("noise", [0.0, 6.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_background_may_be_grey_white_noisy_and_written_on(colour: int, noise: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    camera = CameraModel(cut=0.0, notch=False, radius=0.44, tint=np.ones(3))
    pixels = draw_photograph(rng, Grade.MODERATE, False, 500, Complexion.draw(rng), camera).pixels
    photograph = np.ascontiguousarray(on_background(pixels, colour, noise, seed))
    ink = 0 if colour > 128 else 255
    cv2.putText(photograph, "OD 2026-11-23", (5, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (ink,) * 3, 2)
    fov = find_field_of_view(photograph)
    assert fov.method == "background"
    assert fov.confidence > 0.95
    assert fov.circle is not None
    assert fov.circle.radius == pytest.approx(220, rel=0.02)
    assert fov.circle.x == pytest.approx(375, abs=5)
    assert fov.circle.y == pytest.approx(250, abs=5)
    assert abs(fov.width - 440) < 14
    assert abs(fov.height - 440) < 14


@pytest.mark.parametrize("radius", [150, 220])
@pytest.mark.parametrize(("x", "y"), [(300, 200), (150, 200), (520, 330), (60, 60)])
def test_the_circle_is_found_where_the_disc_is_off_centre_or_partly_outside(radius: int, x: int, y: int) -> None:
    fov = find_field_of_view(disc(400, 600, x, y, radius))
    assert fov.circle is not None
    assert fov.circle.x == pytest.approx(x, abs=0.03 * radius)
    assert fov.circle.y == pytest.approx(y, abs=0.03 * radius)
    assert fov.circle.radius == pytest.approx(radius, rel=0.03)
    assert fov.confidence > 0.95


def test_flat_edges_of_a_camera_mask_keep_the_circle() -> None:
    photograph = disc(600, 900, 450, 300, 280)
    photograph[:90], photograph[510:] = 0, 0  # black bars inside the frame
    fov = find_field_of_view(photograph)
    assert fov.circle is not None
    assert fov.circle.radius == pytest.approx(280, rel=0.02)
    assert abs(fov.height - 420) < 14
    assert fov.confidence > 0.95


def test_a_crop_of_retina_has_no_circle_and_confidence_by_its_hue() -> None:
    rng = np.random.default_rng(0)
    camera = CameraModel(cut=0.0, notch=False, radius=0.49, tint=np.ones(3))
    pixels = draw_photograph(rng, Grade.MILD, False, 600, Complexion.draw(rng), camera).pixels
    fov = find_field_of_view(pixels[150:450, 300:600])
    assert (fov.method, fov.circle, fov.side) == ("full-frame", None, 300)
    assert fov.confidence > 0.9
    blue = find_field_of_view(pixels[150:450, 300:600, ::-1])
    assert blue.confidence < LOW_CONFIDENCE


def test_other_shapes_have_low_confidence() -> None:
    square = np.zeros((400, 600, 3), np.uint8)
    square[50:350, 100:500] = (150, 80, 40)
    assert find_field_of_view(square).confidence < LOW_CONFIDENCE
    triangle = np.zeros((400, 600, 3), np.uint8)
    cv2.fillPoly(triangle, [np.array([(300, 20), (40, 380), (560, 380)])], (150, 80, 40))
    assert find_field_of_view(triangle).confidence < LOW_CONFIDENCE


@pytest.mark.parametrize("square", ["pad", "crop"])
def test_pad_loses_nothing_and_crop_is_the_reports(square: Literal["pad", "crop"]) -> None:
    photograph = disc(400, 900, 450, 200, 260)
    fov = find_field_of_view(photograph)
    cut = crop_square(photograph, fov, square)
    assert cut.shape[0] == cut.shape[1] == (fov.width if square == "pad" else fov.height)
    assert np.array_equal(cut[cut.shape[0] // 2, cut.shape[1] // 2], photograph[200, 450])
