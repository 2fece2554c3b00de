"""Metrics of grading. Those of the chosen grades are functions of the confusion matrix alone.

The matrix has a row for every grade that a photograph has and a column for every grade that it was given. Averages over
grades are over the grades that are present. What is undefined raises :class:`Undefined` with the reason; nothing is
silently 0. Such a metric also takes a stack of matrices at once (:meth:`MatrixMetric.stacked`): what resampling needs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Concatenate, Final, Generic, ParamSpec

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from retinagrade.errors import UsageError
from retinagrade.grades import N_GRADES, REFERABLE, VISION_THREATENING, Grade

CALIBRATION_BINS: Final = 15
"""Bins of :func:`expected_calibration_error`, equally wide, of the probability of the grade that was given."""
SMALLEST_PROBABILITY: Final = float(np.finfo(np.float64).eps)
"""What :func:`log_loss` takes a smaller probability for, as scikit-learn does: else one certain mistake is infinite."""
_FAR = 2
Arguments = ParamSpec("Arguments")


class Undefined(ValueError):  # noqa: N818 - a metric is undefined; nothing went wrong
    """A metric has no value for this data; the message says why."""


class MatrixMetric(Generic[Arguments]):
    """A metric of a confusion matrix: one formula for a single matrix and for stacks of them.

    Calling it with one matrix gives a float, or raises :class:`Undefined`.
    """

    __name__: str

    def __init__(self, formula: Callable[Concatenate[np.ndarray, Arguments], np.ndarray], reason: str) -> None:
        """Wraps a formula.

        Args:
            formula: From counts (…, K, K) to values (…); 0 / 0 where undefined.
            reason: Why a value of any photographs at all can be undefined; ``{}`` stands for the grade.
        """
        self._formula, self._reason = formula, reason
        update_wrapper(self, formula)

    def __call__(self, matrix: np.ndarray, *args: Arguments.args, **kwargs: Arguments.kwargs) -> float:
        """The metric of one matrix (K, K).

        Raises:
            Undefined: No photographs, or the metric's own reason.
        """
        if not matrix.any():
            raise Undefined("there are no graded photographs")
        value = float(self.stacked(matrix, *args, **kwargs))
        if np.isnan(value):
            raise Undefined(self._reason.format(*args))
        return value

    def stacked(self, matrices: np.ndarray, *args: Arguments.args, **kwargs: Arguments.kwargs) -> np.ndarray:
        """The metric of every matrix of (…, K, K): float64 (…), NaN where undefined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self._formula(matrices, *args, **kwargs), dtype=np.float64)


def _metric(
    reason: str = "there are no graded photographs",
) -> Callable[[Callable[Concatenate[np.ndarray, Arguments], np.ndarray]], MatrixMetric[Arguments]]:
    return lambda formula: MatrixMetric(formula, reason)


# What the tables count


def confusion_matrix(grades: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Counts photographs by grade (row) and predicted grade (column).

    Args:
        grades: Grades (N,), int, 0 to 4.
        predicted: Predicted grades (N,), int, 0 to 4, of the same photographs.

    Returns:
        Counts (5, 5), int64.

    Example:
        >>> int(confusion_matrix(np.array([0, 3]), np.array([0, 4]))[3, 4])
        1
    """
    cells = np.asarray(grades, dtype=np.int64) * N_GRADES + np.asarray(predicted, dtype=np.int64)
    return np.bincount(cells, minlength=N_GRADES**2).reshape(N_GRADES, N_GRADES)


def two_by_two_table(truths: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    """Counts photographs that have (row 1) or lack (row 0) a finding, said to have (column 1) or lack (column 0) it.

    Args:
        truths: Whether a photograph has it (N,), bool.
        decisions: Whether it was said to have it (N,), bool.

    Returns:
        Counts (2, 2), int64.
    """
    cells = np.asarray(truths, dtype=np.int64) * 2 + np.asarray(decisions, dtype=np.int64)
    return np.bincount(cells, minlength=4).reshape(2, 2)


def two_by_two_tables_from(matrices: np.ndarray, grade: int) -> np.ndarray:
    """The two-by-two tables (…, 2, 2) of having and being given a grade or a worse one, from matrices (…, 5, 5).

    Example:
        >>> from_grade_on(np.eye(5, dtype=int), REFERABLE).tolist()
        [[2, 0], [0, 3]]
    """
    starts = [0, grade]
    tables: np.ndarray = np.add.reduceat(np.add.reduceat(matrices, starts, axis=-1), starts, axis=-2)
    return tables


# Agreement of grades


@_metric()
def accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share of photographs whose grade is right.

    Raises:
        Undefined: No photographs.
    """
    return np.asarray(_right(matrix) / _total(matrix))


@_metric()
def majority_baseline(matrix: np.ndarray) -> np.ndarray:
    """Accuracy of giving every photograph the most frequent grade: what any figure has to be seen beside."""
    return np.asarray(matrix.sum(axis=-1).max(axis=-1) / _total(matrix))


@_metric()
def chance_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Accuracy that the same predictions would have if they had nothing to do with the photographs."""
    return np.asarray((matrix.sum(axis=-1) * matrix.sum(axis=-2)).sum(axis=-1) / _total(matrix) ** 2)


_NO_DISAGREEMENT = "all photographs have one grade and were given it, so there is no disagreement by chance"


@_metric(_NO_DISAGREEMENT)
def quadratic_weighted_kappa(matrix: np.ndarray) -> np.ndarray:
    """Cohen's kappa with weights that grow with the square of the distance between grades 0 to 4 (QWK).

    Source: J. Cohen, "Weighted kappa", Psychological Bulletin 70(4), 1968.

    Returns:
        From -1 to 1; 0 is chance, 1 perfect agreement.

    Raises:
        Undefined: No photographs, or all are of one grade and were given it.

    Example:
        >>> quadratic_weighted_kappa(np.diag([3, 2, 2, 1, 1]))
        1.0
    """
    return _kappa(matrix, _distances() ** 2)


@_metric(_NO_DISAGREEMENT)
def linear_weighted_kappa(matrix: np.ndarray) -> np.ndarray:
    """Cohen's kappa with weights that grow with the distance between grades 0 to 4.

    Source, range and errors: as :func:`quadratic_weighted_kappa`.
    """
    return _kappa(matrix, _distances())


@_metric(_NO_DISAGREEMENT)
def unweighted_kappa(matrix: np.ndarray) -> np.ndarray:
    """Cohen's kappa that counts every wrong grade alike; not the one that papers on retinopathy report.

    Source: J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20(1),
    1960. Range and errors: as :func:`quadratic_weighted_kappa`.
    """
    return _kappa(matrix, _distances() > 0)


@_metric()
def balanced_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Mean recall of the grades that are present.

    Raises:
        Undefined: No photographs.
    """
    return _average(_recalls(matrix), matrix.sum(axis=-1) > 0)


@_metric()
def mean_absolute_grade_error(matrix: np.ndarray) -> np.ndarray:
    """Mean distance between grade and predicted grade, in grades, 0 to 4.

    Raises:
        Undefined: No photographs.
    """
    return np.asarray((matrix * _distances()).sum(axis=(-2, -1)) / _total(matrix))


@_metric()
def off_by_two_or_more(matrix: np.ndarray) -> np.ndarray:
    """Share of photographs whose predicted grade is two or more grades off.

    Raises:
        Undefined: No photographs.
    """
    return np.asarray((matrix * (_distances() >= _FAR)).sum(axis=(-2, -1)) / _total(matrix))


# Single grades, and averages over the grades that are present


@_metric("no photograph was given grade {}")
def precision(matrix: np.ndarray, grade: int) -> np.ndarray:
    """Of the photographs that were given a grade, the share that has it.

    Raises:
        Undefined: The grade was never given.
    """
    return _precisions(matrix)[..., grade]


@_metric("no photograph has grade {}")
def recall(matrix: np.ndarray, grade: int) -> np.ndarray:
    """Of the photographs of a grade, the share that was given it.

    Raises:
        Undefined: No photograph has the grade.
    """
    return _recalls(matrix)[..., grade]


@_metric("no photograph has grade {}, and none was given it")
def f1(matrix: np.ndarray, grade: int) -> np.ndarray:
    """Harmonic mean of precision and recall; 0 where a grade is present and never found.

    Raises:
        Undefined: No photograph has the grade, and none was given it.
    """
    return _f1s(matrix)[..., grade]


@_metric("all photographs have grade {}")
def grade_specificity(matrix: np.ndarray, grade: int) -> np.ndarray:
    """Of the photographs that don't have a grade, the share that was not given it.

    Raises:
        Undefined: All photographs have the grade.
    """
    support, given, hits = matrix.sum(axis=-1), matrix.sum(axis=-2), _hits(matrix)
    others = _total(matrix) - support[..., grade]
    return np.asarray((others - given[..., grade] + hits[..., grade]) / others)


_NEVER_GIVEN = "a grade that is present was never given, so it has no precision"


@_metric(_NEVER_GIVEN)
def macro_precision(matrix: np.ndarray) -> np.ndarray:
    """Mean :func:`precision` of the grades that are present.

    Raises:
        Undefined: One of them was never given: counting it as 0, or leaving it out, would be another figure.
    """
    return _average(_precisions(matrix), matrix.sum(axis=-1) > 0)


@_metric()
def macro_recall(matrix: np.ndarray) -> np.ndarray:
    """Mean :func:`recall` of the grades that are present: :func:`balanced_accuracy` by its other name."""
    return balanced_accuracy.stacked(matrix)


@_metric()
def macro_f1(matrix: np.ndarray) -> np.ndarray:
    """Mean :func:`f1` of the grades that are present."""
    return _average(_f1s(matrix), matrix.sum(axis=-1) > 0)


@_metric(_NEVER_GIVEN)
def weighted_precision(matrix: np.ndarray) -> np.ndarray:
    """Mean :func:`precision` of the grades that are present, by their photographs.

    Raises:
        Undefined: One of them was never given.
    """
    return _average(_precisions(matrix), matrix.sum(axis=-1))


@_metric()
def weighted_recall(matrix: np.ndarray) -> np.ndarray:
    """Mean :func:`recall` of the grades that are present, by their photographs: the accuracy by another name."""
    return accuracy.stacked(matrix)


@_metric()
def weighted_f1(matrix: np.ndarray) -> np.ndarray:
    """Mean :func:`f1` of the grades that are present, by their photographs."""
    return _average(_f1s(matrix), matrix.sum(axis=-1))


# Findings that are there or not: functions of two_by_two and from_grade_on


@_metric("no photograph has it")
def sensitivity(table: np.ndarray) -> np.ndarray:
    """Of the photographs that have a finding, the share that was said to have it.

    Args:
        table: Counts (2, 2) as :func:`two_by_two_table` makes them.

    Raises:
        Undefined: No photograph has it.

    Example:
        >>> sensitivity(two_by_two(np.array([True, True, False]), np.array([True, False, False])))
        0.5
    """
    return np.asarray(table[..., 1, 1] / table[..., 1, :].sum(axis=-1))


@_metric("all photographs have it")
def specificity(table: np.ndarray) -> np.ndarray:
    """Of the photographs (2, 2) without a finding, the share that was said to be without it.

    Raises:
        Undefined: All photographs have it.
    """
    return np.asarray(table[..., 0, 0] / table[..., 0, :].sum(axis=-1))


@_metric("no photograph was said to have it")
def ppv(table: np.ndarray) -> np.ndarray:
    """Positive predictive value: of the photographs (2, 2) that were said to have a finding, the share that has it.

    It is one of this set's prevalence; elsewhere it is another (:func:`ppv_at_prevalence`).

    Raises:
        Undefined: No photograph was said to have it.
    """
    return np.asarray(table[..., 1, 1] / table[..., :, 1].sum(axis=-1))


@_metric("all photographs were said to have it")
def npv(table: np.ndarray) -> np.ndarray:
    """Negative predictive value: of the photographs (2, 2) said to be without a finding, the share that is without it.

    It is one of this set's prevalence; elsewhere it is another (:func:`npv_at_prevalence`).

    Raises:
        Undefined: All photographs were said to have it.
    """
    return np.asarray(table[..., 0, 0] / table[..., :, 0].sum(axis=-1))


@_metric("no photograph has it, all have it, or none would be said to have it")
def ppv_at_prevalence(table: np.ndarray, prevalence: float) -> np.ndarray:
    """Positive predictive value where a stated share of photographs has the finding, by Bayes' theorem.

    Args:
        table: Counts (2, 2), of which only sensitivity and specificity are used.
        prevalence: Share that has it, 0 to 1.

    Raises:
        UsageError: No such prevalence.
        Undefined: Sensitivity or specificity is, or nobody would be said to have it.

    Example:
        >>> round(ppv_at_prevalence(np.array([[90, 10], [10, 90]]), 0.1), 6)
        0.5
    """
    found = sensitivity.stacked(table) * _prevalence(prevalence)
    return found / (found + (1 - specificity.stacked(table)) * (1 - prevalence))


@_metric("no photograph has it, all have it, or all would be said to have it")
def npv_at_prevalence(table: np.ndarray, prevalence: float) -> np.ndarray:
    """Negative predictive value where a stated share of photographs has the finding, by Bayes' theorem.

    Arguments and errors: as :func:`ppv_at_prevalence`.
    """
    cleared = specificity.stacked(table) * (1 - _prevalence(prevalence))
    return cleared / (cleared + (1 - sensitivity.stacked(table)) * prevalence)


# Order of probabilities


def macro_auc(grades: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean, over the grades that are present, of the AUC of a grade's probability against all other grades.

    Where all five grades are present this is MedMNIST's AUC of RetinaMNIST, to the digit: its ``getAUC`` takes "ordinal
    regression" as any task of several classes, one against the rest. Where one is absent, MedMNIST's is undefined.

    Source: J. Yang et al., "MedMNIST v2", Scientific Data 10, 2023; ``medmnist/evaluator.py``.

    Args:
        grades: Grades (N,), int.
        probabilities: Probabilities (N, 5) of the same photographs.

    Raises:
        Undefined: Fewer than two grades are present.
    """
    present = np.unique(grades)
    if len(present) < 2:
        raise Undefined("fewer than two grades are present")
    return float(np.mean([roc_auc_score(grades == grade, probabilities[:, grade]) for grade in present]))


def probability_from_grade(probabilities: np.ndarray, grade: int) -> np.ndarray:
    """Probability (N,) of a grade or a worse one, of probabilities (N, 5)."""
    scores: np.ndarray = probabilities[:, grade:].sum(axis=1)
    return scores


def disease_scores(grades: np.ndarray, probabilities: np.ndarray, grade: Grade) -> tuple[np.ndarray, np.ndarray]:
    """Which photographs have a grade or a worse one, and how probable that was said to be.

    Args:
        grades: Grades (N,), int.
        probabilities: Probabilities (N, 5) of the same photographs.
        grade: ``REFERABLE`` or ``VISION_THREATENING``.

    Returns:
        Truths (N,), bool, and scores (N,).

    Raises:
        Undefined: All photographs have it, or none has.
    """
    what = {REFERABLE: "referable", VISION_THREATENING: "vision-threatening"}[grade]
    truths = grades >= grade
    if not truths.any() or truths.all():
        raise Undefined(f"{'all photographs are' if truths.any() else 'no photograph is'} {what}")
    return truths, probability_from_grade(probabilities, grade)


def referable_auc(grades: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve of the probability of referable retinopathy, ``p2 + p3 + p4``.

    Args:
        grades: Grades (N,), int.
        probabilities: Probabilities (N, 5) of the same photographs.

    Raises:
        Undefined: All photographs are referable, or none is.
    """
    return float(roc_auc_score(*disease_scores(grades, probabilities, REFERABLE)))


def vision_threatening_auc(grades: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve of the probability of vision-threatening retinopathy, ``p3 + p4``.

    Raises:
        Undefined: All photographs are vision-threatening, or none is.
    """
    return float(roc_auc_score(*disease_scores(grades, probabilities, VISION_THREATENING)))


def referable_average_precision(grades: np.ndarray, probabilities: np.ndarray) -> float:
    """Average precision of the probability of referable retinopathy; chance is the share that is referable.

    ``Σ (R_k - R_k-1) P_k`` over the distinct probabilities, as scikit-learn defines it, without interpolation.

    Raises:
        Undefined: All photographs are referable (any order would be perfect), or none is.
    """
    return float(average_precision_score(*disease_scores(grades, probabilities, REFERABLE)))


def vision_threatening_average_precision(grades: np.ndarray, probabilities: np.ndarray) -> float:
    """Average precision, as :func:`referable_average_precision`, of vision-threatening retinopathy.

    Raises:
        Undefined: All photographs are vision-threatening, or none is.
    """
    return float(average_precision_score(*disease_scores(grades, probabilities, VISION_THREATENING)))


# Probabilities as such


def brier(grades: np.ndarray, probabilities: np.ndarray) -> float:
    """Brier score: mean over photographs of the sum over all five grades of the squared error of the probability.

    From 0 to 2, the smaller the better; with two classes it is twice the one that is often given.

    Source: G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.

    Raises:
        Undefined: No photographs.
    """
    return _mean(brier_terms(grades, probabilities))


def brier_terms(grades: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The squared errors (N,) whose mean is :func:`brier`."""
    terms: np.ndarray = ((probabilities - np.eye(N_GRADES)[grades]) ** 2).sum(axis=1)
    return terms


def log_loss(grades: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of -ln of the probability of the right grade.

    Probabilities below :data:`SMALLEST_PROBABILITY` count as that, so no photograph costs more than 36.04.

    Raises:
        Undefined: No photographs.
    """
    return _mean(log_loss_terms(grades, probabilities))


def log_loss_terms(grades: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The losses (N,) whose mean is :func:`log_loss`."""
    right = probabilities[np.arange(len(grades)), grades]
    terms: np.ndarray = -np.log(right.clip(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))
    return terms


def expected_calibration_error(grades: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean distance between how sure and how often right, over :data:`CALIBRATION_BINS` bins, by their photographs.

    Bins are equally wide, of the largest probability, each without its lower and with its upper edge.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017.

    Returns:
        From 0 to 1. With few photographs it is above 0 even where probabilities are right.

    Raises:
        Undefined: No photographs.
    """
    excess, bins = calibration_terms(grades, probabilities)
    if not len(grades):
        raise Undefined("there are no graded photographs")
    return float(np.abs(np.bincount(bins, excess, CALIBRATION_BINS)).sum() / len(grades))


def calibration_terms(grades: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest probability less being right (N,), and its bin (N,), int: what calibration errors sum."""
    sureness = probabilities.max(axis=1)
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]
    return sureness - (probabilities.argmax(axis=1) == grades), np.searchsorted(edges, sureness)


def _mean(terms: np.ndarray) -> float:
    if not len(terms):
        raise Undefined("there are no graded photographs")
    return float(terms.mean())


def _prevalence(prevalence: float) -> float:
    if not 0 <= prevalence <= 1:
        raise UsageError(f"a prevalence is a share from 0 to 1, not {prevalence}")
    return prevalence


def _total(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(matrix.sum(axis=(-2, -1)))


def _hits(matrix: np.ndarray) -> np.ndarray:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def _right(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(_hits(matrix).sum(axis=-1))


def _precisions(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(_hits(matrix) / matrix.sum(axis=-2))


def _recalls(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(_hits(matrix) / matrix.sum(axis=-1))


def _f1s(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(2 * _hits(matrix) / (matrix.sum(axis=-1) + matrix.sum(axis=-2)))


def _average(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean over the last axis of values that weigh anything; NaN where one of these is."""
    return np.asarray(np.where(weights > 0, values * weights, 0.0).sum(axis=-1) / weights.sum(axis=-1))


def _distances() -> np.ndarray:
    ladder = np.arange(N_GRADES)
    return np.asarray(np.abs(ladder[:, None] - ladder))


def _kappa(matrix: np.ndarray, weights: np.ndarray) -> np.ndarray:
    by_chance = matrix.sum(axis=-1)[..., :, None] * matrix.sum(axis=-2)[..., None, :] * weights
    return np.asarray(1 - (weights * matrix).sum(axis=(-2, -1)) * _total(matrix) / by_chance.sum(axis=(-2, -1)))
