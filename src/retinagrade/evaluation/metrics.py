"""Metrics of grading. Those of the chosen grades are functions of the confusion matrix alone.

The matrix has a row for every grade that a photograph has and a column for every grade that it was given. Averages over
grades are over the grades that are present. What is undefined raises :class:`Undefined` with the reason; nothing is
silently 0.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from retinagrade.grades import N_GRADES, REFERABLE, Grade


class Undefined(ValueError):  # noqa: N818 - a metric is undefined; nothing went wrong
    """A metric has no value for this data; the message says why."""


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


def accuracy(matrix: np.ndarray) -> float:
    """Share of photographs whose grade is right.

    Raises:
        Undefined: No photographs.
    """
    return float(np.trace(matrix) / _total(matrix))


def majority_baseline(matrix: np.ndarray) -> float:
    """Accuracy of giving every photograph the most frequent grade: what any figure has to be seen beside."""
    return float(matrix.sum(axis=1).max() / _total(matrix))


def chance_accuracy(matrix: np.ndarray) -> float:
    """Accuracy that the same predictions would have if they had nothing to do with the photographs."""
    return float(matrix.sum(axis=1) @ matrix.sum(axis=0) / _total(matrix) ** 2)


def quadratic_weighted_kappa(matrix: np.ndarray) -> float:
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
    total = _total(matrix)
    ladder = np.arange(N_GRADES)
    distance = (ladder[:, None] - ladder) ** 2
    by_chance = distance * np.outer(matrix.sum(axis=1), matrix.sum(axis=0)) / total
    if by_chance.sum() == 0:
        raise Undefined("all photographs have one grade and were given it, so there is no disagreement by chance")
    return float(1 - (distance * matrix).sum() / by_chance.sum())


def balanced_accuracy(matrix: np.ndarray) -> float:
    """Mean recall of the grades that are present.

    Raises:
        Undefined: No photographs.
    """
    _total(matrix)
    support = matrix.sum(axis=1)
    return float(np.mean(np.diag(matrix)[support > 0] / support[support > 0]))


def precision(matrix: np.ndarray, grade: int) -> float:
    """Of the photographs that were given a grade, the share that has it.

    Raises:
        Undefined: The grade was never given.
    """
    given = matrix[:, grade].sum()
    if given == 0:
        raise Undefined(f"no photograph was given grade {grade}")
    return float(matrix[grade, grade] / given)


def recall(matrix: np.ndarray, grade: int) -> float:
    """Of the photographs of a grade, the share that was given it.

    Raises:
        Undefined: No photograph has the grade.
    """
    support = matrix[grade].sum()
    if support == 0:
        raise Undefined(f"no photograph has grade {grade}")
    return float(matrix[grade, grade] / support)


def f1(matrix: np.ndarray, grade: int) -> float:
    """Harmonic mean of precision and recall; 0 where a grade is present and never found.

    Raises:
        Undefined: No photograph has the grade, and none was given it.
    """
    either = matrix[:, grade].sum() + matrix[grade].sum()
    if either == 0:
        raise Undefined(f"no photograph has grade {grade}, and none was given it")
    return float(2 * matrix[grade, grade] / either)


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


def referable_auc(grades: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve of the probability of referable retinopathy, ``p2 + p3 + p4``.

    Args:
        grades: Grades (N,), int.
        probabilities: Probabilities (N, 5) of the same photographs.

    Raises:
        Undefined: All photographs are referable, or none is.
    """
    return float(roc_auc_score(*_referable(grades, probabilities)))


def referable_roc(grades: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ROC curve of referable retinopathy: false- and true-positive rates (K,), ascending.

    Raises:
        Undefined: All photographs are referable, or none is.
    """
    false_positive, true_positive, _ = roc_curve(*_referable(grades, probabilities))
    return false_positive, true_positive


def _referable(grades: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    referable = grades >= REFERABLE
    if referable.all() or not referable.any():
        raise Undefined(f"{'all photographs are' if referable.any() else 'no photograph is'} referable")
    return referable, probabilities[:, REFERABLE : Grade.PROLIFERATIVE + 1].sum(axis=1)


def _total(matrix: np.ndarray) -> int:
    total = int(matrix.sum())
    if total == 0:
        raise Undefined("there are no graded photographs")
    return total
