"""The bundled gate passes good photographs of any size, and names what is wrong with all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from retinagrade.datasets.synthetic.photograph import CameraModel, Complexion, draw_photograph
from retinagrade.errors import GraderFileError
from retinagrade.gate.inputs import gate_inputs
from retinagrade.gate.names import reason_of
from retinagrade.gate.quality import Quality
from retinagrade.gate.session import BUNDLED, Gate, assess_quality, bundled_gate
from retinagrade.gate.settings import GateSettings
from retinagrade.grades import Grade
from retinagrade.images.camera import lit_region
from retinagrade.images.degradation import Degradation, DegradationKind, degrade
from retinagrade.images.field_of_view import find_field_of_view
from retinagrade.images.read import read_photograph


def photograph(seed: int, size: int = 600) -> NDArray[Any]:
    shared = np.random.default_rng((seed, 9))
    camera = CameraModel(cut=0.0, notch=False, radius=0.48, tint=np.ones(3))
    return draw_photograph(
        np.random.default_rng(seed), Grade(seed % 5), False, size, Complexion.draw(shared), camera
    ).pixels


def assess(pixels: NDArray[Any]) -> Quality:
    return assess_quality(pixels, find_field_of_view(pixels))


def jpeg(pixels: NDArray[Any], quality: int) -> NDArray[np.uint8]:
    code = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, colorspace="RGB")
    return np.asarray(simplejpeg.decode_jpeg(code, colorspace="RGB"), np.uint8)


@pytest.mark.parametrize("seed", range(10))
def test_good_photographs_are_graded(seed: int) -> None:
    quality = assess(photograph(seed))
    assert quality.modality == "colour"
    assert quality.is_gradable
    assert quality.score > 0.5


FAULT_OF: dict[DegradationKind, str] = {
    "defocus": "blurred",
    "motion": "blurred",
    "haze": "haze",
    "flare": "flare",
    "lashes": "lashes",
    "lid": "lashes",
    "shade": "uneven",
    "dark": "dark",
    "over-exposed": "over-exposed",
    "dust": "dirt",
}


def test_faults_are_named() -> None:
    named = []
    for seed, kind in enumerate([*FAULT_OF] * 6):  # the other kinds have no cause to name
        good = photograph(seed)
        quality = assess(degrade(Degradation(kind, 0.97, seed), good, lit_region(good)))
        named.append(quality.level != "good" and FAULT_OF[kind] in map(reason_of, quality.reasons))
    assert np.mean(named) >= 0.6  # two in three; a drawn eye that is heavily blurred is often called no fundus


@pytest.mark.parametrize("gap", [0, 40])
@pytest.mark.parametrize("seed", range(5))
def test_two_eyes_in_one_picture_are_not_one_photograph(seed: int, gap: int) -> None:
    left, right = photograph(seed), photograph(seed + 20)
    beside = np.hstack([left, np.zeros((len(left), gap, 3), np.uint8), right])
    assert not assess(beside).is_gradable
    stamped = left.copy()
    cv2.putText(stamped, "12.03.2024", (10, 590), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)
    assert assess(stamped).is_gradable


def orange(seed: int, grain: float, size: int = 700) -> NDArray[np.uint8]:
    """An orange before black: a shaded ball with a grainy skin and a highlight."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size - 0.5
    height = np.sqrt(np.clip(1 - (x**2 + y**2) / 0.42**2, 0, 1))
    skin = cv2.GaussianBlur(random.normal(0, 1, (size, size)), (0, 0), grain)
    light = (0.45 + 0.55 * height) * (1 + 0.06 * skin / skin.std()) + 0.25 * np.exp(-((x + 0.1) ** 2 + y**2) / 0.005)
    pixels = light[..., None] * (230, 130, 25) * (height > 0)[..., None]
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)


@pytest.mark.parametrize("grain", [2, 4, 6])
@pytest.mark.parametrize("seed", range(4))
def test_a_fruit_is_no_fundus(seed: int, grain: float) -> None:
    quality = assess(orange(seed, grain))
    assert quality.modality == "no fundus"
    assert quality.centre is None


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_no_fundus(seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 255, (300, 400, 3), np.uint8)
    assert assess(noise).modality == "no fundus"


def test_the_score_falls_as_blur_grows() -> None:
    good = photograph(1)
    scores = [assess(cv2.GaussianBlur(good, (0, 0), sigma)).score for sigma in (0.5, 3, 6, 12)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[-1] > 0.5


@pytest.mark.parametrize("seed", range(4))
def test_neither_size_nor_compression_matters(seed: int) -> None:
    large = photograph(seed, size=1800)
    sizes = [cv2.resize(large, None, fx=f, fy=f, interpolation=cv2.INTER_AREA) for f in (0.3, 0.5, 1)]
    qualities = [assess(each) for each in [*sizes, *(jpeg(each, 40) for each in sizes)]]
    assert {quality.is_gradable for quality in qualities} == {True}


def test_real_photographs_pass_and_their_size_does_not_matter(idrid: Path) -> None:
    full = sorted((idrid.parent / "idrid-fullsize").glob("*.jpg"))
    if not full:
        pytest.skip("no photographs at full size beside idrid")
    refused, changed = 0, 0
    for path in full:
        whole = read_photograph(path)
        decisions = [assess(whole).is_gradable]
        for width in (2144, 1072, 512):
            height = round(width * whole.shape[0] / whole.shape[1])
            smaller = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
            decisions += [assess(smaller).is_gradable, assess(jpeg(smaller, 40)).is_gradable]
        refused += not decisions[0]
        changed += len(set(decisions)) > 1
    assert refused <= 0.05 * len(full)
    assert changed <= 1


def test_threads_share_a_gate_and_agree() -> None:
    pixels = photograph(3)
    inputs = gate_inputs(pixels, find_field_of_view(pixels))
    assert len({bundled_gate().answer(*inputs) for _ in range(3)}) == 1


def test_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraderFileError, match="gate"):
        Gate.open(b"nothing", GateSettings(), tmp_path / "grader.onnx")
    with pytest.raises(GraderFileError, match="gate"):
        Gate.open(BUNDLED.read_bytes(), GateSettings(), BUNDLED)
