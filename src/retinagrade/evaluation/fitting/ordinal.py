"""Fitting of ordinal models on plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from retinagrade.evaluation.metrics import Undefined
from retinagrade.lesion_maps.grade_model import OrdinalModel

STRENGTHS: Final = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Values of scikit-learn's ``C`` to choose from; a small one keeps weights small."""
_MAX_ITERATIONS: Final = 5000
_FLOOR: Final = 1e-6
"""Lower limit of probabilities in the log loss."""


def choose_strengths(
    numbers: NDArray[np.float64],
    levels: NDArray[np.int64],
    highest: int,
    groups: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
) -> tuple[float, ...]:
    """Chooses the strength of each level by cross-validation: the one with the lowest log loss on groups left out.

    Args:
        numbers: Numbers (N, F).
        levels: The right level (N,), 0 to ``highest``.
        highest: The highest level.
        groups: Number (N,) of the group of each row. Rows of one photograph, or of copies, belong to one group.
        weights: Weight (N,) of each row; ``None`` for equal ones.

    Returns:
        One of :data:`STRENGTHS` for each level from 1 on. A group counts only where the other groups have rows on both
        sides of a level; where no group counts, the smallest strength holds.

    Example:
        >>> numbers, groups = np.random.default_rng(0).normal(size=(60, 20)), np.arange(60) // 12
        >>> choose_strengths(numbers, (numbers[:, 0] > 0).astype(int), 1, groups)  # the first number decides
        (1.0,)
        >>> choose_strengths(numbers, np.arange(60) % 2, 1, groups)  # no number helps
        (0.01,)
    """
    weights = np.ones(len(levels)) if weights is None else weights
    losses = np.zeros((highest, len(STRENGTHS)))
    for group in np.unique(groups):
        rest = groups != group
        if not rest.any():
            continue
        means, deviations = _moments(numbers[rest])
        standard = (numbers - means) / deviations
        for level in range(1, highest + 1):
            reached = levels >= level
            if len(np.unique(reached[rest])) < 2:
                continue
            for place, strength in enumerate(STRENGTHS):
                fitted = _fit_level(standard[rest], reached[rest], strength, weights[rest])
                probability = np.clip(fitted.predict_proba(standard[~rest])[:, 1], _FLOOR, 1 - _FLOOR)
                of_level = np.where(reached[~rest], probability, 1 - probability)
                losses[level - 1, place] -= weights[~rest] @ np.log(of_level)
    return tuple(STRENGTHS[int(place)] for place in losses.argmin(axis=1))


def fit_ordinal(
    names: Sequence[str],
    numbers: NDArray[np.float64],
    levels: NDArray[np.int64],
    highest: int,
    strengths: Sequence[float],
    weights: NDArray[np.float64] | None = None,
) -> OrdinalModel:
    """Fits logistic models of each level on standardised numbers.

    Args:
        names: Names of the numbers (F,).
        numbers: Numbers (N, F).
        levels: The right level (N,), 0 to ``highest``.
        highest: The highest level.
        strengths: For each level from 1 on, the inverse of the strength of regularisation, scikit-learn's ``C``.
        weights: Weight (N,) of each row; ``None`` for equal ones.

    Returns:
        The model.

    Raises:
        Undefined: All photographs lie on one side of a level.

    Example:
        >>> numbers = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> model = fit_ordinal(["size"], numbers, np.array([0, 0, 1, 1]), 1, [1.0])
        >>> model.probabilities(numbers)[:, 1].round(2).tolist()
        [0.22, 0.4, 0.6, 0.78]
    """
    means, deviations = _moments(numbers)
    standard = (numbers - means) / deviations
    rows, biases = [], []
    for level, strength in zip(range(1, highest + 1), strengths, strict=True):
        reached = levels >= level
        if reached.all() or not reached.any():
            raise Undefined(f"no photograph lies {'below' if reached.all() else 'at or above'} level {level}")
        fitted = _fit_level(standard, reached, strength, weights)
        rows.append(tuple(fitted.coef_[0].tolist()))
        biases.append(float(fitted.intercept_[0]))
    return OrdinalModel(
        names=tuple(names),
        means=tuple(means.tolist()),
        deviations=tuple(deviations.tolist()),
        weights=tuple(rows),
        biases=tuple(biases),
    )


def _moments(numbers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns means (F,) and standard deviations (F,), 1 for a number that is always the same."""
    deviations = numbers.std(axis=0)
    return numbers.mean(axis=0), np.where(deviations == 0, 1.0, deviations)


def _fit_level(
    standard: NDArray[np.float64], reached: NDArray[np.bool_], strength: float, weights: NDArray[np.float64] | None
) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=_MAX_ITERATIONS).fit(standard, reached, weights)
