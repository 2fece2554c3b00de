"""Fitting of ordinal models on plain numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from retinagrade.evaluation.metrics import Undefined
from retinagrade.lesion_maps.grade_model import OrdinalModel

_MAX_ITERATIONS = 5000


def fit_ordinal(
    names: Sequence[str],
    numbers: NDArray[np.float64],
    levels: NDArray[np.int64],
    highest: int,
    strength: float,
    weights: NDArray[np.float64] | None = None,
) -> OrdinalModel:
    """Fits logistic models of each level on standardised numbers.

    Args:
        names: Names of the numbers (F,).
        numbers: Numbers (N, F).
        levels: The right level (N,), 0 to ``highest``.
        highest: The highest level.
        strength: Inverse of the strength of regularisation, scikit-learn's ``C``.
        weights: Weight (N,) of each row; ``None`` for equal ones.

    Returns:
        The model.

    Raises:
        Undefined: All photographs lie on one side of a level.

    Example:
        >>> numbers = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> model = fit_ordinal(["size"], numbers, np.array([0, 0, 1, 1]), 1, 1.0)
        >>> model.probabilities(numbers)[:, 1].round(2).tolist()
        [0.22, 0.4, 0.6, 0.78]
    """
    means, deviations = numbers.mean(axis=0), numbers.std(axis=0)
    deviations[deviations == 0] = 1
    standard = (numbers - means) / deviations
    rows, biases = [], []
    for level in range(1, highest + 1):
        reached = levels >= level
        if reached.all() or not reached.any():
            raise Undefined(f"no photograph lies {'below' if reached.all() else 'at or above'} level {level}")
        fitted = LogisticRegression(C=strength, max_iter=_MAX_ITERATIONS).fit(standard, reached, weights)
        rows.append(tuple(fitted.coef_[0].tolist()))
        biases.append(float(fitted.intercept_[0]))
    return OrdinalModel(
        names=tuple(names),
        means=tuple(means.tolist()),
        deviations=tuple(deviations.tolist()),
        weights=tuple(rows),
        biases=tuple(biases),
    )
