"""Synthetic data sets: complete and reproducible, with the lesions that their grades and masks promise."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from retinagrade.datasets.layouts import read_dataset
from retinagrade.datasets.masks import LESIONS
from retinagrade.datasets.synthetic.patients import SyntheticRecord, eye_grade, synthesize
from retinagrade.datasets.synthetic.photograph import (
    ASPECT,
    CameraModel,
    Complexion,
    SyntheticPhotograph,
    draw_photograph,
)
from retinagrade.errors import UsageError
from retinagrade.grades import Grade
from retinagrade.images.read import read_photograph
from tests.schemas import require_schema


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.*g")
    }


def drawn(grade: Grade, seed: int, size: int = 256, is_left: bool = False) -> SyntheticPhotograph:
    rng = np.random.default_rng(seed)
    return draw_photograph(rng, grade, is_left, size, Complexion.draw(rng), CameraModel.draw(rng))


def test_a_synthetic_set_is_a_complete_data_set(tmp_path: Path) -> None:
    reports: list[tuple[int, int | None]] = []
    manifest = synthesize(tmp_path, 11, size=80, progress=lambda stage, done, total: reports.append((done, total)))
    assert reports == [(done, 11) for done in range(12)]
    assert len(manifest) == 11
    require_schema(SyntheticRecord, json.loads((tmp_path / "synthesize.json").read_text()))
    assert set(manifest.table["grade"]) == {0, 1, 2, 3, 4}
    assert manifest.table["patient_id"].nunique() == 6
    assert read_dataset(tmp_path).table.equals(manifest.table)
    assert read_photograph(manifest.file(manifest.table["path"][0])).shape == (80, round(80 * ASPECT), 3)
    for mask_file in tmp_path.glob("masks/*/*.png"):
        mask = np.asarray(Image.open(mask_file).convert("L"))
        assert mask.shape == (80, 120)
        assert set(np.unique(mask)) <= {0, 255}
        assert mask.any()


def test_a_larger_set_begins_with_a_smaller_one_whatever_the_workers(tmp_path: Path) -> None:
    synthesize(tmp_path / "small", count=5, size=80, seed=3, workers=1)
    synthesize(tmp_path / "large", count=9, size=80, seed=3, workers=2)
    small, large = digests(tmp_path / "small"), digests(tmp_path / "large")
    assert small.items() <= large.items()
    synthesize(tmp_path / "other", count=5, size=80, seed=4, workers=1)
    assert not set(small.values()) & set(digests(tmp_path / "other").values())


def test_another_set_replaces_an_earlier_one_only_on_request(tmp_path: Path) -> None:
    synthesize(tmp_path, count=6, size=80, workers=1)
    (tmp_path / "photographs" / "holiday.jpg").touch()
    with pytest.raises(UsageError, match="overwrite"):
        synthesize(tmp_path, count=3, size=80, workers=1)
    assert len(list((tmp_path / "photographs").iterdir())) == 7
    synthesize(tmp_path, count=6, size=80, workers=1)
    synthesize(tmp_path, count=3, size=80, workers=1, overwrite=True)
    assert {path.name for path in (tmp_path / "photographs").iterdir()} == {
        "00000_left.jpg", "00000_right.jpg", "00001_left.jpg", "holiday.jpg"
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_eyes_of_a_patient_are_alike_and_every_ten_show_all_grades(seed: int) -> None:
    grades = np.array([[eye_grade(seed, patient, eye) for eye in (0, 1)] for patient in range(200)])
    assert (np.abs(grades[:, 0] - grades[:, 1]) <= 1).all()
    assert 0.7 < (grades[:, 0] == grades[:, 1]).mean() < 0.95
    assert all(set(block) == set(Grade) for block in grades[:, 0].reshape(-1, 5))


@pytest.mark.parametrize("seed", range(6))
def test_lesions_fit_the_grade(seed: int) -> None:
    kinds = {grade: set(drawn(grade, seed).masks) for grade in Grade}
    assert kinds[Grade.NONE] == set()
    assert kinds[Grade.MILD] == {"microaneurysms"}
    for grade in (Grade.MODERATE, Grade.SEVERE):
        assert {"microaneurysms", "haemorrhages", "hard_exudates"} <= kinds[grade] <= set(LESIONS[:4])
    assert kinds[Grade.PROLIFERATIVE] >= {"neovascularisation", "haemorrhages"}


def test_severe_has_many_haemorrhages_in_four_quadrants() -> None:
    camera = CameraModel(cut=0.0, notch=False, radius=0.49, tint=np.ones(3))
    rng = np.random.default_rng(0)
    mask = draw_photograph(rng, Grade.SEVERE, False, 700, Complexion.draw(rng), camera).masks["haemorrhages"]
    middle_y, middle_x = mask.shape[0] // 2, mask.shape[1] // 2
    for rows in (slice(None, middle_y), slice(middle_y, None)):
        for columns in (slice(None, middle_x), slice(middle_x, None)):
            count = cv2.connectedComponents(mask[rows, columns].astype(np.uint8))[0] - 1
            assert count >= 15  # more than 20 are drawn; some overlap


@pytest.mark.parametrize("seed", range(5))
def test_lesions_are_visible_inside_their_masks(seed: int) -> None:
    made = drawn(Grade.PROLIFERATIVE if seed % 2 else Grade.SEVERE, seed, size=512)
    green = made.pixels[..., 1].astype(float)
    for kind, darker in (("haemorrhages", True), ("hard_exudates", False)):
        mask = made.masks[kind]
        around = cv2.dilate(mask.astype(np.uint8), np.ones((15, 15), np.uint8)).astype(bool) & ~mask
        assert (green[mask].mean() < green[around].mean()) == darker


def test_left_and_right_eyes_have_their_disc_on_their_side() -> None:
    for is_left in (True, False):
        pixels = np.mean([drawn(Grade.NONE, seed, is_left=is_left).pixels for seed in range(12)], axis=0)
        brightest = np.unravel_index(cv2.GaussianBlur(pixels[..., 1], (0, 0), 8).argmax(), pixels.shape[:2])[1]
        assert (brightest < pixels.shape[1] / 2) == is_left


@pytest.mark.parametrize("size", [64, 65, 333, 1500])
def test_sizes(size: int) -> None:
    made = drawn(Grade.PROLIFERATIVE, 1, size=size)
    assert made.pixels.shape == (size, round(size * ASPECT), 3)
    assert made.pixels.dtype == np.uint8
    assert made.pixels.max() > 100
    assert not (made.pixels[0, 0] > 10).any()


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not empty"):
        synthesize(tmp_path, count=1, size=80)
