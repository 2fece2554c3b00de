"""Records of runs: they survive a round trip, and a broken one is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from retinagrade.errors import ExperimentError
from retinagrade.manifest import Manifest
from retinagrade.runs.records import (
    FinishedFolds,
    FinishedTraining,
    FoldRecord,
    FoldsRecord,
    MeanAndDeviation,
    RunRecord,
    StartedFolds,
    StartedTraining,
    read_folds_record,
    read_run_record,
    write_record,
)
from retinagrade.runs.run import Run
from retinagrade.storage.files import write_json
from tests.runs.trainings import ensemble_of, finished_training


@pytest.fixture
def finished(prepared: Path) -> FinishedTraining:
    """The record of a finished training."""
    return finished_training(Manifest.read(prepared / "manifest.csv"), "0" * 64)


def all_run_records(finished: FinishedTraining) -> list[RunRecord]:
    started = StartedTraining(experiment=finished.experiment, data=finished.data, start=finished.start)
    return [started, finished, ensemble_of([Path("one"), Path("two")], finished.data)]


def test_records_of_runs_survive_a_round_trip(finished: FinishedTraining, tmp_path: Path) -> None:
    for record in all_run_records(finished):
        write_record(tmp_path / "run.json", record)
        assert read_run_record(tmp_path / "run.json") == record


@pytest.mark.parametrize(
    "record",
    [
        StartedFolds(experiment="scratch-2", folds=3, seed=1),
        FinishedFolds(
            experiment="scratch-2",
            folds=2,
            seed=1,
            kept=(FoldRecord(fold=0, epoch=3, val_loss=1.2, val_accuracy=0.5, val_qwk=None),),
            over_folds={"val_loss": MeanAndDeviation(mean=1.2, sd=0.1), "val_qwk": None},
        ),
    ],
)
def test_records_of_folds_survive_a_round_trip(record: FoldsRecord, tmp_path: Path) -> None:
    write_record(tmp_path / "folds.json", record)
    assert read_folds_record(tmp_path / "folds.json") == record


def test_a_run_gives_the_record_of_its_kind(finished: FinishedTraining, tmp_path: Path) -> None:
    started, _, ensemble = all_run_records(finished)
    run = Run(tmp_path)
    assert not run.is_finished
    run.write_record(started)
    assert not run.is_finished
    assert run.training_record() == started
    with pytest.raises(ExperimentError, match="not finished"):
        run.finished_record()
    with pytest.raises(ExperimentError, match="not an ensemble"):
        run.ensemble_record()
    run.write_record(finished)
    assert Run(tmp_path).is_finished
    assert run.finished_record() == finished
    run.write_record(ensemble)
    assert run.ensemble_record() == ensemble
    with pytest.raises(ExperimentError, match="is an ensemble"):
        run.finished_record()


def test_a_key_of_another_version_is_ignored(finished: FinishedTraining, tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {**finished.model_dump(mode="json"), "mood": "good"})
    assert read_run_record(tmp_path / "run.json") == finished


@pytest.mark.parametrize(
    ("change", "key"),
    [({"kept": {"epoch": "three"}}, "kept"), ({"data": None}, "data"), ({"status": "lost"}, "status")],
)
def test_a_wrong_value_is_named_with_its_file(
    change: dict[str, Any], key: str, finished: FinishedTraining, tmp_path: Path
) -> None:
    write_json(tmp_path / "run.json", {**finished.model_dump(mode="json"), **change})
    with pytest.raises(ExperimentError, match=rf"run\.json(?s:.*){key}"):
        read_run_record(tmp_path / "run.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", '{"status": "finished"}', "\udcff"])
def test_an_unknown_file_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "any.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ExperimentError, match=r"any\.json"):
        read_run_record(file)
    with pytest.raises(ExperimentError, match=r"any\.json"):
        read_folds_record(file)
    with pytest.raises(ExperimentError, match=r"absent\.json"):
        read_run_record(tmp_path / "absent.json")


def test_records_are_plain_json(finished: FinishedTraining, tmp_path: Path) -> None:
    Run(tmp_path).write_record(finished)
    values = json.loads((tmp_path / "run.json").read_text())
    assert values["status"] == "finished"
    kept = {name: value for name, value in values["kept"].items() if value is not None}
    assert kept == {"epoch": 0, "val_loss": 1.6, "val_accuracy": 0.4, "val_qwk": 0.2}
    assert values["data"]["preparation"]["size"] == 64
