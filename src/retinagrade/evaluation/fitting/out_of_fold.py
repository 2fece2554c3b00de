"""Cross-validation of what is fitted on predictions: what it is worth on photographs that it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from sklearn.model_selection import GroupKFold

from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.predictions import GradedPredictions

FOLDS: Final = 5


def out_of_fold(
    graded: GradedPredictions, fit_and_apply: Callable[[GradedPredictions, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Results of each fifth of the photographs by what was fitted on the other four.

    All photographs of a patient are in the same fifth. There are fewer parts where there are fewer patients.

    Args:
        graded: Photographs.
        fit_and_apply: Fits on its first argument, and gives the results (M, …) of the probabilities (M, 5).

    Returns:
        Results (N, …), in the order of the photographs.

    Raises:
        Undefined: All photographs are of one patient; or whatever ``fit_and_apply`` raises.
    """
    rows, results = [], []
    for seen, unseen in fold_parts(graded.patients):
        rows.append(unseen)
        results.append(fit_and_apply(graded.rows(seen), graded.probabilities[unseen]))
    ordered: np.ndarray = np.concatenate(results)[np.argsort(np.concatenate(rows))]
    return ordered


def fold_parts(patients: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divides photographs into fifths; all photographs of a patient are in the same one.

    Args:
        patients: Whose photograph it is (N,), int64.

    Returns:
        Of each fifth, the rows of all others and its own. There are fewer parts where there are fewer patients.

    Raises:
        Undefined: All photographs are of one patient.

    Example:
        >>> [own.tolist() for _, own in parts(np.array([0, 0, 1]))]
        [[0, 1], [2]]
    """
    count = len(np.unique(patients))
    if count < 2:
        raise Undefined("all photographs are of one patient, so that none is left to measure on")
    return list(GroupKFold(min(FOLDS, count)).split(patients, groups=patients))
