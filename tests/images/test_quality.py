"""Quality names the problems of a photograph, and only those, at any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from retinagrade.datasets.synthetic.photograph import CameraModel, Complexion, draw_photograph
from retinagrade.grades import Grade
from retinagrade.images.field_of_view import find_field_of_view
from retinagrade.images.quality import Quality, assess_quality
from retinagrade.images.read import read_photograph


def photograph(seed: int, size: int = 600) -> NDArray[Any]:
    shared = np.random.default_rng((seed, 9))
    camera = CameraModel(cut=0.0, notch=False, radius=0.48, tint=np.ones(3))
    return draw_photograph(
        np.random.default_rng(seed), Grade(seed % 5), False, size, Complexion.draw(shared), camera
    ).pixels


def assess(pixels: NDArray[Any]) -> Quality:
    return assess_quality(pixels, find_field_of_view(pixels))


@pytest.mark.parametrize("seed", range(10))
def test_good_photographs_pass(seed: int) -> None:
    quality = assess(photograph(seed))
    assert quality.reasons == []
    assert quality.score == min(quality.scores.values()) >= 0.5


@pytest.mark.parametrize("seed", range(5))
def test_problems_are_named(seed: int) -> None:
    good = photograph(seed)
    assert "dark" in assess((good * 0.12).astype(np.uint8)).reasons
    assert "over-exposed" in assess(np.clip(good * 6.0, 0, 255).astype(np.uint8)).reasons
    assert "blurred" in assess(cv2.GaussianBlur(good, (0, 0), 9)).reasons
    assert "field of view cut" in assess(np.ascontiguousarray(good[:, :420])).reasons
    assert "not a fundus photograph" in assess(np.ascontiguousarray(good[..., ::-1])).reasons
    noise = np.random.default_rng(seed).integers(0, 255, (300, 400, 3), np.uint8)
    assert "not a fundus photograph" in assess(noise).reasons


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("gap", [0, 40])
def test_two_eyes_in_one_picture_are_not_one_photograph(seed: int, gap: int) -> None:
    left, right = photograph(seed), photograph(seed + 20)
    beside = np.hstack([left, np.zeros((len(left), gap, 3), np.uint8), right])
    assert "not a fundus photograph" in assess(beside).reasons
    assert "not a fundus photograph" in assess(np.ascontiguousarray(beside.swapaxes(0, 1))).reasons
    stamped = left.copy()
    cv2.putText(stamped, "12.03.2024", (10, 590), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)
    assert assess(stamped).reasons == []


def orange(seed: int, grain: float, size: int = 700) -> NDArray[np.uint8]:
    """An orange before black: a shaded ball with a grainy skin and a highlight."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size - 0.5
    height = np.sqrt(np.clip(1 - (x**2 + y**2) / 0.42**2, 0, 1))
    skin = cv2.GaussianBlur(random.normal(0, 1, (size, size)), (0, 0), grain)
    light = (0.45 + 0.55 * height) * (1 + 0.06 * skin / skin.std()) + 0.25 * np.exp(-((x + 0.1) ** 2 + y**2) / 0.005)
    pixels = light[..., None] * (230, 130, 25) * (height > 0)[..., None]
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("grain", [2, 4, 6])
def test_a_fruit_is_no_fundus(seed: int, grain: float) -> None:
    assert "not a fundus photograph" in assess(orange(seed, grain)).reasons


def test_scores_fall_as_problems_grow() -> None:
    good = photograph(1)
    blurred = [assess(cv2.GaussianBlur(good, (0, 0), sigma)).scores["blurred"] for sigma in (1, 3, 5, 8, 12)]
    assert blurred == sorted(blurred, reverse=True)
    dark = [assess((good * factor).astype(np.uint8)).scores["dark"] for factor in (1, 0.6, 0.4, 0.25, 0.12)]
    assert dark == sorted(dark, reverse=True)


@pytest.mark.parametrize("seed", range(5))
def test_size_does_not_matter(seed: int) -> None:
    large = photograph(seed, size=1800)
    scores = [
        assess(cv2.resize(large, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)).scores
        for factor in (0.3, 0.5, 1)
    ]
    for name in scores[0]:
        assert np.ptp([one[name] for one in scores]) <= 0.05


def test_real_photographs_pass_and_their_size_does_not_matter(idrid: Path) -> None:
    full = sorted((idrid.parent / "idrid-fullsize").glob("*.jpg"))
    if not full:
        pytest.skip("no photographs at full size beside idrid")
    flagged = 0
    for path in full:
        whole = read_photograph(path)
        scores = [assess(whole).score]
        for width in (2144, 1072, 512):
            height = round(width * whole.shape[0] / whole.shape[1])
            scores.append(assess(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)).score)
        assert np.ptp(scores) <= 0.05, path
        flagged += scores[0] < 0.5
    assert flagged <= 0.05 * len(full)
