"""Augmentation: the report's four layers as one warp, and the colour changes of torchvision."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchvision.transforms import functional

from retinagrade.experiments.experiment import AugmentationSettings
from retinagrade.images.camera import CAMERA_CHANGES
from retinagrade.training.augment import LIT, ColourJitter, augment, jitter_colours, random_jitter, random_warp

REPORT = AugmentationSettings(flip_vertical=True, flip_horizontal=True, zoom=0.1, rotation=1.0)
PICTURE = np.random.default_rng(0).integers(1, 256, (33, 33, 3), dtype=np.uint8)


def draws(settings: AugmentationSettings, count: int = 2000) -> NDArray[np.float64]:
    rng = np.random.default_rng(1)
    return np.stack([random_warp(rng, settings, 64)[:, :2] for _ in range(count)])


def test_nothing_asked_changes_nothing() -> None:
    np.testing.assert_array_equal(augment(PICTURE, np.random.default_rng(0), AugmentationSettings()), PICTURE)


@pytest.mark.parametrize(("setting", "axis"), [("flip_horizontal", 1), ("flip_vertical", 0)])
def test_flips_are_exact_mirrors_in_half_of_the_draws(setting: str, axis: int) -> None:
    settings = AugmentationSettings.model_validate({setting: True})
    mirrored = 0
    for seed in range(200):
        result = augment(PICTURE, np.random.default_rng(seed), settings)
        flipped = np.array_equal(result, np.flip(PICTURE, axis))
        assert flipped or np.array_equal(result, PICTURE)
        mirrored += flipped
    assert 70 < mirrored < 130


def test_draws_cover_the_reports_ranges() -> None:
    warps = draws(REPORT)
    determinants = np.linalg.det(warps)
    scales = np.sqrt(np.abs(determinants))
    assert scales.min() == pytest.approx(0.9, abs=0.005)
    assert scales.max() == pytest.approx(1.1, abs=0.005)
    assert np.mean(determinants < 0) == pytest.approx(0.5, abs=0.05)  # one flip, but not both
    angles = np.arctan2(warps[:, 1, 0], warps[:, 0, 0])
    assert np.histogram(angles, bins=8, range=(-np.pi, np.pi))[0].min() > 150


def test_pixels_from_outside_the_photograph_are_black() -> None:
    white = np.full((65, 65, 3), 255, np.uint8)
    rotated = augment(white, np.random.default_rng(3), AugmentationSettings(rotation=1.0))
    assert rotated.min() == 0
    assert rotated[32, 32].tolist() == [255, 255, 255]


@given(seed=st.integers(0, 10_000), size=st.integers(8, 300))
def test_the_centre_stays_and_one_warp_is_a_similarity(seed: int, size: int) -> None:
    warp = random_warp(np.random.default_rng(seed), REPORT, size)
    centre = (size - 1) / 2
    np.testing.assert_allclose(warp @ [centre, centre, 1], [centre, centre], atol=1e-9)
    product = warp[:, :2] @ warp[:, :2].T
    np.testing.assert_allclose(product, product[0, 0] * np.eye(2), atol=1e-9)


def test_switching_one_change_off_keeps_the_rest() -> None:
    for seed in range(20):
        both = random_warp(np.random.default_rng(seed), REPORT, 64)[:, :2]
        unzoomed = random_warp(np.random.default_rng(seed), REPORT.model_copy(update={"zoom": 0.0}), 64)[:, :2]
        np.testing.assert_allclose(both / np.sqrt(np.abs(np.linalg.det(both))), unzoomed, atol=1e-9)


def test_opencv_moves_pixels_by_the_matrix() -> None:
    point = np.zeros((64, 64, 3), np.uint8)
    cv2.circle(point, (40, 20), 2, (255, 255, 255), -1)
    rng, again = np.random.default_rng(5), np.random.default_rng(5)
    warp = random_warp(rng, REPORT, 64)
    ys, xs = np.nonzero(augment(point, again, REPORT)[..., 0] > 127)
    np.testing.assert_allclose([xs.mean(), ys.mean()], warp @ [40, 20, 1], atol=0.5)


def test_colours_are_drawn_after_the_geometry_and_do_not_change_it() -> None:
    jittered = REPORT.model_copy(update={"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1})
    for seed in range(20):
        rng = np.random.default_rng(seed)
        expected = jitter_colours(
            augment(PICTURE, np.random.default_rng(seed), REPORT),
            (random_warp(rng, jittered, 33), random_jitter(rng, jittered))[1],
        )
        np.testing.assert_array_equal(augment(PICTURE, np.random.default_rng(seed), jittered), expected)


def test_draws_of_colours_cover_their_ranges() -> None:
    settings = AugmentationSettings(brightness=0.2, contrast=0.3, saturation=0.4, hue=0.1)
    rng = np.random.default_rng(2)
    drawn = np.array([random_jitter(rng, settings) for _ in range(2000)])
    np.testing.assert_allclose(drawn.min(0), [0.8, 0.7, 0.6, -0.1], atol=0.005)
    np.testing.assert_allclose(drawn.max(0), [1.2, 1.3, 1.4, 0.1], atol=0.005)
    assert random_jitter(rng, AugmentationSettings()) == ColourJitter()


@pytest.mark.parametrize("factor", [0.6, 0.9, 1.0, 1.3])
@pytest.mark.parametrize("part", ["brightness", "contrast", "saturation"])
def test_each_factor_is_torchvisions(part: str, factor: float) -> None:
    lit = np.random.default_rng(0).integers(LIT, 256, (40, 50, 3), dtype=np.uint8)
    expected = getattr(functional, f"adjust_{part}")(torch.from_numpy(lit).permute(2, 0, 1), factor)
    ours = jitter_colours(lit, ColourJitter()._replace(**{part: factor}))
    np.testing.assert_allclose(ours, expected.permute(1, 2, 0).numpy(), atol=1.01)  # torchvision cuts off, we round


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.03, 0.5])
def test_the_turn_of_the_hue_is_torchvisions(turn: float) -> None:
    expected = functional.adjust_hue(torch.from_numpy(PICTURE).permute(2, 0, 1).float() / 255, turn) * 255
    ours = jitter_colours(PICTURE, ColourJitter(hue=turn))
    np.testing.assert_allclose(ours, expected.permute(1, 2, 0).numpy(), atol=0.6)


def test_all_factors_at_once_are_the_three_after_each_other() -> None:
    middling = np.random.default_rng(1).integers(80, 160, (30, 30, 3), dtype=np.uint8)
    tensor = torch.from_numpy(middling).permute(2, 0, 1).float() / 255
    for adjust, factor in (
        (functional.adjust_brightness, 1.1),
        (functional.adjust_contrast, 0.8),
        (functional.adjust_saturation, 1.2),
    ):
        tensor = adjust(tensor, factor)
    ours = jitter_colours(middling, ColourJitter(1.1, 0.8, 1.2))
    np.testing.assert_allclose(ours, 255 * tensor.permute(1, 2, 0).numpy(), atol=1)


@given(
    brightness=st.floats(0.01, 1.99), contrast=st.floats(0.01, 1.99), saturation=st.floats(0.01, 1.99),
    hue=st.floats(-0.5, 0.5),
)  # fmt: skip
def test_black_stays_black_and_the_noise_beside_the_disc_stays_dark(
    brightness: float, contrast: float, saturation: float, hue: float
) -> None:
    disc = np.zeros((64, 64, 3), np.uint8)
    disc[:4] = 3  # what JPEG leaves beside the field of view
    cv2.circle(disc, (32, 32), 26, (200, 90, 40), -1)
    jittered = jitter_colours(disc, ColourJitter(brightness, contrast, saturation, hue))
    assert jittered[(disc == 0).all(2)].max() == 0
    assert jittered[:4].max() <= 40
    assert jittered.dtype == np.uint8
    assert jittered.shape == disc.shape


def test_a_camera_changes_the_look_of_training_photographs() -> None:
    settings = AugmentationSettings(camera=CAMERA_CHANGES)
    disc = np.zeros((65, 65, 3), np.uint8)
    cv2.circle(disc, (32, 32), 32, (160, 70, 20), -1)
    looks = {augment(disc, np.random.default_rng(seed), settings).tobytes() for seed in range(20)}
    assert len(looks) > 15
    with pytest.raises(ValueError, match="camera"):
        AugmentationSettings.model_validate({"camera": ["lens"]})


def test_a_share_of_the_photographs_keeps_its_look() -> None:
    photograph = np.full((40, 40, 3), 90, np.uint8)
    settings = AugmentationSettings(camera=("colour", "light"), camera_share=0.4)
    kept = [
        np.array_equal(augment(photograph, np.random.default_rng(seed), settings), photograph) for seed in range(200)
    ]
    assert 0.5 < np.mean(kept) < 0.7
