"""The folder of a run: what a person sees of it, and its pictures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from retinagrade.errors import ExperimentError, UsageError
from retinagrade.experiments.experiment import load_experiment
from retinagrade.manifest import Manifest
from retinagrade.runs.calibrate import calibrate
from retinagrade.runs.compare import compare
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.records import FinishedFolds, FoldRecord, MeanAndDeviation
from retinagrade.runs.run import Run
from tests.runs.trainings import finished_training


@pytest.fixture
def run(prepared: Path, tmp_path: Path) -> Run:
    """The folder of a finished run, without a network."""
    run = Run(tmp_path / "run")
    run.write_record(finished_training(Manifest.read(prepared / "manifest.csv"), "0" * 64))
    run.experiment_file.write_text(load_experiment("scratch-2").to_yaml())
    columns = {"train_loss": [1.6, 1.2], "val_loss": [1.5, 1.7], "val_accuracy": [0.4, 0.3], "val_qwk": [0.2, None]}
    history = pd.DataFrame({"epoch": [0, 1], **columns, "learning_rate": 0.001, "seconds": 1.0})
    history.to_csv(run.history_file, index=False)
    return run


def test_a_run_that_outlines_lesions_has_nothing_to_calibrate_or_compare(tmp_path: Path) -> None:
    run = Run(tmp_path / "lesions")
    counts = run.lesion_counts_file("val")
    counts.parent.mkdir(parents=True)
    counts.touch()
    with pytest.raises(UsageError, match="outlines lesions and grades nothing") as error:
        calibrate(run)
    assert f"evaluate {counts}" in str(error.value)
    with pytest.raises(UsageError, match="outlines lesions and grades nothing"):
        compare([run, run.folder])


def test_a_run_shows_its_experiment_status_and_metrics(run: Run, tmp_path: Path) -> None:
    shown = repr(run)
    for text in ("scratch-2", "finished", "1.600", "0.400", "0.200"):
        assert text in shown
    assert "not started" in repr(Run(tmp_path / "nowhere"))


def test_the_history_marks_the_kept_epoch_and_is_drawn(run: Run, tmp_path: Path) -> None:
    assert run.history()["kept"].tolist() == [True, False]
    assert run._repr_html_().count("<tr") == 3
    assert run.plot().get_axes()
    with pytest.raises(ExperimentError, match="no training history"):
        Run(tmp_path / "nowhere").plot()


def test_a_cross_validation_shows_its_folds_and_their_spread(tmp_path: Path) -> None:
    result = CrossValidation(tmp_path)
    assert "not started" in repr(result)
    assert "not started" in result._repr_html_()
    kept = tuple(FoldRecord(fold=fold, epoch=3, val_loss=1.0 + fold, val_accuracy=0.5, val_qwk=None) for fold in (0, 1))
    spread = {"val_loss": MeanAndDeviation(mean=1.5, sd=0.707), "val_qwk": None}
    result.write_record(FinishedFolds(experiment="scratch-2", folds=2, seed=0, kept=kept, over_folds=spread))
    assert result.metrics()["val_loss"].tolist() == [1.0, 2.0]
    for text in ("scratch-2, 2 folds, finished", "1.500 ± 0.707", "val_qwk undefined"):
        assert text in repr(result)
