"""What is known of a run's worth: its figures, and what was fitted to be decided by; its own, or those of its folds."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from retinagrade.errors import ArtefactError, ExperimentError
from retinagrade.evaluation.evaluate import evaluate
from retinagrade.evaluation.fitting.fitted import Fitted, load
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.grader.artefact import Figure, Measured
from retinagrade.manifest import Manifest
from retinagrade.training.known import read_known, with_manifest
from retinagrade.training.run import CrossValidation, Run

FIGURES: Final = ("quadratic_weighted_kappa", "referable_auc", "vision_threatening_auc", "accuracy", "log_loss")


class Judged(NamedTuple):
    """What is known of a run's worth; ``None`` where it isn't.

    Attributes:
        fitted: Temperature, thresholds and sets.
        validation: Figures of the validation photographs.
        cross_validated: Figures of all photographs, each predicted by the fold that has not seen it.
        test: Figures of the test photographs.
    """

    fitted: Fitted | None
    validation: Measured | None
    cross_validated: Measured | None
    test: Measured | None


def judged(run: Run, folds: CrossValidation | None, manifest: Manifest) -> Judged:
    """Looks up what is known of a run.

    Args:
        run: A trained run.
        folds: A cross-validation of the same experiment on the same photographs, whose calibration and figures count
            in place of the run's own.
        manifest: The photographs with the split that the run was trained on.

    Raises:
        ArtefactError: The calibration is isotonic.
        ExperimentError: The folds are of another experiment or of other photographs, or unfinished.
    """
    test = _of_run(run, "test")
    if folds is None:
        return Judged(_calibration(run.calibration_file), _of_run(run, "val"), None, test)
    predicted = read_predictions(folds.predictions_file) if folds.record()["status"] == "finished" else None
    learnt = manifest.graded().split("train").table["image_id"]
    if predicted is None or run.experiment() != folds.fold(0).experiment() or set(predicted["image_id"]) != set(learnt):
        raise ExperimentError(
            f"{folds.folder} is no finished cross-validation of what {run.folder} is: train both with the same "
            "experiment and settings, and the run on all of the photographs"
        )
    return Judged(_calibration(folds.calibration_file), None, _measured(with_manifest(predicted, manifest)), test)


def _calibration(file: Path) -> Fitted | None:
    if not file.is_file():
        return None
    fitted = load(file)
    if fitted.method == "isotonic":
        raise ArtefactError(f"{file} is isotonic: `retinagrade calibrate {file.parent}` without --method")
    return fitted


def _of_run(run: Run, split: str) -> Measured | None:
    """Figures of the run's predictions of a split; ``None`` where there are none."""
    file = run.predictions_file(split)
    table = read_known(file).table if file.is_file() else None
    return None if table is None or table["grade"].isna().all() else _measured(table)


def _measured(table: pd.DataFrame) -> Measured:
    """Figures of predictions, by patients."""
    found = evaluate(table, findings=[])
    figures = {}
    for name in FIGURES:
        around = found.intervals.get(name)
        interval = None if around is None else (around.low, around.high)
        figures[name] = Figure(value=found.figures[name], interval=interval)
    return Measured(photographs=found.photographs, figures=figures)
