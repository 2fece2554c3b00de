"""Photographs that went wrong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retinagrade.images.camera import Place
from retinagrade.images.degradation import (
    DEGRADATION_KINDS,
    REJECT_FROM,
    USABLE_FROM,
    Degradation,
    DegradationKind,
    degrade,
    draw_degradation,
)

SIDE = 160


def retina(side: int = SIDE) -> NDArray[np.uint8]:
    """A fundus-like disc: dark lines on a coloured circle, black outside."""
    x, y = Place.whole(side).positions((side, side))
    lines = 22 * np.sin(80 * x + 6 * y) + 14 * np.sin(70 * y)
    pixels = np.clip(np.array([150.0, 85.0, 40.0]) + lines[..., None], 20, 255)
    return np.where((x * x + y * y < 0.96)[..., None], pixels, 0).astype(np.uint8)


RETINA = retina()
INSIDE = RETINA.max(axis=2) > 0
kinds = st.sampled_from(DEGRADATION_KINDS)
seeds = st.integers(0, 2**31 - 1)


def changed(kind: DegradationKind, strength: float, seed: int = 0) -> NDArray[np.uint8]:
    return degrade(Degradation(kind, strength, seed), RETINA, INSIDE)


def contrast(photograph: NDArray[np.uint8]) -> float:
    return float(photograph[40:-40, 40:-40, 1].std())


@given(kind=kinds, strength=st.floats(0, 1), seed=seeds)
@settings(max_examples=40, deadline=None)
def test_a_degradation_is_repeatable_and_keeps_the_background(
    kind: DegradationKind, strength: float, seed: int
) -> None:
    degraded = changed(kind, strength, seed)
    assert degraded.shape == RETINA.shape
    assert degraded.dtype == np.uint8
    np.testing.assert_array_equal(degraded[~INSIDE], RETINA[~INSIDE])
    np.testing.assert_array_equal(degraded, changed(kind, strength, seed))


@given(kind=kinds, seed=seeds)
@settings(max_examples=25, deadline=None)
def test_strength_0_changes_nothing_and_more_strength_changes_more(kind: DegradationKind, seed: int) -> None:
    np.testing.assert_array_equal(changed(kind, 0.0, seed), RETINA)
    weak, strong = (np.abs(changed(kind, s, seed).astype(int) - RETINA).mean() for s in (0.2, 0.95))
    assert weak < strong
    assert strong > 2


@given(strength=st.floats(0, 1))
def test_the_thirds_of_strength_are_the_limits_of_quality(strength: float) -> None:
    quality = Degradation("haze", strength).quality
    assert (quality == "good") == (strength < USABLE_FROM)
    assert (quality == "reject") == (strength >= REJECT_FROM)


@pytest.mark.parametrize("kind", ["defocus", "motion", "haze"])
def test_blur_and_haze_take_detail_and_leave_the_rim_sharp(kind: DegradationKind) -> None:
    blurred = changed(kind, 0.9)
    assert contrast(blurred) < 0.5 * contrast(RETINA)
    rim = INSIDE & (cv2.erode(INSIDE.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    assert blurred[rim].mean() == pytest.approx(RETINA[rim].mean(), rel=0.35)


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_light_and_shade_change_the_brightness_that_they_name(seed: int) -> None:
    mean = RETINA[INSIDE].mean()
    assert changed("dark", 0.7, seed)[INSIDE].mean() < 0.5 * mean
    assert changed("shade", 0.9, seed)[INSIDE].mean() < 0.9 * mean
    assert changed("over-exposed", 0.7, seed)[INSIDE].mean() > 1.1 * mean
    assert changed("flare", 0.7, seed)[INSIDE].mean() > 1.1 * mean


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_a_stronger_lid_covers_a_larger_share(seed: int) -> None:
    shares = [
        np.mean(np.abs(changed("lid", s, seed).astype(int) - RETINA).max(axis=2)[INSIDE] > 25) for s in (0.3, 0.7, 1)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert shares[2] > max(0.15, 2 * shares[0])


@given(kind=st.sampled_from(["defocus", "flare", "haze", "lashes", "lid", "motion", "shade"]), seed=seeds)
@settings(max_examples=12, deadline=None)
def test_the_size_of_the_photograph_does_not_matter(kind: DegradationKind, seed: int) -> None:
    large = retina(2 * SIDE)
    fault = Degradation(kind, 0.7, seed)
    degraded = degrade(fault, large, large.max(axis=2) > 0)
    small = cv2.resize(degraded, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - degrade(fault, RETINA, INSIDE)).mean() < 6


def test_a_crop_is_degraded_like_its_place_in_the_photograph() -> None:
    fault, part = Degradation("lashes", 0.8, 3), slice(60, 150)
    place = Place.whole(SIDE)
    x, y = place.positions(RETINA.shape)
    crop = Place((float(x[0, part.start]), float(y[part.start, 0])), place.across, place.down)
    degraded = degrade(fault, RETINA[part, part], INSIDE[part, part], crop)
    assert np.abs(degraded.astype(int) - degrade(fault, RETINA, INSIDE)[part, part]).mean() < 6


def test_a_draw_is_repeatable_and_keeps_to_its_kinds() -> None:
    for seed in range(30):
        drawn = draw_degradation(np.random.default_rng(seed), ("haze", "lid"))
        assert drawn == draw_degradation(np.random.default_rng(seed), ("haze", "lid"))
        assert drawn.kind in {"haze", "lid"}
        assert 0 <= drawn.strength <= 1


def test_a_photograph_without_retina_stays_unchanged() -> None:
    nothing = np.zeros_like(INSIDE)
    for kind in DEGRADATION_KINDS:
        np.testing.assert_array_equal(degrade(Degradation(kind, 1.0), RETINA, nothing), RETINA)
