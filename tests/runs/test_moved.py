"""Runs and prepared sets that were moved: together they work, and alone they are named or missed aloud."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from retinagrade.errors import UsageError
from retinagrade.evaluation.predictions import write_predictions
from retinagrade.manifest import Manifest
from retinagrade.runs.predictions import Predictions
from retinagrade.runs.run import Run
from retinagrade.storage.files import sha256, write_text
from retinagrade.storage.output_guard import relative_to_folder
from tests.runs.trainings import finished_training


@pytest.fixture
def moved(prepared: Path, tmp_path: Path) -> Path:
    """A folder with a prepared set and a run on it, which was moved after the training."""
    shutil.copytree(prepared, tmp_path / "a" / "prepared")
    manifest = Manifest.read(tmp_path / "a" / "prepared" / "manifest.csv")
    run = Run(tmp_path / "a" / "run")
    record = finished_training(manifest, sha256(tmp_path / "a" / "prepared" / "manifest.csv"))
    place = relative_to_folder(tmp_path / "a" / "prepared", run.folder)
    run.write_record(record.model_copy(update={"data": record.data.model_copy(update={"prepared": place})}))
    write_text(run.experiment_file, "")
    graded = manifest.graded().split("val").table[["image_id", "grade"]]
    uniform = pd.DataFrame(0.2, index=graded.index, columns=["p0", "p1", "p2", "p3", "p4"])
    write_predictions(
        pd.concat([graded[["image_id"]], uniform, graded[["grade"]]], axis=1), run.predictions_file("val")
    )
    (tmp_path / "a").rename(tmp_path / "b")
    return tmp_path / "b"


def test_a_run_and_its_set_are_moved_together(moved: Path) -> None:
    read = Predictions.read(moved / "run" / "predictions" / "val.csv")
    assert read.table["patient_id"].nunique() == len(read.table) / 2
    assert "set-missing" not in {finding.code for finding in read.findings}


def test_a_missing_set_is_a_finding_and_can_be_named(moved: Path, tmp_path: Path) -> None:
    (moved / "prepared").rename(tmp_path / "elsewhere")
    file = moved / "run" / "predictions" / "val.csv"
    read = Predictions.read(file)
    assert "patient_id" not in read.table
    assert "set-missing" in {finding.code for finding in read.findings}
    found = Predictions.read(file, prepared=tmp_path / "elsewhere")
    assert "patient_id" in found.table
    assert "set-missing" not in {finding.code for finding in found.findings}
    with pytest.raises(UsageError, match="no prepared set"):
        Predictions.read(file, prepared=moved)
    shutil.copy(file, tmp_path / "alone.csv")
    with pytest.raises(UsageError, match="that a run has made"):
        Predictions.read(tmp_path / "alone.csv", prepared=tmp_path / "elsewhere")
