"""Metrics of probabilities as such: Brier score, log loss and calibration error; lower is better."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.evaluation.metrics.confusion import NO_PHOTOGRAPHS, Undefined
from retinagrade.grades import N_GRADES

CALIBRATION_BINS: Final = 15
"""Number of equally wide bins of the largest probability, for :func:`expected_calibration_error`."""
SMALLEST_PROBABILITY: Final = float(np.finfo(np.float64).eps)
"""Lower limit of probabilities in :func:`log_loss`, as in scikit-learn: one certain mistake must not cost infinity."""


def brier(grades: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
    """Computes the Brier score: the mean over photographs of the squared errors of all five probabilities.

    It is from 0 to 2. For two classes, this definition gives twice the value of another common definition.

    Source: G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.

    Args:
        grades: Grades (N,), int.
        probabilities: Probabilities (N, 5) of the same photographs.

    Raises:
        Undefined: There are no photographs.
    """
    return _mean(brier_terms(grades, probabilities))


def brier_terms(grades: NDArray[Any], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the squared errors (N,) whose mean is :func:`brier`."""
    terms: NDArray[np.float64] = ((probabilities - np.eye(N_GRADES)[grades]) ** 2).sum(axis=1)
    return terms


def log_loss(grades: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
    """Computes the mean of -ln of the probability of the right grade.

    Probabilities below :data:`SMALLEST_PROBABILITY` count as this number, so no photograph costs more than 36.04.
    Arguments: as :func:`brier`.

    Raises:
        Undefined: There are no photographs.
    """
    return _mean(log_loss_terms(grades, probabilities))


def log_loss_terms(grades: NDArray[Any], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the losses (N,) whose mean is :func:`log_loss`."""
    right = probabilities[np.arange(len(grades)), grades]
    terms: NDArray[np.float64] = -np.log(right.clip(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))
    return terms


def expected_calibration_error(grades: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
    """Computes the mean distance between confidence and accuracy, over :data:`CALIBRATION_BINS` bins of confidence.

    The confidence is the largest probability. The bins are equally wide, without their lower and with their upper edge,
    and weighted by their photographs. Arguments: as :func:`brier`.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017.

    Returns:
        From 0 to 1. With few photographs it is above 0 even if the probabilities are right.

    Raises:
        Undefined: There are no photographs.
    """
    excess, bins = calibration_terms(grades, probabilities)
    if not len(grades):
        raise Undefined(NO_PHOTOGRAPHS)
    return float(np.abs(np.bincount(bins, excess, CALIBRATION_BINS)).sum() / len(grades))


def calibration_terms(
    grades: NDArray[Any], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns the excess confidence of each photograph (N,) and its bin (N,), the terms of calibration errors.

    The excess confidence is the largest probability, less 1 if the predicted grade is right.
    """
    confidence = probabilities.max(axis=1)
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]
    return confidence - (probabilities.argmax(axis=1) == grades), np.searchsorted(edges, confidence)


def _mean(terms: NDArray[np.float64]) -> float:
    if not len(terms):
        raise Undefined(NO_PHOTOGRAPHS)
    return float(terms.mean())
