"""Averages of the members' probabilities, and the weights of the members."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from retinagrade.ensembles.scores import MemberScores
from retinagrade.evaluation.fitting.probability_calibration import PROBABILITY_FLOOR
from retinagrade.evaluation.metrics import confusion_matrix, log_loss, quadratic_weighted_kappa

AVERAGE_DIGITS: Final = 12
"""Digits of an average. The last bits of a sum depend on the order of the members, and must not decide between two
grades that are equally probable."""
SMALLEST_STEP: Final = 1 / 64
"""Smallest change of a weight in the search: a finer one changes the grades of few photographs, by their noise."""


def weighted_mean(probabilities: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Computes the weighted arithmetic mean.

    Args:
        probabilities: Scores (N, M, 5) of M members.
        weights: Weights of the members (M,), not negative, of sum 1.

    Returns:
        Probabilities (N, 5) of sum 1.

    Example:
        >>> weighted_mean(np.array([[[1, 0, 0, 0, 0], [0, 0.5, 0.5, 0, 0]]]), np.array([0.25, 0.75]))
        array([[0.25 , 0.375, 0.375, 0.   , 0.   ]])
    """
    return _rounded(np.einsum("nmk,m->nk", probabilities, weights))


def geometric_mean(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Computes the geometric mean, divided by its sum: a grade that one member rules out becomes very improbable.

    Args:
        probabilities: Scores (N, M, 5) of M members; a probability of 0 counts as
            :data:`~retinagrade.evaluation.fitting.probability_calibration.PROBABILITY_FLOOR`.

    Returns:
        Probabilities (N, 5) of sum 1.

    Example:
        >>> geometric_mean(np.array([[[0.8, 0.2, 0, 0, 0], [0.2, 0.8, 0, 0, 0]]])).round(6)
        array([[0.5, 0.5, 0. , 0. , 0. ]])
    """
    logs = np.log(np.maximum(probabilities, PROBABILITY_FLOOR)).mean(axis=1)
    return _rounded(softmax(logs, axis=1))


def accuracies(scores: MemberScores) -> NDArray[np.float64]:
    """Computes the share of photographs with the right grade by each member (M,)."""
    right: NDArray[np.float64] = (scores.probabilities.argmax(axis=2) == scores.grades[:, None]).mean(axis=0)
    return right


def accuracy_weights(scores: MemberScores) -> NDArray[np.float64]:
    """Computes weights in proportion to accuracy: w_m = acc_m / Σ acc, as in the report.

    Args:
        scores: Validation photographs, at least one.

    Returns:
        Weights (M,) of sum 1; equal weights if no member has any right grade.
    """
    return _shares(accuracies(scores))


def recall_weights(scores: MemberScores, class_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Computes weights in proportion to recalls, with more weight on rare grades: w_m = Σ_i c_i · recall_{m,i}.

    Args:
        scores: Validation photographs, at least one. A grade that none of them has is left out.
        class_weights: Weights of the recalls of each grade (5,): as in the report, N / (5 n_i) of the training
            photographs (:func:`~retinagrade.datasets.balance.inverse_frequency_weights`).

    Returns:
        Weights (M,) of sum 1; equal weights if no member has any right grade.
    """
    members = scores.probabilities.shape[1]
    weights = np.zeros(members)
    for grade in np.unique(scores.grades):
        weights += class_weights[grade] * accuracies(scores.rows(scores.grades == grade))
    return _shares(weights)


def kappa_weights(scores: MemberScores) -> NDArray[np.float64]:
    """Searches for the weights whose mean has the highest quadratic weighted kappa.

    Kappa has no gradient: it jumps whenever a photograph changes its grade. The pattern search of Hooke and Jeeves
    starts from equal weights, and from each member alone. It moves each weight up and down by a half, then by a
    quarter, down to :data:`SMALLEST_STEP`, as long as kappa rises. Among weights with the same kappa, it prefers those
    nearest to equal weights, and then those with the lower log loss.

    Source: R. Hooke, T. A. Jeeves, "Direct search solution of numerical and statistical problems", Journal of the ACM
    8(2), 1961.

    Args:
        scores: Validation photographs.

    Returns:
        Weights (M,), not negative, of sum 1; equal weights if all photographs have one grade.
    """
    members = scores.probabilities.shape[1]
    equal = np.full(members, 1 / members)
    if len(np.unique(scores.grades)) < 2:
        return equal

    def rank(weights: NDArray[np.float64]) -> tuple[float, ...]:
        mean = weighted_mean(scores.probabilities, weights)
        kappa = quadratic_weighted_kappa(confusion_matrix(scores.grades, mean.argmax(axis=1)))
        distance = float(((weights - equal) ** 2).sum())
        loss = log_loss(scores.grades, mean)
        return round(kappa, AVERAGE_DIGITS), -round(distance, AVERAGE_DIGITS), -round(loss, AVERAGE_DIGITS)

    optima = [_climb(start, rank) for start in (equal, *np.eye(members))]
    return max(optima, key=rank)


def _climb(
    weights: NDArray[np.float64], rank: Callable[[NDArray[np.float64]], tuple[float, ...]]
) -> NDArray[np.float64]:
    """Returns weights from which no step raises kappa, the first part of their rank."""
    step, best = 0.5, rank(weights)
    while step >= SMALLEST_STEP:
        neighbours = [(rank(moved), moved) for moved in _neighbours(weights, step)]
        value, moved = max(neighbours, key=lambda neighbour: neighbour[0])
        if value[0] > best[0]:
            weights, best = moved, value
        else:
            step /= 2
    return weights


def _neighbours(weights: NDArray[np.float64], step: float) -> Iterator[NDArray[np.float64]]:
    """Yields weights of sum 1 with each weight moved up, and down as far as 0."""
    for member in np.eye(len(weights)):
        for change in (step, -step):
            moved = np.maximum(weights + change * member, 0)
            if moved.any():
                yield moved / moved.sum()


def _rounded(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    rounded = np.round(mean, AVERAGE_DIGITS)
    divided: NDArray[np.float64] = rounded / rounded.sum(axis=1, keepdims=True)
    return divided


def _shares(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    if not weights.any():
        return np.full(len(weights), 1 / len(weights))
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares
