"""Adapting a grader file to the grades of a site, from photographs to a file that grades otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from retinagrade import Grader, adapt, prepare
from retinagrade.cli import app
from retinagrade.errors import GraderFileError, ImageError, LayoutError, UsageError
from retinagrade.evaluation import adaptation
from retinagrade.evaluation.adaptation import LEAST_PHOTOGRAPHS
from retinagrade.grader.grade import grade
from retinagrade.grader.metadata import TrainingDataMetadata
from tests.grader.graders import write_grader
from tests.grader.lesion_graders import MARKS, RETINA, write_lesion_grader

SIDE = 128
PHOTOGRAPHS = 40


def _draw(haemorrhages: int, seed: int) -> np.ndarray:
    """Draws an eye with separate round haemorrhages."""
    picture, centre = np.zeros((150, 160, 3), np.uint8), (80, 75)
    cv2.circle(picture, centre, 68, RETINA, -1)
    places = [(x, y) for x in range(-45, 46, 15) for y in range(-45, 46, 15) if x * x + y * y < 55**2]
    for place in np.random.default_rng(seed).permutation(places)[:haemorrhages]:
        cv2.circle(picture, (centre[0] + int(place[0]), centre[1] + int(place[1])), 4, MARKS["haemorrhages"], -1)
    return picture


def _make_set(folder: Path, grades_of: dict[int, int], photographs: int = PHOTOGRAPHS, size: int = SIDE) -> Path:
    """Prepares photographs whose grade follows from their number of haemorrhages; each patient has two of them."""
    (folder / "source").mkdir(parents=True)
    rows = []
    counts = sorted(grades_of)
    for number in range(photographs):
        haemorrhages = counts[number % len(counts)]
        Image.fromarray(_draw(haemorrhages, number)).save(folder / "source" / f"{number:03d}.png")
        rows.append(
            {
                "image_id": f"{number:03d}",
                "path": f"{number:03d}.png",
                "grade": grades_of[haemorrhages],
                "patient_id": f"p{number // 2}",
                "oedema_risk": number % 3,
                "split": "test" if number < 4 else "train",
            }
        )
    pd.DataFrame(rows).to_csv(folder / "source" / "manifest.csv", index=False)
    prepare(folder / "source", folder / "set", size=size, workers=1)
    return folder / "set"


@pytest.fixture(autouse=True)
def _one_division(monkeypatch: pytest.MonkeyPatch) -> None:
    """One division of the patients into folds, to save time."""
    monkeypatch.setattr(adaptation, "REPEATS", 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lesion_grader(tmp_path_factory.mktemp("grader") / "lesions.onnx", SIDE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that grades more mildly than the file: one to three haemorrhages are no reason for the file's grades."""
    return _make_set(tmp_path_factory.mktemp("site"), {0: 0, 1: 0, 2: 0, 4: 1, 6: 1, 9: 2, 12: 2, 16: 3, 22: 4})


def test_a_site_gets_its_own_file(model: Path, site: Path, tmp_path: Path) -> None:
    out = tmp_path / "local.onnx"
    result = CliRunner().invoke(app, ["adapt", str(model), "--data", str(site), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    before, after = Grader.load(model), Grader.load(out)
    assert said["version"] == after.metadata.version
    assert after.metadata.version.startswith(f"{before.metadata.version}-local-")
    assert onnx.load(out).graph == onnx.load(model).graph
    assert said["left_out"] == {"in the split test": 4}
    assert said["photographs"] == PHOTOGRAPHS - 4
    (change,) = after.metadata.history
    assert {"lesions", "temperature", "referable"} <= set(change.changed)
    gain = change.gains["quadratic_weighted_kappa"]
    assert gain.interval is not None
    assert gain.interval[0] > 0
    assert f"{gain.after:.3f}" in (tmp_path / "local.md").read_text()
    assert len(pd.read_csv(said["predictions"])) == PHOTOGRAPHS - 4
    photographs = sorted((site.parent / "source").glob("*.png"))
    truths = pd.read_csv(site / "manifest.csv").sort_values("image_id")["grade"].to_numpy()
    errors = []
    for file in (model, out):
        results = grade(photographs, model=file, gate="off")
        errors.append(np.abs(np.array([each.predicted_grade for each in results]) - truths).mean())
    assert errors[1] < errors[0] / 2


def test_nothing_is_written_where_nothing_is_gained(model: Path, site: Path, tmp_path: Path) -> None:
    graded = pd.read_csv(site / "manifest.csv")
    right = grade(sorted((site.parent / "source").glob("*.png")), model=model, gate="off")
    folder = tmp_path / "own"
    same = {each.image_id: str(each.predicted_grade) for each in right}
    _copy_set(site, folder, graded.assign(grade=[same[f"{image_id:03d}"] for image_id in graded["image_id"]]))
    arguments = ["adapt", str(model), "--data", str(folder), "--out", str(tmp_path / "local.onnx")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["local.numbers.jsonl", "own"]
    kept = (tmp_path / "local.numbers.jsonl").read_bytes()
    again = CliRunner().invoke(app, arguments)
    assert (again.exit_code, again.stdout) == (1, result.stdout)
    assert (tmp_path / "local.numbers.jsonl").read_bytes() == kept  # no photograph was read a second time


def _copy_set(site: Path, folder: Path, manifest: pd.DataFrame) -> None:
    (folder / "photographs").mkdir(parents=True)
    for file in (*(site / "photographs").iterdir(), site / "prepare.json"):
        (folder / file.relative_to(site)).write_bytes(file.read_bytes())
    manifest.assign(image_id=[f"{image_id:03d}" for image_id in manifest["image_id"]]).to_csv(
        folder / "manifest.csv", index=False
    )


def test_photographs_of_the_training_are_left_out(site: Path, tmp_path: Path) -> None:
    sources = pd.read_csv(site / "manifest.csv", dtype=str).query("split == 'train'")["sha256"].str[:16]
    trained_on = tuple(set(sources[:6]))
    copies = sources.isin(trained_on)  # healthy eyes, which are drawn alike, are copies of one file
    data = TrainingDataMetadata(datasets=(), photographs={}, manifest_sha256="0" * 64, digests=trained_on)
    model = write_lesion_grader(tmp_path / "trained.onnx", SIDE, training_data=data)
    adapted = adapt(model, site, tmp_path / "local.onnx")
    assert adapted.left_out == {"in the split test": 4, "that the file was trained on": copies.sum()}
    assert adapted.adaptation.photographs == (~copies).sum()
    assert adapted.grader is not None
    assert set(Grader.load(adapted.grader.file).metadata.history[-1].digests) == set(sources[~copies])


def test_what_cannot_be_adapted_is_refused(model: Path, site: Path, tmp_path: Path) -> None:
    out = tmp_path / "local.onnx"
    with pytest.raises(GraderFileError, match="outlines lesions"):
        adapt(write_grader(tmp_path / "whole.onnx"), site, out)
    with pytest.raises(UsageError):
        adapt(model, site, tmp_path / "local.txt")
    with pytest.raises(UsageError):
        adapt(model, site, model)
    with pytest.raises(LayoutError):
        adapt(model, site.parent / "source", out)
    few = _make_set(tmp_path / "few", {0: 0, 9: 2}, LEAST_PHOTOGRAPHS)  # four of them are kept to judge with
    with pytest.raises(UsageError, match=str(LEAST_PHOTOGRAPHS)):
        adapt(model, few, out)
    with pytest.raises(LayoutError, match=f"--size {SIDE}"):
        adapt(model, _make_set(tmp_path / "small", {0: 0}, 2, size=SIDE // 2), out)
    graded = pd.read_csv(site / "manifest.csv")
    _copy_set(site, tmp_path / "changed", graded)
    photograph = next((tmp_path / "changed" / "photographs").iterdir())
    photograph.write_bytes(photograph.read_bytes() + b" ")
    with pytest.raises(ImageError):
        adapt(model, tmp_path / "changed", out)
    assert not out.exists()
