"""A check finds every problem of a data set, and none in a good one."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from retinagrade.datasets.check import check
from retinagrade.datasets.clean import clean_manifest
from retinagrade.datasets.data_check import CheckRecord, DataCheck
from retinagrade.datasets.findings import FINDING_KINDS
from retinagrade.datasets.layouts import read_dataset
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.errors import UsageError
from retinagrade.images.read import read_photograph
from retinagrade.manifest import Manifest
from tests.datasets.public_trees import retinamnist_arrays, write_retinamnist
from tests.schemas import require_schema


@pytest.fixture(scope="module")
def clean_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photographs of six patients without a problem."""
    folder = tmp_path_factory.mktemp("clean")
    synthesize(folder, count=12, size=320, seed=4, workers=1)
    return folder


@pytest.fixture
def broken(clean_set: Path, tmp_path: Path) -> Path:
    """The same photographs with one problem of every kind."""
    folder = tmp_path / "broken"
    shutil.copytree(clean_set, folder)
    photographs = folder / "photographs"
    table = Manifest.read(folder / "labels.csv").table.assign(split="train")
    table.loc[table["patient_id"] == "00005", "split"] = ["train", "test"]  # a patient in two splits
    whole = (photographs / "00000_left.jpg").read_bytes()
    (photographs / "00000_right.jpg").write_bytes(whole[: len(whole) // 2])  # truncated
    (photographs / "00001_left.jpg").unlink()  # missing
    (photographs / "unlabelled.jpg").write_bytes(whole)  # an orphan, and an identical copy
    shutil.copy(photographs / "00002_left.jpg", photographs / "00002_right.jpg")  # a copy with a different grade
    table.loc[table["image_id"] == "00002_left", "grade"] = 0
    table.loc[table["image_id"] == "00002_right", "grade"] = 3
    smaller = cv2.resize(read_photograph(photographs / "00003_left.jpg"), (360, 240), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(photographs / "00003_right.jpg"), smaller[..., ::-1])  # a resized copy
    table.loc[table["patient_id"] == "00003", "grade"] = 1
    dark = read_photograph(photographs / "00004_left.jpg") * 0.12
    cv2.imwrite(str(photographs / "00004_left.jpg"), dark[..., ::-1])  # too dark
    square = np.zeros((320, 480, 3), np.uint8)
    square[40:280, 60:420] = (40, 80, 150)
    cv2.imwrite(str(photographs / "00004_right.jpg"), square)  # no disc
    Manifest(table, folder).write(folder / "labels.csv")
    return folder


def run(folder: Path, **options: float | str) -> DataCheck:
    return check(folder, workers=1, **options)  # type: ignore[arg-type]


def files_of(result: DataCheck, kind: str) -> list[list[str]]:
    return [[Path(file).stem for file in finding.files] for finding in result.of_kind(kind)]


def test_a_clean_set_has_no_problems(clean_set: Path) -> None:
    result = run(clean_set)
    assert result.findings == []  # lesion masks of a known layout are no photographs without a label
    assert sum(result.grades().values()) == 12
    assert result.majority_baseline() == pytest.approx(max(result.grades().values()) / 12)
    assert result.sizes()["480 × 320"] >= 12
    assert len(result.examined) == 12
    assert {each.reason for each in result.left_out if each.file.startswith("masks/")} == {"a lesion mask"}
    assert "<table" not in result._repr_html_()


def test_masks_are_no_photographs_in_a_set_without_grades_either(clean_set: Path, tmp_path: Path) -> None:
    for folder in ("photographs", "masks"):
        shutil.copytree(clean_set / folder, tmp_path / "source" / folder)
    mask = next((tmp_path / "source" / "masks").rglob("*.png"))
    mask.write_bytes(mask.read_bytes()[:40])
    result = run(tmp_path / "source")
    assert len(result.examined) == 12
    assert files_of(result, "unusable") == [[mask.stem]]


def test_a_folder_without_photographs_needs_attention(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert [finding.kind for finding in result.findings] == ["empty"]
    assert result.write(tmp_path.parent / f"{tmp_path.name}-check").is_file()


def test_every_problem_is_found_once(broken: Path) -> None:
    result = run(broken)
    assert files_of(result, "unusable") == [["00000_right"]]
    assert "corrupt JPEG" in result.of_kind("unusable")[0].message
    assert files_of(result, "missing") == [["00001_left"]]
    assert ["unlabelled"] in files_of(result, "orphan")
    assert files_of(result, "identical") == [["00000_left", "unlabelled"], ["00002_left", "00002_right"]]
    assert files_of(result, "copy") == [["00003_left", "00003_right"]]
    assert files_of(result, "conflict") == [["00002_left", "00002_right"]]
    assert "00002_left has grade 0, 00002_right has grade 3" in result.of_kind("conflict")[0].message
    assert files_of(result, "leak") == [["00005_left", "00005_right"]]
    assert "00005_left in train, 00005_right in test" in result.of_kind("leak")[0].message
    assert files_of(result, "crop") == [["00004_right"]]
    assert ["00004_left"] in files_of(result, "quality")
    assert "dark" in next(finding.message for finding in result.of_kind("quality") if "00004_left" in finding.files[0])
    assert {finding.kind for finding in result.findings} <= set(FINDING_KINDS)


def test_copies_across_splits_leak(clean_set: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(clean_set, folder)
    table = Manifest.read(folder / "labels.csv").table.assign(patient_id=None, split="train")
    shutil.copy(folder / "photographs" / "00000_left.jpg", folder / "photographs" / "00004_right.jpg")
    table.loc[table["image_id"] == "00004_right", ["split", "grade"]] = ["val", table["grade"][0]]
    Manifest(table, folder).write(folder / "labels.csv")
    assert files_of(run(folder), "leak") == [["00000_left", "00004_right"]]


def test_quality_thresholds_are_a_value_or_a_share(clean_set: Path) -> None:
    assert len(run(clean_set, quality="25%").of_kind("quality")) == 3
    assert len(run(clean_set, quality=0.0).of_kind("quality")) == 0
    assert len(run(clean_set, quality=1.0).of_kind("quality")) == 12


def test_the_number_of_workers_changes_nothing(broken: Path) -> None:
    assert check(broken, workers=2).to_json() == check(broken, workers=1).to_json()


def test_a_table_is_checked_with_the_files_beside_its_photographs(broken: Path) -> None:
    result = check(broken / "labels.csv", workers=1)
    assert {Path(one.file).parts[0] for one in result.examined} == {"photographs"}
    assert files_of(result, "orphan") == [["unlabelled"]]


def test_files_without_labels_can_be_checked(broken: Path) -> None:
    (broken / "labels.csv").unlink()
    result = check(broken / "photographs", workers=1)
    assert result.grades() == {}
    assert result.majority_baseline() is None
    assert files_of(result, "unusable") == [["00000_right"]]
    assert result.of_kind("orphan") == result.of_kind("conflict") == []
    with pytest.raises(UsageError, match="no manifest to clean"):
        result.write_cleaned(broken / "out")


def test_cleaning_removes_harmful_photographs_with_reasons(broken: Path, tmp_path: Path) -> None:
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in broken.rglob("*") if path.is_file()}
    result = run(broken)
    assert result.manifest is not None
    left_out = result.write_cleaned(tmp_path / "out")
    assert dict(zip(left_out["image_id"], left_out["kind"], strict=True)) == {
        "00000_right": "unusable",
        "00001_left": "missing",
        "00002_left": "conflict",
        "00002_right": "conflict",
        "00003_right": "copy",
        "00005_left": "leak",
    }
    cleaned = read_dataset(tmp_path / "out" / "manifest.csv")
    assert len(cleaned) == 12 - 6
    assert all(cleaned.file(path).is_file() for path in cleaned.table["path"])
    again = check(tmp_path / "out" / "manifest.csv", workers=1)
    assert {finding.kind for finding in again.findings} <= {
        "orphan",
        "identical",
        "copy",
        "conflict",
        "unusable",
        "crop",
        "quality",
    }
    assert clean_manifest(cleaned, again.findings, again.root, tmp_path / "out")[1].empty
    assert before == {path: hashlib.sha256(path.read_bytes()).digest() for path in before}, "files were touched"


def test_the_result_describes_itself(broken: Path) -> None:
    result = run(broken)
    assert "\n" not in repr(result)
    for text in (repr(result), result._repr_html_()):
        assert f"{len(result.examined)} files" in text
        assert "1 conflict" in text
    assert FINDING_KINDS["conflict"] in result._repr_html_()


@pytest.mark.parametrize(("extra", "found"), [(["0/IMG 17"], [["IMG 17"]]), ([], []), (["0/a", "0/b", "1/c"], [])])
def test_a_few_names_without_an_eye_take_all_patients_away(
    clean_set: Path, tmp_path: Path, extra: list[str], found: list[list[str]]
) -> None:
    """With as many other names, names like 00000_left are chance."""
    photographs = sorted((clean_set / "photographs").iterdir())
    names = ["0/7_left", "1/7_right", "1/8_left", *extra]
    for grade in "01":
        (tmp_path / grade).mkdir()
    for photograph, name in zip(photographs, names, strict=False):
        shutil.copy(photograph, tmp_path / f"{name}.jpg")
    result = check(tmp_path, workers=1)
    assert files_of(result, "patient") == found
    assert result.manifest is not None
    assert result.manifest.table["patient_id"].notna().all() == (not extra)


def test_an_archive_is_checked_with_its_photographs(tmp_path: Path) -> None:
    grades = {"train": [0, 1, 2], "val": [3]}
    archive = write_retinamnist(tmp_path / "retinamnist.npz", retinamnist_arrays(grades, size=64))
    result = check(archive, workers=1)
    assert len(result.examined) == 4
    assert result.grades()["3"] == 1
    result.write(tmp_path / "out")
    with pytest.raises(UsageError, match="archive"):
        result.write_cleaned(tmp_path / "out")
    root = result.root
    assert root.is_dir()
    del result
    gc.collect()
    assert not root.exists()


def test_the_page_shows_every_finding(broken: Path, tmp_path: Path) -> None:
    result = run(broken)
    page = result.write(tmp_path / "out").read_text(encoding="utf-8")
    assert "not a medical device" in page
    assert page.count("data:image/jpeg") >= 10
    for kind, meaning in FINDING_KINDS.items():
        assert (str(escape(meaning)) in page) == bool(result.of_kind(kind))
    answer = json.loads((tmp_path / "out" / "check.json").read_text())
    assert answer == json.loads(json.dumps(result.to_json()))
    require_schema(CheckRecord, answer)
    assert set(answer["counts"]) == set(FINDING_KINDS)
    findings = pd.read_csv(tmp_path / "out" / "findings.csv")
    assert set(findings["kind"]) == {finding.kind for finding in result.findings}
    files = pd.read_csv(tmp_path / "out" / "files.csv")
    assert len(files) == len(result.examined)


def test_idrid_has_its_known_copies_and_conflicts(idrid: Path) -> None:
    result = check(idrid)
    grading = [
        files for files in (finding.files for finding in result.of_kind("identical")) if all(f[0] == "B" for f in files)
    ]
    assert sorted("/".join(Path(file).stem[-3:] for file in files) for files in grading) == [
        "021/391", "028/327", "045/333", "073/375", "079/279",
    ]  # fmt: skip
    assert [[Path(file).stem[-3:] for file in finding.files] for finding in result.of_kind("conflict")] == [
        ["021", "391"], ["028", "327"],
    ]  # fmt: skip
    across = [
        finding.files
        for kind in ("identical", "copy")
        for finding in result.of_kind(kind)
        if {file[0] for file in finding.files} == {"A", "B"}
    ]
    assert len(across) == 42
    assert len(result.of_kind("quality")) <= 0.05 * 413
