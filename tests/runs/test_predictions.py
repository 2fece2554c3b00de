"""What is read of predictions that lie in a run's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from retinagrade.errors import CalibrationError, UsageError
from retinagrade.evaluation.fitting.calibration import fit_calibration, save_calibration
from retinagrade.evaluation.predictions import graded_predictions, read_predictions, write_predictions
from retinagrade.experiments.experiment import load_experiment
from retinagrade.manifest import Manifest
from retinagrade.runs.calibrate import calibrate
from retinagrade.runs.predictions import PREDICT, Predictions, find_run
from retinagrade.runs.run import Run
from retinagrade.storage.files import sha256
from retinagrade.storage.output_guard import write_origin
from tests.evaluation.tables import predictions
from tests.runs.trainings import finished_training


@pytest.fixture
def run(prepared: Path, tmp_path: Path) -> Run:
    """A run's folder with predictions of all splits, as training and `predict` leave it, without a network."""
    run = Run(tmp_path / "run")
    manifest = Manifest.read(prepared / "manifest.csv")
    for split in ("train", "val", "test"):
        own = manifest.split(split).table
        table = predictions(own["grade"].to_numpy(dtype=int), skill=6)
        for name in (split, f"{split}-tta"):
            write_predictions(table.assign(image_id=own["image_id"].tolist()), run.predictions_file(name))
    run.experiment_file.write_text(load_experiment("scratch-2").to_yaml())
    run.write_record(finished_training(manifest, sha256(prepared / "manifest.csv")))
    return run


def calibrated(run: Run) -> Run:
    source = run.predictions_file("val")
    save_calibration(fit_calibration(graded_predictions(read_predictions(source)), source), run.calibration_file)
    return run


def codes(run: Run, split: str, calibration: Path | None = None) -> set[str]:
    return {finding.code for finding in Predictions.read(run.predictions_file(split), calibration=calibration).findings}


def test_patients_and_eyes_come_from_the_prepared_set(run: Run) -> None:
    read = Predictions.read(run.predictions_file("test"))
    assert read.run == find_run(run.predictions_file("test"))
    assert read.manifest is not None
    assert read.table["patient_id"].nunique() == len(read.table) / 2
    assert {"laterality", "dataset", "source_size"} <= set(read.table)
    assert not codes(run, "test") & {"leaked-photographs", "leaked-patients", "fitted-on-evaluated"}
    assert "leaked-photographs" in codes(run, "train")


def test_quality_is_seen_in_the_photographs(run: Run, tmp_path: Path) -> None:
    read = Predictions.read(run.predictions_file("test")).with_quality()
    assert set(read.table["quality"]) <= {"good", "usable", "reject"}
    assert (read.table["quality"] != "reject").mean() > 0.5
    alone = run.predictions_file("val").rename(tmp_path / "alone.csv")
    with pytest.raises(UsageError, match="photographs are missing"):
        Predictions.read(alone).with_quality()


def test_a_table_elsewhere_is_just_a_table(run: Run, tmp_path: Path) -> None:
    read = Predictions.read(run.predictions_file("test").rename(tmp_path / "alone.csv"))
    assert read.run is None
    assert read.manifest is None
    assert "patient_id" not in read.table


def elsewhere(run: Run, prepared: Path, folder: Path, split: str) -> Path:
    """A table of `predict --out`, with its origin beside it."""
    file = Path(shutil.copy(run.predictions_file(split), folder / "away.csv"))
    write_origin(file, PREDICT, [prepared, run.folder])
    return file


def test_a_table_elsewhere_knows_its_run_by_its_origin(run: Run, prepared: Path, tmp_path: Path) -> None:
    calibrated(run)
    file = elsewhere(run, prepared, tmp_path, "train")
    read = Predictions.read(file)
    assert {"leaked-photographs"} <= {finding.code for finding in read.findings}
    assert (read.run, read.calibration, read.name) == (None, None, "away")  # its results don't go into the run
    assert "patient_id" in read.table
    with pytest.raises(UsageError, match="trained on"):
        calibrate(file)
    unseen = Predictions.read(elsewhere(run, prepared, tmp_path, "test"))
    assert not {each.code for each in unseen.findings} & {"leaked-photographs", "run-missing", "set-missing"}


def test_a_run_that_is_gone_loses_the_check_for_leaks(run: Run, prepared: Path, tmp_path: Path) -> None:
    file = elsewhere(run, prepared, tmp_path, "train")
    run.folder.rename(tmp_path / "moved")
    assert "run-missing" in {finding.code for finding in Predictions.read(file).findings}


def test_the_photographs_of_another_set_may_have_the_same_ids(run: Run, prepared: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(prepared / "manifest.csv")
    (tmp_path / "clinic").mkdir()
    other = manifest.table.assign(sha256="0" * 64, dataset="clinic")
    Manifest(other, tmp_path / "clinic").write(tmp_path / "clinic" / "manifest.csv")
    read = Predictions.read(elsewhere(run, tmp_path / "clinic", tmp_path, "train"))
    assert not {finding.code for finding in read.findings} & {"leaked-photographs", "leaked-copies", "leaked-patients"}
    assert set(read.table["dataset"]) == {"clinic"}


def test_grades_that_contradict_those_of_the_table_are_a_finding(run: Run, tmp_path: Path) -> None:
    file = run.predictions_file("test").rename(tmp_path / "alone.csv")
    grades = read_predictions(file)[["image_id", "grade"]]
    assert "other-grades" not in {each.code for each in Predictions.read(file, grades=grades).findings}
    grades.loc[:1, "grade"] = (grades.loc[:1, "grade"] + 1) % 5
    read = Predictions.read(file, grades=grades)
    (finding,) = (each for each in read.findings if each.code == "other-grades")
    assert f"for 2 of {len(grades)} photographs" in finding.message
    assert read.table["grade"].tolist() == grades["grade"].tolist()


def test_grades_that_changed_since_the_training_are_a_finding(run: Run, prepared: Path, tmp_path: Path) -> None:
    assert "changed-grades" not in codes(run, "val")
    file = elsewhere(run, prepared, tmp_path, "val")
    table = read_predictions(file)
    table["grade"] = [(table["grade"].tolist()[0] + 1) % 5, *table["grade"].tolist()[1:]]
    write_predictions(table, file)
    (finding,) = (each for each in Predictions.read(file).findings if each.code == "changed-grades")
    assert table["image_id"].tolist()[0] in finding.message


def test_a_runs_calibration_is_applied_to_others_only(run: Run) -> None:
    assert Predictions.read(run.predictions_file("test")).calibration is None
    calibrated(run)
    read = Predictions.read(run.predictions_file("test"))
    assert read.calibration is not None
    assert run.calibration_file in [path.resolve() for path in read.sources]
    assert Predictions.read(run.predictions_file("val")).calibration is None
    assert (
        Predictions.read(run.predictions_file("test-tta")).calibration is None
    )  # other probabilities than what it was fitted on
    assert "fitted-on-evaluated" not in codes(run, "val")


def test_asked_for_on_what_it_was_fitted_on_it_is_a_finding(run: Run) -> None:
    assert "fitted-on-evaluated" in codes(run, "val", calibrated(run).calibration_file)
    assert "fitted-on-evaluated" not in codes(run, "test", run.calibration_file)


def test_a_broken_calibration_is_named(run: Run) -> None:
    run.calibration_file.write_text("{}")
    with pytest.raises(CalibrationError, match=r"calibration\.json"):
        Predictions.read(run.predictions_file("test"))


def test_without_the_prepared_set_figures_can_still_be_had(run: Run, tmp_path: Path) -> None:
    record = run.finished_record()
    data = record.data.model_copy(update={"prepared": str(tmp_path / "gone")})
    run.write_record(record.model_copy(update={"data": data}))
    read = Predictions.read(run.predictions_file("test"))
    assert read.manifest is None
    assert isinstance(read.table, pd.DataFrame)
