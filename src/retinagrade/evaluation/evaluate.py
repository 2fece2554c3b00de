"""Evaluate: every figure of one table of predictions, beside what chance and the majority grade would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from retinagrade.errors import JoinError, ManifestError
from retinagrade.evaluation import metrics
from retinagrade.evaluation.fitting.application import AppliedCalibration, apply_calibration, metric_to_json
from retinagrade.evaluation.fitting.calibration import Calibration
from retinagrade.evaluation.integrity.checks import (
    Independence,
    check_confusion_matrix,
    check_predictions,
    test_independence,
)
from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.intervals import (
    LEVEL,
    REFERENCES,
    RESAMPLES,
    Interval,
    decision_intervals,
    metric_intervals,
)
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.named_metrics import NAMES, TASKS, grading_metrics, matrix_metrics
from retinagrade.evaluation.predictions import GradedPredictions, graded_predictions, join_grades
from retinagrade.evaluation.subgroups import Subgroup, evaluate_subgroups
from retinagrade.grades import N_GRADES

SCHEMA_VERSION: Final = 1
"""Of ``metrics.json``; ``docs/metrics.schema.json`` describes it."""


@dataclass(frozen=True)
class Evaluation:
    """All figures of one table of predictions, or of one confusion matrix.

    Attributes:
        matrix: Counts (5, 5) by grade (row) and predicted grade (column).
        figures: The metrics by name; ``None`` where undefined.
        intervals: Their 95 % intervals; none of a bare confusion matrix.
        undefined: Why a metric is ``None``, by its name.
        independence: The test that predictions have nothing to do with the grades; ``None`` where impossible.
        findings: What a person must look at; empty when nothing is wrong.
        ungraded: Photographs left out because their grade is not known.
        graded: The photographs; ``None`` of a bare confusion matrix.
        applied: What was fitted on other photographs and what it is worth on these, where something was.
        subgroups: Figures of subgroups.
        resamples: Resamples that intervals were made of.
        seed: Of the resamples.
    """

    matrix: np.ndarray
    figures: dict[str, float | None]
    undefined: dict[str, str]
    independence: Independence | None
    findings: list[Finding]
    intervals: dict[str, Interval | None] = field(default_factory=dict)
    ungraded: int = 0
    graded: GradedPredictions | None = field(default=None, repr=False)
    applied: AppliedCalibration | None = None
    subgroups: list[Subgroup] = field(default_factory=list)
    resamples: int = 0
    seed: int = 0

    @property
    def photographs(self) -> int:
        """Graded photographs."""
        return int(self.matrix.sum())

    @property
    def patients(self) -> int:
        """Patients whom these are of, where that is known; else as many as photographs."""
        return self.photographs if self.graded is None else len(np.unique(self.graded.patients))

    @property
    def support(self) -> list[int]:
        """Photographs of each grade."""
        counts: list[int] = self.matrix.sum(axis=1).tolist()
        return counts

    @property
    def quadratic_weighted_kappa(self) -> float | None:
        """QWK, the figure to compare networks by."""
        return self.figures["quadratic_weighted_kappa"]

    def to_json(self) -> dict[str, Any]:
        """The same for programs; undefined figures are ``null`` and named with a reason under ``undefined``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "photographs": self.photographs,
            "patients": self.patients,
            "ungraded": self.ungraded,
            "figures": {name: metric_to_json(self.figures, self.intervals, name) for name in self.figures},
            "support": self.support,
            "confusion_matrix": self.matrix.tolist(),
            "independence": None if self.independence is None else asdict(self.independence),
            "findings": [asdict(finding) for finding in self.findings],
            "undefined": self.undefined,
            "bootstrap": {"level": LEVEL, "resamples": self.resamples, "seed": self.seed},
            "fitted": None if self.applied is None else self.applied.to_json(),
            "subgroups": [subgroup.to_json() for subgroup in self.subgroups],
        }


def evaluate_predictions(
    predictions: pd.DataFrame,
    grades: pd.DataFrame | None = None,
    *,
    findings: Sequence[Finding] | None = None,
    fitted: Calibration | None = None,
    by: Sequence[str] = (),
    prevalence: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Evaluates predictions.

    Args:
        predictions: Columns ``image_id``, ``p0`` … ``p4`` and, without ``grades``, ``grade``. The predicted grade
            is the one of the largest probability, the lower one of two equals. Where ``patient_id`` is there,
            intervals are by patients.
        grades: Columns ``image_id`` and ``grade`` of the same photographs, in any order.
        findings: What :func:`~retinagrade.evaluation.integrity.checks.check_predictions` found where more is known
            than the table; by default what it finds in the table.
        fitted: What was fitted on the predictions of other photographs.
        by: Columns whose values make subgroups.
        prevalence: Also give predictive values where this share of the photographs has the disease.
        resamples: Resamples for intervals; 0 for none.
        seed: Of the resamples.

    Returns:
        All figures. Photographs without a grade are counted and left out.

    Raises:
        JoinError: The two tables don't name the same photographs, or no grade is known at all.
        UsageError: A column that there isn't, or that makes no subgroups.
    """
    table = predictions if grades is None else join_grades(predictions, grades)
    photographs = graded_predictions(table)
    if not len(photographs):
        raise JoinError("no photograph has a grade to compare with: give a table of grades with --grades")
    matrix = metrics.confusion_matrix(photographs.grades, photographs.predicted)
    found = grading_metrics(photographs)
    values, undefined = dict(found.values), dict(found.undefined)
    around = metric_intervals(photographs, resamples=resamples, seed=seed)
    ends = dict(around.values)
    if resamples:
        asked = [name for name, value in values.items() if value is not None and name not in REFERENCES]
        undefined.update({f"{name}, interval": around.undefined[name] for name in asked if ends[name] is None})
    if prevalence is not None:
        _at_prevalence(values, undefined, ends, photographs, prevalence, resamples, seed)
    drawn = {"resamples": resamples, "seed": seed}
    return Evaluation(
        matrix,
        values,
        undefined,
        _independence(matrix, undefined),
        check_predictions(table) if findings is None else list(findings),
        ends,
        len(table) - len(photographs),
        photographs,
        None if fitted is None else apply_calibration(fitted, photographs, prevalence=prevalence, **drawn),
        [subgroup for column in by for subgroup in evaluate_subgroups(table, column, **drawn)],
        **drawn,
    )


def evaluate_confusion_matrix(matrix: np.ndarray) -> Evaluation:
    """Evaluates a bare confusion matrix; figures that need probabilities are undefined, and there are no intervals.

    Args:
        matrix: Counts (5, 5) by grade (row) and predicted grade (column), at least one photograph.
    """
    found = matrix_metrics(matrix)
    reason = "needs probabilities, and there is only a confusion matrix"
    missing = [name for name in NAMES if name not in found.values]
    undefined = {**found.undefined, **dict.fromkeys(missing, reason)}
    values = {name: found.values.get(name) for name in NAMES}
    return Evaluation(matrix, values, undefined, _independence(matrix, undefined), check_confusion_matrix(matrix))


def read_confusion_matrix(path: Path) -> np.ndarray:
    """Reads a confusion matrix from a CSV: five rows of five counts, rows by grade, columns by predicted grade.

    A header line, and names in front of the rows, may be there or not.

    Args:
        path: The file; cells separated by commas, semicolons or tabs.

    Returns:
        Counts (5, 5), int64.

    Raises:
        ManifestError: Unreadable, another shape, or cells that are no counts (named by line and column).
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not a readable CSV: {error}") from error
    separator = next((mark for mark in "\t;" if mark in text), ",")
    lines = [
        (number, [cell.strip() for cell in line.split(separator)])
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    if len(lines) == N_GRADES + 1:
        lines = lines[1:]
    if len(lines) != N_GRADES or any(len(cells) not in (N_GRADES, N_GRADES + 1) for _, cells in lines):
        raise ManifestError(
            f"{path}: a confusion matrix is {N_GRADES} lines of {N_GRADES} counts, rows by grade and columns by "
            f"predicted grade (a header line and a first column of names may be there); found {len(lines)} lines of "
            f"{', '.join(sorted({str(len(cells)) for _, cells in lines}))} cells"
        )
    counts = []
    for number, cells in lines:
        for column, cell in list(enumerate(cells, start=1))[-N_GRADES:]:
            if not (cell.isascii() and cell.isdigit()):
                raise ManifestError(f"{path}, line {number}, column {column}: {cell!r} is not a count")
            counts.append(int(cell))
    matrix = np.array(counts, dtype=np.int64).reshape(N_GRADES, N_GRADES)
    if not matrix.any():
        raise ManifestError(f"{path}: the matrix counts no photographs")
    return matrix


def _independence(matrix: np.ndarray, undefined: dict[str, str]) -> Independence | None:
    try:
        return test_independence(matrix)
    except Undefined as reason:
        undefined["independence"] = str(reason)
        return None


def _at_prevalence(
    values: dict[str, float | None],
    undefined: dict[str, str],
    ends: dict[str, Interval | None],
    photographs: GradedPredictions,
    prevalence: float,
    resamples: int,
    seed: int,
) -> None:
    """Adds the predictive values, at a prevalence, of both decisions of screening by the predicted grade."""
    for task, grade in TASKS.items():
        truths, decisions = photographs.grades >= grade, photographs.predicted >= grade
        table = metrics.two_by_two(truths, decisions)
        found = decision_intervals(
            truths, decisions, photographs.patients, prevalence=prevalence, resamples=resamples, seed=seed
        )
        for metric in (metrics.ppv_at_prevalence, metrics.npv_at_prevalence):
            name = f"{task}_{metric.__name__}"
            try:
                values[name] = metric(table, prevalence=prevalence)
            except Undefined as reason:
                values[name], undefined[name] = None, str(reason)
            ends[name] = found.values[metric.__name__]
            if resamples and values[name] is not None and ends[name] is None:
                undefined[f"{name}, interval"] = found.undefined[metric.__name__]
