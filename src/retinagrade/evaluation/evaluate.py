"""Evaluate: every figure of one table of predictions, beside what chance and the majority grade would give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pandas as pd

from retinagrade.errors import JoinError, ManifestError
from retinagrade.evaluation import metrics
from retinagrade.evaluation.findings import Finding
from retinagrade.evaluation.integrity import Independence, check, check_predictions, independence
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.predictions import graded, join
from retinagrade.grades import N_GRADES, Grade

SHARES: Final = ("precision", "recall", "f1")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Evaluation:
    """All figures of one table of predictions, or of one confusion matrix.

    Attributes:
        matrix: Counts (5, 5) by grade (row) and predicted grade (column).
        figures: The metrics by name; ``None`` where undefined.
        per_grade: Precision, recall, F1 and support of every grade.
        averages: ``macro`` and ``weighted`` (by support) precision, recall and F1 over the grades present.
        undefined: Why a metric is ``None``, by its name.
        independence: The test that predictions have nothing to do with the grades; ``None`` where impossible.
        findings: What a person must look at; empty when nothing is wrong.
        ungraded: Photographs left out because their grade is not known.
        roc: False- and true-positive rates of referable retinopathy; ``None`` where undefined.
    """

    matrix: np.ndarray
    figures: dict[str, float | None]
    per_grade: list[dict[str, float | int | None]]
    averages: dict[str, dict[str, float | None]]
    undefined: dict[str, str]
    independence: Independence | None
    findings: list[Finding]
    ungraded: int = 0
    roc: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False)

    @property
    def photographs(self) -> int:
        """Graded photographs."""
        return int(self.matrix.sum())

    @property
    def quadratic_weighted_kappa(self) -> float | None:
        """QWK, the figure to compare networks by."""
        return self.figures["quadratic_weighted_kappa"]

    def to_json(self) -> dict[str, Any]:
        """The same for programs; undefined figures are ``null`` and named with a reason under ``undefined``."""
        return {
            "photographs": self.photographs,
            "ungraded": self.ungraded,
            **self.figures,
            "per_grade": self.per_grade,
            "averages": self.averages,
            "confusion_matrix": self.matrix.tolist(),
            "independence": None if self.independence is None else asdict(self.independence),
            "findings": [asdict(finding) for finding in self.findings],
            "undefined": self.undefined,
        }


def evaluate(
    predictions: pd.DataFrame, grades: pd.DataFrame | None = None, findings: Sequence[Finding] | None = None
) -> Evaluation:
    """Evaluates predictions.

    Args:
        predictions: Columns ``image_id``, ``p0`` … ``p4`` and, without ``grades``, ``grade``. The predicted grade
            is the one of the largest probability, the lower one of two equals.
        grades: Columns ``image_id`` and ``grade`` of the same photographs, in any order.
        findings: What :func:`~retinagrade.evaluation.integrity.check_predictions` found where more is known than the
            table; by default what it finds in the table.

    Returns:
        All figures. Photographs without a grade are counted and left out.

    Raises:
        JoinError: The two tables don't name the same photographs, or no grade is known at all.
    """
    table = predictions if grades is None else join(predictions, grades)
    photographs = graded(table)
    if not len(photographs):
        raise JoinError("no photograph has a grade to compare with: give a table of grades with --grades")
    known, probabilities = photographs.grades, photographs.probabilities
    undefined: dict[str, str] = {}
    return _evaluation(
        metrics.confusion_matrix(known, photographs.predicted),
        undefined,
        macro_auc=_or_none(undefined, "macro_auc", partial(metrics.macro_auc, known, probabilities)),
        referable_auc=_or_none(undefined, "referable_auc", partial(metrics.referable_auc, known, probabilities)),
        findings=check_predictions(table) if findings is None else list(findings),
        ungraded=len(table) - len(photographs),
        roc=_or_none({}, "roc", partial(metrics.referable_roc, known, probabilities)),
    )


def evaluate_confusion_matrix(matrix: np.ndarray) -> Evaluation:
    """Evaluates a bare confusion matrix; figures that need probabilities are undefined.

    Args:
        matrix: Counts (5, 5) by grade (row) and predicted grade (column), at least one photograph.
    """
    reason = "needs probabilities, and there is only a confusion matrix"
    return _evaluation(matrix, {"macro_auc": reason, "referable_auc": reason}, findings=check(matrix))


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


def _evaluation(
    matrix: np.ndarray,
    undefined: dict[str, str],
    *,
    macro_auc: float | None = None,
    referable_auc: float | None = None,
    findings: list[Finding],
    ungraded: int = 0,
    roc: tuple[np.ndarray, np.ndarray] | None = None,
) -> Evaluation:
    kappa = _or_none(undefined, "quadratic_weighted_kappa", partial(metrics.quadratic_weighted_kappa, matrix))
    figures = {
        "accuracy": metrics.accuracy(matrix),
        "majority_baseline": metrics.majority_baseline(matrix),
        "chance_accuracy": metrics.chance_accuracy(matrix),
        "quadratic_weighted_kappa": kappa,
        "balanced_accuracy": metrics.balanced_accuracy(matrix),
        "macro_auc": macro_auc,
        "referable_auc": referable_auc,
    }
    per_grade = [_one_grade(matrix, grade, undefined) for grade in Grade]
    return Evaluation(
        matrix,
        figures,
        per_grade,
        _averages(per_grade, undefined),
        undefined,
        _or_none(undefined, "independence", partial(independence, matrix)),
        findings,
        ungraded,
        roc,
    )


def _one_grade(matrix: np.ndarray, grade: Grade, undefined: dict[str, str]) -> dict[str, float | int | None]:
    shares = {
        name: _or_none(undefined, f"grade {grade.value} {name}", partial(getattr(metrics, name), matrix, grade.value))
        for name in SHARES
    }
    return {"grade": grade.value, **shares, "support": int(matrix[grade.value].sum())}


def _averages(
    per_grade: list[dict[str, float | int | None]], undefined: dict[str, str]
) -> dict[str, dict[str, float | None]]:
    present = [row for row in per_grade if row["support"]]
    support = np.array([row["support"] for row in present], dtype=float)
    averages: dict[str, dict[str, float | None]] = {"macro": {}, "weighted": {}}
    for kind, weights in (("macro", np.ones(len(present))), ("weighted", support)):
        for name in SHARES:
            values = [row[name] for row in present]
            missing = [str(row["grade"]) for row in present if row[name] is None]
            if missing:
                undefined[f"{kind} {name}"] = f"{name} of grade {', '.join(missing)} is undefined"
            averages[kind][name] = None if missing else float(np.average(np.array(values, float), weights=weights))
    return averages


def _or_none(undefined: dict[str, str], name: str, metric: Callable[[], Value]) -> Value | None:
    try:
        return metric()
    except Undefined as reason:
        undefined[name] = str(reason)
        return None
