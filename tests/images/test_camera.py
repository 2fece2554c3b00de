"""Photographs as other cameras would have taken them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from retinagrade.images.camera import (
    CAMERA_CHANGES,
    Camera,
    Place,
    apply_camera,
    channel_histogram,
    draw_camera,
    lit_region,
)

SIDE = 200


def disc(colour: tuple[int, int, int] = (160, 70, 20), texture: int = 30) -> NDArray[np.uint8]:
    """A fundus-like disc: a textured colour inside a circle, black outside."""
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.normal(0, texture, (SIDE, SIDE)), (0, 0), 2)[..., None]
    x, y = Place.whole(SIDE).positions((SIDE, SIDE))
    pixels = np.clip(np.array(colour) + noise, 20, 255)
    return np.where((x * x + y * y < 0.98)[..., None], pixels, 0).astype(np.uint8)


DISC = disc()
INSIDE = lit_region(DISC)


def test_the_default_camera_changes_nothing() -> None:
    np.testing.assert_array_equal(apply_camera(Camera(), DISC, INSIDE), DISC)


def test_the_lit_region_is_the_disc_and_its_cut() -> None:
    x, y = Place.whole(SIDE).positions((SIDE, SIDE))
    truth = x * x + y * y < 0.98
    assert np.mean(truth != INSIDE) < 0.01
    cut = apply_camera(Camera(cut=(0.9, 0.7)), DISC, INSIDE)
    assert np.mean(lit_region(cut) != (truth & (np.abs(x) < 0.9) & (np.abs(y) < 0.7))) < 0.01
    assert lit_region(np.zeros((9, 9, 3), np.uint8)).all()


@given(red=st.floats(60, 200), green=st.floats(30, 150), blue=st.floats(2, 120), gamma=st.floats(0.7, 1.4))
@settings(max_examples=30, deadline=None)
def test_the_mean_colour_is_reached(red: float, green: float, blue: float, gamma: float) -> None:
    camera = Camera(mean=(red, green, blue), gamma=(gamma, gamma, gamma))
    changed = apply_camera(camera, disc(texture=5), INSIDE)
    np.testing.assert_allclose(changed[INSIDE].mean(axis=0), (red, green, blue), atol=2.5)


def test_a_black_blue_channel_gets_the_structure_of_green() -> None:
    photograph = DISC.copy()
    photograph[..., 2] = 1
    changed = apply_camera(Camera(mean=(120, 80, 50), borrowed=1.0), photograph, INSIDE)
    green, blue = changed[INSIDE][:, 1].astype(float), changed[INSIDE][:, 2].astype(float)
    assert np.corrcoef(green, blue)[0, 1] > 0.99
    assert blue.mean() == pytest.approx(50, abs=2)


def test_light_falls_off_to_one_side() -> None:
    changed = apply_camera(Camera(tilt=(0.5, 0.0)), DISC, INSIDE).astype(float)
    left, right = changed[:, : SIDE // 2].sum(), changed[:, SIDE // 2 :].sum()
    assert 1.3 < right / left < 1.7


def test_a_low_resolution_loses_detail_and_keeps_the_size() -> None:
    small = apply_camera(Camera(diameter=50), DISC, INSIDE)
    assert small.shape == DISC.shape
    assert cv2.Laplacian(small[..., 1], cv2.CV_64F).std() < cv2.Laplacian(DISC[..., 1], cv2.CV_64F).std() / 2


def test_sharpening_noise_and_compression_change_what_they_name() -> None:
    contrast = DISC[60:140, 60:140, 1].std()
    for camera, least, most in (
        (Camera(sharpening=1.0), 1.1, 9),
        (Camera(noise=8), 1.02, 9),
        (Camera(blur=30), 0, 0.5),
    ):
        changed = apply_camera(camera, DISC, INSIDE)
        assert least < changed[60:140, 60:140, 1].std() / contrast < most
    compressed = apply_camera(Camera(quality=40), DISC, INSIDE)
    code = BytesIO()
    Image.fromarray(DISC).save(code, "JPEG", quality=40)
    assert np.abs(compressed.astype(int) - np.asarray(Image.open(code))).mean() < 1  # encoders may round differently


@given(seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_a_drawn_camera_is_repeatable_and_keeps_the_outside_dark(seed: int) -> None:
    camera = draw_camera(np.random.default_rng(seed))
    assert camera == draw_camera(np.random.default_rng(seed))
    changed = apply_camera(camera, DISC, INSIDE)
    assert changed.shape == DISC.shape
    assert changed.dtype == np.uint8
    corner = changed[:20, :20]
    assert corner.max() < 40  # compression leaves a little noise beside the disc
    np.testing.assert_array_equal(changed, apply_camera(camera, DISC, INSIDE))


def test_a_family_that_is_left_out_changes_no_other_draw() -> None:
    for seed in range(20):
        whole = draw_camera(np.random.default_rng(seed), always=True)
        part = draw_camera(np.random.default_rng(seed), [c for c in CAMERA_CHANGES if c != "light"], always=True)
        assert part == replace(whole, tilt=(0.0, 0.0), rim=1.0, haze=None)
        assert draw_camera(np.random.default_rng(seed), ()) == Camera(seed=whole.seed)


def test_a_crop_changes_like_its_place_in_the_photograph() -> None:
    photograph = DISC
    camera = Camera(mean=(120.0, 90.0, 40.0), tilt=(0.3, -0.2), rim=1.2, cut=(0.9, 0.8))
    whole = apply_camera(camera, photograph, INSIDE)
    place = Place.whole(SIDE)
    x, y = place.positions(photograph.shape)
    crop = Place((float(x[0, 50]), float(y[40, 0])), place.across, place.down)
    part = apply_camera(
        camera, photograph[40:140, 50:170], INSIDE[40:140, 50:170], crop, channel_histogram(photograph, INSIDE)
    )
    np.testing.assert_allclose(part.astype(int), whole[40:140, 50:170].astype(int), atol=1)


def test_the_picture_of_the_documentation_can_be_drawn(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "docs" / "cameras.py"
    subprocess.run([sys.executable, str(script), str(tmp_path / "cameras.jpg")], check=True)
    assert Image.open(tmp_path / "cameras.jpg").size == (7 * 256, 6 * 256)
