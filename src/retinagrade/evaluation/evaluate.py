"""Evaluates a table of predictions, or a confusion matrix: all metrics, their intervals, and integrity checks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from retinagrade.arguments import check_arguments
from retinagrade.errors import JoinError, UsageError
from retinagrade.evaluation.confusion_matrix_file import read_confusion_matrix
from retinagrade.evaluation.decided_photographs import DecidedPhotographs
from retinagrade.evaluation.decisions import evaluate_decisions
from retinagrade.evaluation.fitting.applied_calibration import apply_calibration
from retinagrade.evaluation.fitting.calibration import Calibration
from retinagrade.evaluation.integrity.checks import check_confusion_matrix, check_predictions
from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.integrity.independence import Independence, independence_test
from retinagrade.evaluation.intervals import REFERENCE_METRICS, Interval, decision_intervals, metric_intervals
from retinagrade.evaluation.metrics import (
    Undefined,
    confusion_matrix,
    npv_at_prevalence,
    ppv_at_prevalence,
    two_by_two_table,
)
from retinagrade.evaluation.named_metrics import METRIC_NAMES, compute_matrix_metrics, compute_metrics
from retinagrade.evaluation.oedema import OEDEMA_AUC, evaluate_oedema, oedema_photographs
from retinagrade.evaluation.predictions import GradedPredictions, graded_predictions, join_grades
from retinagrade.evaluation.report.page import write_evaluation
from retinagrade.evaluation.report.pictures import evaluation_pictures
from retinagrade.evaluation.report.summary import evaluation_tables, main_metrics_text
from retinagrade.evaluation.report.tables import tables_html
from retinagrade.evaluation.resampling import RESAMPLES
from retinagrade.evaluation.results import EvaluationContext, EvaluationResults
from retinagrade.evaluation.subgroups import evaluate_subgroups
from retinagrade.grades import N_GRADES, REFERABLE
from retinagrade.messages import counted
from retinagrade.storage.files import file_digests


@dataclass(frozen=True, repr=False)
class Evaluation(EvaluationResults):
    """All metrics of one table of predictions, or of one confusion matrix, with tables, pictures and a report.

    The attributes are those of :class:`~retinagrade.evaluation.results.EvaluationResults`.
    """

    def __repr__(self) -> str:
        """Returns the main metrics with their intervals, and the findings."""
        return main_metrics_text(self)

    def _repr_html_(self) -> str:
        """Returns the tables of all metrics, for notebooks."""
        return tables_html(evaluation_tables(self), self.findings)

    @property
    def plots(self) -> tuple[str, ...]:
        """Names of the pictures that :meth:`plot` draws."""
        return tuple(evaluation_pictures(self))

    def plot(self, name: str) -> Figure:
        """Draws a picture.

        Args:
            name: One of :attr:`plots`, such as ``confusion_matrix`` or ``roc``.

        Returns:
            A Matplotlib figure.

        Raises:
            UsageError: There is no such picture.
        """
        pictures = evaluation_pictures(self)
        if name not in pictures:
            raise UsageError(f"this evaluation has no picture {name!r}; it has {', '.join(pictures)}")
        return pictures[name].figure

    def write(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Writes ``report.html``, ``metrics.json``, the pictures as PNG and SVG, and ``run.json``.

        Args:
            folder: The folder to write to; it is made if it is missing.
            overwrite: Whether the folder may hold other files, which are replaced where they have the same names.

        Returns:
            The path of ``report.html``.

        Raises:
            UsageError: The folder holds the predictions, or files that are no earlier evaluation of them.
        """
        return write_evaluation(Path(folder), self, overwrite)


def evaluate_predictions(
    predictions: pd.DataFrame,
    grades: pd.DataFrame | None = None,
    *,
    findings: Sequence[Finding] | None = None,
    calibration: Calibration | None = None,
    decided: DecidedPhotographs | None = None,
    by: Sequence[str] = (),
    prevalence: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    context: EvaluationContext | None = None,
) -> Evaluation:
    """Evaluates predictions.

    Args:
        predictions: Columns ``image_id``, ``p0`` … ``p4`` and, without ``grades``, ``grade``; where known,
            ``oedema_probability`` and ``oedema_risk`` (0 to 2). The predicted grade is the one with the largest
            probability, the lower one of two equals. If there is a column ``patient_id``, the intervals resample
            patients, otherwise photographs.
        grades: Columns ``image_id`` and ``grade`` of the same photographs, in any order.
        findings: Findings of the integrity checks, if the caller has run them with more information than the table
            has; by default, :func:`~retinagrade.evaluation.integrity.checks.check_predictions` of the table.
        calibration: A calibration that was fitted on the predictions of other photographs.
        decided: The photographs of a table of results with the grader's decisions, to measure these as well.
        by: Columns whose values define subgroups.
        prevalence: Share of photographs with referable disease, at which predictive values of referable decisions are
            computed as well.
        resamples: Number of resamples for the intervals; 0 for no intervals.
        seed: Seed of the resamples.
        context: Description of the evaluated predictions, for the report.

    Returns:
        All metrics. Photographs without a grade are counted and left out.

    Raises:
        JoinError: The two tables don't name the same photographs, no photograph has a grade, or the grader refused all
            of them.
        UsageError: A column of ``by`` is missing or has too many values.
    """
    table = predictions if grades is None else join_grades(predictions, grades)
    graded = graded_predictions(table)
    if not len(graded) and decided is not None:
        raise JoinError(
            f"the grader refused all {counted(len(decided), 'labelled photograph')}, so there are no grades to "
            "compare: grade photographs that it can use, or label others"
        )
    if not len(graded):
        raise JoinError("no photograph has a grade to compare with: give a table of grades with --grades")
    matrix = confusion_matrix(graded.grades, graded.predicted)
    named = compute_metrics(graded)
    values, undefined = dict(named.values), dict(named.undefined)
    bootstrap = metric_intervals(graded, resamples=resamples, seed=seed)
    intervals = dict(bootstrap.values)
    if resamples:
        expected = [name for name, value in values.items() if value is not None and name not in REFERENCE_METRICS]
        undefined.update({f"{name}, interval": bootstrap.undefined[name] for name in expected if not intervals[name]})
    _add_oedema(values, undefined, intervals, table, resamples, seed)
    if prevalence is not None:
        _add_predictive_values(values, undefined, intervals, graded, prevalence, resamples, seed)
    settings = {"resamples": resamples, "seed": seed}
    return Evaluation(
        matrix,
        values,
        undefined,
        _independence(matrix, undefined),
        check_predictions(table) if findings is None else list(findings),
        intervals,
        len(table) - len(graded),
        graded,
        None
        if calibration is None
        else apply_calibration(
            calibration, graded, oedema=oedema_photographs(table), prevalence=prevalence, **settings
        ),
        [subgroup for column in by for subgroup in evaluate_subgroups(table, column, **settings)],
        None if decided is None else evaluate_decisions(decided, by=by, prevalence=prevalence, **settings),
        context=context or EvaluationContext(),
        **settings,
    )


@check_arguments()
def evaluate_confusion_matrix(matrix: str | os.PathLike[str] | ArrayLike) -> Evaluation:
    """Evaluates a bare confusion matrix; metrics that need probabilities are undefined, and there are no intervals.

    Args:
        matrix: A CSV file (:func:`~retinagrade.evaluation.confusion_matrix_file.read_confusion_matrix`), or counts
            (5, 5) by grade (row) and predicted grade (column) of at least one photograph.

    Returns:
        The metrics that the matrix determines. ``write(folder)`` writes the report.

    Raises:
        ManifestError: The file is not a confusion matrix.
        UsageError: The array is not a confusion matrix.

    Example:
        >>> evaluate_confusion_matrix([[9, 1, 0, 0, 0], [0] * 5, [1, 0, 9, 0, 0], [0] * 5, [0] * 5]).metrics["accuracy"]
        0.9
    """
    if isinstance(matrix, (str, os.PathLike)):
        file = Path(matrix)
        counts = read_confusion_matrix(file)
        context = EvaluationContext(
            file.stem, f"Confusion matrix in {file}.", inputs=[file], sources=file_digests([file])
        )
    else:
        counts, context = _counts(matrix), EvaluationContext("confusion matrix")
    named = compute_matrix_metrics(counts)
    missing = [name for name in METRIC_NAMES if name not in named.values]
    undefined = named.undefined | dict.fromkeys(missing, "needs probabilities, and there is only a confusion matrix")
    values = {name: named.values.get(name) for name in METRIC_NAMES}
    independence = _independence(counts, undefined)
    return Evaluation(counts, values, undefined, independence, check_confusion_matrix(counts), context=context)


def _counts(matrix: ArrayLike) -> NDArray[np.int64]:
    values = np.asarray(matrix)
    counts = values.astype(np.int64) if values.dtype.kind in "iuf" else np.zeros(0, dtype=np.int64)
    if counts.shape != (N_GRADES, N_GRADES) or (counts != values).any() or (counts < 0).any() or not counts.any():
        raise UsageError(
            f"a confusion matrix is an array of {N_GRADES} × {N_GRADES} counts, rows by grade and columns by predicted "
            f"grade, with at least one photograph; this one has the shape {values.shape} and the type {values.dtype}"
        )
    return counts


def _independence(matrix: NDArray[np.int64], undefined: dict[str, str]) -> Independence | None:
    try:
        return independence_test(matrix)
    except Undefined as reason:
        undefined["independence"] = str(reason)
        return None


def _add_oedema(
    values: dict[str, float | None],
    undefined: dict[str, str],
    intervals: dict[str, Interval | None],
    table: pd.DataFrame,
    resamples: int,
    seed: int,
) -> None:
    """Adds the ranking of macular oedema, where the table has its probability and its risk."""
    found = evaluate_oedema(table, resamples, seed)
    if found is None:
        return
    values[OEDEMA_AUC], interval, reason = found
    if resamples:
        intervals[OEDEMA_AUC] = interval
    if reason is not None:
        undefined[OEDEMA_AUC if values[OEDEMA_AUC] is None else f"{OEDEMA_AUC}, interval"] = reason


def _add_predictive_values(
    values: dict[str, float | None],
    undefined: dict[str, str],
    intervals: dict[str, Interval | None],
    graded: GradedPredictions,
    prevalence: float,
    resamples: int,
    seed: int,
) -> None:
    """Adds the predictive values of the referable decision by the predicted grade at a prevalence."""
    truths, decisions = graded.grades >= REFERABLE, graded.predicted >= REFERABLE
    table = two_by_two_table(truths, decisions)
    bootstrap = decision_intervals(
        truths, decisions, graded.patients, prevalence=prevalence, resamples=resamples, seed=seed
    )
    for metric in (ppv_at_prevalence, npv_at_prevalence):
        name = f"referable_{metric.__name__}"
        try:
            values[name] = metric(table, prevalence=prevalence)
        except Undefined as reason:
            values[name], undefined[name] = None, str(reason)
        intervals[name] = bootstrap.values[metric.__name__]
        if resamples and values[name] is not None and intervals[name] is None:
            undefined[f"{name}, interval"] = bootstrap.undefined[metric.__name__]
