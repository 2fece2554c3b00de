"""Averages of the members' probabilities, and the weights that members count by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from scipy.special import softmax

from retinagrade.ensembles.scores import MemberScores
from retinagrade.evaluation.fitting.probability_calibration import PROBABILITY_FLOOR
from retinagrade.evaluation.metrics import confusion_matrix, log_loss, quadratic_weighted_kappa

DIGITS: Final = 12
"""Digits of an average. The last bits of a sum depend on the order of the members, and must not choose between two
grades that are equally probable."""
SMALLEST_STEP: Final = 1 / 64
"""How finely weights are sought: a finer change moves the grades of few photographs, by their noise."""


def weighted_mean(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted arithmetic mean.

    Args:
        probabilities: Scores (N, M, 5) of M members.
        weights: Their weights (M,), not negative, of sum 1.

    Returns:
        Probabilities (N, 5), float64, of sum 1.

    Example:
        >>> weighted_mean(np.array([[[1, 0, 0, 0, 0], [0, 0.5, 0.5, 0, 0]]]), np.array([0.25, 0.75]))
        array([[0.25 , 0.375, 0.375, 0.   , 0.   ]])
    """
    return _rounded(np.einsum("nmk,m->nk", probabilities, weights))


def geometric_mean(probabilities: np.ndarray) -> np.ndarray:
    """The geometric mean, divided by its sum: a grade that one member rules out is all but ruled out.

    Args:
        probabilities: Scores (N, M, 5) of M members; a probability of 0 counts as
            :data:`~retinagrade.evaluation.fitting.probability_calibration.PROBABILITY_FLOOR`.

    Returns:
        Probabilities (N, 5), float64, of sum 1.

    Example:
        >>> geometric_mean(np.array([[[0.8, 0.2, 0, 0, 0], [0.2, 0.8, 0, 0, 0]]])).round(6)
        array([[0.5, 0.5, 0. , 0. , 0. ]])
    """
    logs = np.log(np.maximum(probabilities, PROBABILITY_FLOOR)).mean(axis=1)
    return _rounded(softmax(logs, axis=1))


def accuracies(scores: MemberScores) -> np.ndarray:
    """The share of photographs to which each member gives the right grade (M,)."""
    right: np.ndarray = (scores.probabilities.argmax(axis=2) == scores.grades[:, None]).mean(axis=0)
    return right


def accuracy_weights(scores: MemberScores) -> np.ndarray:
    """Weights in proportion to accuracy: w_m = acc_m / Σ acc (the report's).

    Args:
        scores: Validation photographs, at least one.

    Returns:
        Weights (M,) of sum 1; equal ones where no member gives any right grade.
    """
    return _shares(accuracies(scores))


def recall_weights(scores: MemberScores, class_weights: np.ndarray) -> np.ndarray:
    """Weights in proportion to recalls, in which rare grades count for more: w_m = Σ_i c_i · recall_{m,i}.

    Args:
        scores: Validation photographs, at least one. A grade that none of them has counts for nothing.
        class_weights: What the recall of each grade counts for (5,): the report's N / (5 n_i) of the training
            photographs, as :func:`~retinagrade.datasets.balance.inverse_frequency_weights` gives them.

    Returns:
        Weights (M,) of sum 1; equal ones where no member gives any right grade.
    """
    members = scores.probabilities.shape[1]
    weights = np.zeros(members)
    for grade in np.unique(scores.grades):
        weights += class_weights[grade] * accuracies(scores.rows(scores.grades == grade))
    return _shares(weights)


def kappa_weights(scores: MemberScores) -> np.ndarray:
    """Weights whose mean has the highest quadratic weighted kappa that a search finds.

    Kappa moves in steps, one whenever a photograph changes its grade, so there is no gradient. The search is Hooke's
    and Jeeves's: from equal weights, and from each member alone, every weight is moved up and down by half of all, then
    a quarter, down to :data:`SMALLEST_STEP`, as long as kappa rises. Of weights with one kappa those nearest to equal
    ones are taken, and then those of the lower log loss: what the photographs don't ask for is not done.

    Source: R. Hooke, T. A. Jeeves, "Direct search solution of numerical and statistical problems", Journal of the ACM
    8(2), 1961.

    Args:
        scores: Validation photographs.

    Returns:
        Weights (M,), not negative, of sum 1; equal ones where all photographs have one grade.
    """
    members = scores.probabilities.shape[1]
    equal = np.full(members, 1 / members)
    if len(np.unique(scores.grades)) < 2:
        return equal

    def worth(weights: np.ndarray) -> tuple[float, ...]:
        mean = weighted_mean(scores.probabilities, weights)
        kappa = quadratic_weighted_kappa(confusion_matrix(scores.grades, mean.argmax(axis=1)))
        distance = float(((weights - equal) ** 2).sum())
        return round(kappa, DIGITS), -round(distance, DIGITS), -round(log_loss(scores.grades, mean), DIGITS)

    found = [_climbed(start, worth) for start in (equal, *np.eye(members))]
    return max(found, key=worth)


def _climbed(weights: np.ndarray, worth: Callable[[np.ndarray], tuple[float, ...]]) -> np.ndarray:
    """The weights at which no step is worth more in the first place."""
    step, best = 0.5, worth(weights)
    while step >= SMALLEST_STEP:
        tried = [(worth(moved), moved) for moved in _moved(weights, step)]
        value, moved = max(tried, key=lambda one: one[0])
        if value[0] > best[0]:
            weights, best = moved, value
        else:
            step /= 2
    return weights


def _moved(weights: np.ndarray, step: float) -> Iterator[np.ndarray]:
    """Weights of sum 1 with each one moved up, and down as far as 0."""
    for member in np.eye(len(weights)):
        for change in (step, -step):
            moved = np.maximum(weights + change * member, 0)
            if moved.any():
                yield moved / moved.sum()


def _rounded(mean: np.ndarray) -> np.ndarray:
    rounded = np.round(mean, DIGITS)
    divided: np.ndarray = rounded / rounded.sum(axis=1, keepdims=True)
    return divided


def _shares(weights: np.ndarray) -> np.ndarray:
    if not weights.any():
        return np.full(len(weights), 1 / len(weights))
    shares: np.ndarray = weights / weights.sum()
    return shares
