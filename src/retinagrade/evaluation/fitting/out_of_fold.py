"""Cross-validation on predictions: applies a fit to photographs of patients that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from retinagrade.evaluation.metrics import Undefined

FITTING_FOLDS: Final = 5
"""Number of parts that the photographs are divided into."""


class PatientProbabilities(Protocol):
    """Probabilities of photographs, and the patients of these photographs."""

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Probabilities (N, …)."""
        ...

    @property
    def patients(self) -> NDArray[np.int64]:
        """The patient of each photograph (N,)."""
        ...

    def rows(self, selection: NDArray[Any]) -> Self:
        """Returns the selected photographs, by a mask (N,) or by indices (M,)."""
        ...


Photographs = TypeVar("Photographs", bound=PatientProbabilities)


def out_of_fold(
    photographs: Photographs,
    fit_and_apply: Callable[[Photographs, NDArray[np.float64]], NDArray[Any]],
) -> NDArray[Any]:
    """Computes results for each fifth of the photographs with a fit on the other four fifths.

    All photographs of a patient are in the same fifth. There are fewer parts if there are fewer patients.

    Args:
        photographs: Photographs with their patients and probabilities.
        fit_and_apply: Fits on its first argument, and returns results (M, …) for the probabilities (M, …) in its
            second argument.

    Returns:
        Results (N, …), in the order of the photographs.

    Raises:
        Undefined: All photographs are of one patient; or ``fit_and_apply`` raises it.
    """
    rows, results = [], []
    for others, own in patient_folds(photographs.patients):
        rows.append(own)
        results.append(fit_and_apply(photographs.rows(others), photographs.probabilities[own]))
    ordered: NDArray[Any] = np.concatenate(results)[np.argsort(np.concatenate(rows))]
    return ordered


def patient_folds(
    patients: NDArray[np.int64], seed: int | None = None
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Divides photographs into fifths; all photographs of a patient are in the same fifth.

    Args:
        patients: The patient of each photograph (N,).
        seed: Seed of the division; ``None`` for the one division that needs no luck.

    Returns:
        For each fifth, the row numbers of the other fifths and its own row numbers. There are fewer parts if there are
        fewer patients.

    Raises:
        Undefined: All photographs are of one patient.

    Example:
        >>> [own.tolist() for _, own in patient_folds(np.array([0, 0, 1]))]
        [[0, 1], [2]]
    """
    count = len(np.unique(patients))
    if count < 2:
        raise Undefined("all photographs are of one patient, so no photographs remain to measure on")
    folds = GroupKFold(min(FITTING_FOLDS, count), shuffle=seed is not None, random_state=seed)
    return list(folds.split(patients, groups=patients))
