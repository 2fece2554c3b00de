"""Cross-validation of what is fitted on predictions: what it is worth on photographs that it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from sklearn.model_selection import GroupKFold

from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.predictions import Graded

FOLDS: Final = 5


def out_of_fold(graded: Graded, fit_and_apply: Callable[[Graded, np.ndarray], np.ndarray]) -> np.ndarray:
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
    patients = len(np.unique(graded.patients))
    if patients < 2:
        raise Undefined("all photographs are of one patient, so that none is left to measure on")
    rows, results = [], []
    for seen, unseen in GroupKFold(min(FOLDS, patients)).split(graded.grades, groups=graded.patients):
        part = Graded(graded.image_ids[seen], graded.grades[seen], graded.probabilities[seen], graded.patients[seen])
        rows.append(unseen)
        results.append(fit_and_apply(part, graded.probabilities[unseen]))
    ordered: np.ndarray = np.concatenate(results)[np.argsort(np.concatenate(rows))]
    return ordered
