"""Metrics of how probabilities rank photographs: areas under ROC curves, and average precision."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from retinagrade.evaluation.metrics.confusion import Undefined
from retinagrade.grades import REFERABLE, VISION_THREATENING, Grade


def macro_auc(grades: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
    """Computes the mean, over the grades that are present, of the AUC of each grade against all other grades.

    If all five grades are present, this is MedMNIST's AUC for RetinaMNIST, to the digit: its ``getAUC`` treats "ordinal
    regression" like any task of several classes, one against the rest. MedMNIST's AUC is undefined if a grade is
    absent.

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


def pairwise_auc(grades: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
    """Computes the mean AUC over all pairs of grades that are present, each pair among its own photographs.

    It is the M measure, scikit-learn's ``roc_auc_score(multi_class="ovo")``, and GDRBench's AUC if all grades are
    present. Unlike :func:`macro_auc`, it doesn't depend on the numbers of photographs of the grades.

    Source: D. J. Hand and R. J. Till, "A simple generalisation of the area under the ROC curve for multiple class
    classification problems", Machine Learning 45, 2001.

    Args:
        grades: Grades (N,), int.
        probabilities: Probabilities (N, 5) of the same photographs.

    Raises:
        Undefined: Fewer than two grades are present.
    """
    present = np.unique(grades)
    if len(present) < 2:
        raise Undefined("fewer than two grades are present")
    areas = []
    for first, second in combinations(present, 2):
        pair = np.isin(grades, (first, second))
        for one in (first, second):
            areas.append(roc_auc_score(grades[pair] == one, probabilities[pair, one]))
    return float(np.mean(areas))


def probability_from_grade(probabilities: NDArray[np.float64], grade: int) -> NDArray[np.float64]:
    """Returns the probability (N,) of "this grade or worse", from probabilities (N, 5)."""
    scores: NDArray[np.float64] = probabilities[:, grade:].sum(axis=1)
    return scores


def disease_scores(
    grades: NDArray[Any], probabilities: NDArray[np.float64], grade: Grade
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Returns which photographs have a disease, and the predicted probabilities of the disease.

    Args:
        grades: Grades (N,), int.
        probabilities: Probabilities (N, 5) of the same photographs.
        grade: The mildest grade that counts as disease: ``REFERABLE`` or ``VISION_THREATENING``.

    Returns:
        Truths (N,) and scores (N,).

    Raises:
        Undefined: All photographs have the disease, or none has.
    """
    disease = {REFERABLE: "referable", VISION_THREATENING: "vision-threatening"}[grade]
    truths = grades >= grade
    if not truths.any() or truths.all():
        raise Undefined(f"{'all photographs are' if truths.any() else 'no photograph is'} {disease}")
    return truths, probability_from_grade(probabilities, grade)


def referable_auc(grades: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
    """Computes the area under the ROC curve of the probability of referable retinopathy, ``p2 + p3 + p4``.

    Args:
        grades: Grades (N,), int.
        probabilities: Probabilities (N, 5) of the same photographs.

    Raises:
        Undefined: All photographs are referable, or none is.
    """
    return float(roc_auc_score(*disease_scores(grades, probabilities, REFERABLE)))


def vision_threatening_auc(grades: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
    """Computes the area under the ROC curve of the probability of vision-threatening retinopathy, ``p3 + p4``.

    Arguments: as :func:`referable_auc`.

    Raises:
        Undefined: All photographs are vision-threatening, or none is.
    """
    return float(roc_auc_score(*disease_scores(grades, probabilities, VISION_THREATENING)))


def referable_average_precision(grades: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
    """Computes the average precision of the probability of referable retinopathy; chance is the referable share.

    It is ``Σ (R_k - R_k-1) P_k`` over the distinct probabilities, scikit-learn's definition, without interpolation.
    Arguments: as :func:`referable_auc`.

    Raises:
        Undefined: All photographs are referable (any order would be perfect), or none is.
    """
    return float(average_precision_score(*disease_scores(grades, probabilities, REFERABLE)))


def vision_threatening_average_precision(grades: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
    """Computes the average precision, as :func:`referable_average_precision`, of vision-threatening retinopathy.

    Raises:
        Undefined: All photographs are vision-threatening, or none is.
    """
    return float(average_precision_score(*disease_scores(grades, probabilities, VISION_THREATENING)))
