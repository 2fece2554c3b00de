"""Evaluating, comparing and calibrating runs, files and DataFrames."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinagrade.errors import ManifestError, UsageError
from retinagrade.evaluation.fitting.calibration import load_calibration
from retinagrade.evaluation.predictions import write_predictions
from retinagrade.manifest import Manifest
from retinagrade.runs.calibrate import calibrate
from retinagrade.runs.compare import compare
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.evaluate import evaluate
from retinagrade.runs.predictions import Predictions
from retinagrade.runs.records import FinishedFolds
from retinagrade.runs.run import Run
from tests.evaluation.tables import predictions, some_grades
from tests.runs.trainings import finished_training


def test_a_data_frame_is_evaluated_like_its_file(tmp_path: Path) -> None:
    table = predictions(some_grades(120), skill=2)
    file = tmp_path / "p.csv"
    table.to_csv(file, index=False)
    by_file, by_frame = (evaluate(source, resamples=20).to_json() for source in (file, table))
    assert by_frame == by_file
    grades = table[["image_id", "grade"]].sample(frac=1, random_state=0)
    assert evaluate(table.drop(columns="grade"), grades=grades, resamples=20).to_json()["metrics"] == by_file["metrics"]


def test_a_wrong_data_frame_is_refused_by_row_and_column() -> None:
    table = predictions(some_grades(20), skill=2)
    with pytest.raises(ManifestError, match=r"DataFrame of predictions.*'p1'"):
        Predictions.read(table.drop(columns="p1"))
    with pytest.raises(ManifestError, match=r"DataFrame of predictions(?s:.*)line 4, column p0"):
        Predictions.read(table.assign(p0=[0.1, 0.1, 7.0, *table["p0"][3:]]))
    with pytest.raises(UsageError, match="have no file"):
        _ = Predictions.read(table).file


def test_read_predictions_are_shown_and_evaluated_as_they_are(tmp_path: Path) -> None:
    table = predictions(some_grades(60), skill=2)
    read = Predictions.read(table)
    assert "60 photographs" in repr(read)
    assert read._repr_html_().count("<tr") == 11
    assert evaluate(read, resamples=0).photographs == 60
    with pytest.raises(UsageError, match=r"Predictions\.read"):
        evaluate(read, grades=table)
    with pytest.raises(UsageError, match="prevalence=2"):
        evaluate(read, prevalence=2)


def test_networks_are_compared_by_name_or_in_a_list(tmp_path: Path) -> None:
    grades = some_grades(80)
    good, fair = (predictions(grades, skill=skill, seed=seed) for seed, skill in enumerate((3, 1)))
    named = compare({"good": good, "fair": fair}, resamples=20)
    listed = compare([good, fair], resamples=20)
    assert list(named.evaluations) == ["good", "fair"]
    assert list(listed.evaluations) == ["table 1", "table 2"]
    assert named.differences["fair"] == listed.differences["table 2"]
    with pytest.raises(UsageError, match="two or more"):
        compare([good])


def test_cross_validations_have_the_names_of_their_folders(tmp_path: Path) -> None:
    grades = some_grades(80)
    for seed, name in enumerate(("mine", "yours")):
        table = predictions(grades, skill=2, seed=seed)
        file = CrossValidation(tmp_path / name).predictions_file
        file.parent.mkdir(parents=True)
        write_predictions(table, file)
        record = FinishedFolds(experiment=name, folds=2, seed=0, kept=(), over_folds={})
        CrossValidation(tmp_path / name).write_record(record)
    assert list(compare([tmp_path / "mine", tmp_path / "yours"], resamples=5).evaluations) == ["mine", "yours"]


def test_a_run_is_calibrated_in_its_folder_and_a_table_where_it_is_asked_for(prepared: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.write_record(finished_training(Manifest.read(prepared / "manifest.csv"), "0" * 64))
    table = predictions(some_grades(200), skill=3)
    run.predictions_file("val").parent.mkdir()
    write_predictions(table, run.predictions_file("val"))
    assert load_calibration(run.calibration_file if calibrate(run) else tmp_path) == calibrate(run.folder)
    file = tmp_path / "val.csv"
    table.to_csv(file, index=False)
    calibration = calibrate(Predictions.read(file), out=tmp_path / "c.json", rule="specificity", target=0.8)
    assert load_calibration(tmp_path / "c.json") == calibration
    assert {path.name for path in tmp_path.iterdir()} == {"run", "val.csv", "c.json"}
    write_predictions(table, run.predictions_file("test-fast"))
    with pytest.raises(UsageError, match="validation predictions"):
        calibrate(run.predictions_file("test-fast"))
    with pytest.raises(UsageError, match="leave the target out"):
        calibrate(run, rule="fda", target=0.9)
