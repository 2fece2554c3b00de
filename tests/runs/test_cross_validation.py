"""The folder of a cross-validation, and the trained runs behind folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinagrade.errors import ExperimentError
from retinagrade.manifest import Manifest
from retinagrade.runs.cross_validation import CrossValidation, trained_runs
from retinagrade.runs.records import FinishedFolds, StartedFolds
from retinagrade.runs.run import Run
from retinagrade.storage.files import write_json
from tests.runs.trainings import ensemble_of, finished_training


@pytest.fixture
def folds(tmp_path: Path) -> CrossValidation:
    """A finished cross-validation without its runs."""
    result = CrossValidation(tmp_path / "folds")
    result.write_record(FinishedFolds(experiment="scratch-2", folds=3, seed=0, kept=(), over_folds={}))
    return result


def test_trained_runs_of_ensembles_are_their_members_and_folds(
    folds: CrossValidation, prepared: Path, tmp_path: Path
) -> None:
    data = finished_training(Manifest.read(prepared / "manifest.csv"), "0" * 64).data
    alone, outer, inner = (Run(tmp_path / name) for name in ("alone", "outer", "inner"))
    members = {inner: [folds.folder, folds.fold(0).folder], outer: [alone.folder, inner.folder]}
    for run, folders in members.items():
        write_json(run.ensemble_file, {})
        run.write_record(ensemble_of(folders, data))
    assert trained_runs([outer.folder]) == [alone, *folds.runs()]
    assert trained_runs([alone.folder, outer.folder, alone.folder]) == [alone, *folds.runs()]


def test_an_unfinished_cross_validation_has_no_finished_record(folds: CrossValidation) -> None:
    assert folds.finished_record().folds == 3
    folds.write_record(StartedFolds(experiment="scratch-2", folds=2, seed=0))
    assert folds.record() == StartedFolds(experiment="scratch-2", folds=2, seed=0)
    assert [run.folder.name for run in folds.runs()] == ["fold-0", "fold-1"]
    with pytest.raises(ExperimentError, match="not finished"):
        folds.finished_record()
