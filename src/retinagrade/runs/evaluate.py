"""Evaluates predictions with everything that their run adds: patients, calibration, history and example photographs."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pandas as pd

from retinagrade.arguments import NOT_NEGATIVE, SHARE, check_arguments
from retinagrade.errors import UsageError
from retinagrade.evaluation.evaluate import Evaluation, evaluate_predictions
from retinagrade.evaluation.examples import Example, example_photographs
from retinagrade.evaluation.fitting.calibration import Calibration
from retinagrade.evaluation.folds import FoldResults
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.evaluation.resampling import RESAMPLES
from retinagrade.evaluation.results import EvaluationContext
from retinagrade.evaluation.subgroups import default_subgroup_columns
from retinagrade.execution.progress import Progress
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.predictions import Predictions
from retinagrade.storage.files import file_digests


@check_arguments(
    advice={"predictions": "of a run, write run.predictions_file('val')"}, prevalence=SHARE, resamples=NOT_NEGATIVE
)
def evaluate(
    predictions: str | os.PathLike[str] | pd.DataFrame | Predictions,
    *,
    grades: str | os.PathLike[str] | pd.DataFrame | None = None,
    calibration: str | os.PathLike[str] | Calibration | None = None,
    prepared: str | os.PathLike[str] | None = None,
    by: Sequence[str] = (),
    prevalence: float | None = None,
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> Evaluation:
    """Measures predictions, and checks whether the metrics can be trusted.

    Args:
        predictions: A CSV, JSON Lines or Parquet file, or a DataFrame, with ``image_id``, ``p0`` … ``p4`` and, where
            known, ``grade``; a table of results of ``retinagrade grade``; or predictions that were read before.
        grades: A CSV file or a DataFrame with ``image_id`` and ``grade`` of the same photographs; with ``patient_id``,
            intervals are by patient.
        calibration: A calibration that was fitted on other photographs, or its file. By default, that of the run.
        prepared: The prepared set of the run, where it was moved without the run.
        by: Columns whose values define subgroups, besides the usual ones; ``quality`` is assessed from the photographs
            where the table has no such column.
        prevalence: Share of the programme's photographs, or patients, with referable disease, between 0 and 1, at which
            predictive values are computed as well. The referable decisions in a table of results are measured at this
            prevalence instead of that of the data.
        resamples: Number of resamples of patients for the intervals; 0 for no intervals.
        progress: Receives the progress of assessing image quality.

    Returns:
        All metrics with their intervals, subgroups and findings. ``write(folder)`` writes the report.

    Raises:
        ManifestError: A table is unreadable, or not valid.
        JoinError: The tables don't have the same photographs, or no photograph has a grade.
        CalibrationError: The calibration is unreadable.
        UsageError: An argument is out of range, or a column of ``by`` is missing.
    """
    if not isinstance(predictions, Predictions):
        predictions = Predictions.read(predictions, grades=grades, calibration=calibration, prepared=prepared)
    elif grades is not None or calibration is not None or prepared is not None:
        raise UsageError("give grades, calibration and prepared set to Predictions.read, or evaluate the file")
    if "quality" in by and "quality" not in predictions.table:
        predictions = predictions.with_quality(progress)
    return evaluate_predictions(
        predictions.table,
        findings=predictions.findings,
        calibration=predictions.calibration,
        decided=predictions.decided,
        by=[*dict.fromkeys([*default_subgroup_columns(predictions.table), *by])],
        prevalence=prevalence,
        resamples=resamples,
        context=_context(predictions),
    )


def _context(predictions: Predictions) -> EvaluationContext:
    """Returns the description of the predictions for the report."""
    run, sources = predictions.run, file_digests(predictions.sources)
    if (folds := predictions.cross_validation) is not None:
        return EvaluationContext(
            folds.finished_record().experiment,
            f"Cross-validation {folds.folder}: each photograph is predicted by the fold that did not learn from it.",
            loss=folds.fold(0).experiment().network.loss,
            examples=_examples(predictions),
            inputs=predictions.inputs,
            sources=sources,
            folds=_fold_results(folds),
        )
    if run is None:
        file = predictions.source_file
        description = "" if file is None else f"Predictions in {file}."
        return EvaluationContext(predictions.name, description, inputs=predictions.inputs, sources=sources)
    record = run.record()
    return EvaluationContext(
        record.experiment,
        f"Run {run.folder}, photographs of {run.prepared}, split {predictions.file.stem}.",
        run.history() if run.has_network else None,
        run.experiment().network.loss if run.has_network else "",
        _examples(predictions),
        predictions.inputs,
        sources,
    )


def _examples(predictions: Predictions) -> list[Example]:
    return [] if predictions.manifest is None else example_photographs(predictions.table, predictions.manifest)


def _fold_results(cross_validation: CrossValidation) -> FoldResults:
    """Measures each fold on the photographs that it didn't learn from."""
    runs = cross_validation.runs()
    tables = [read_predictions(run.predictions_file("val")) for run in runs]
    metrics = [evaluate_predictions(table, resamples=0).metrics for table in tables]
    return FoldResults(metrics, [run.history() for run in runs])
