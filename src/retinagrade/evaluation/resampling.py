"""Metrics of bootstrap resamples of patients.

A resample draws as many patients as there are, with replacement, and takes all photographs of a patient as often as it
draws the patient: the two eyes of a patient are alike, and a resample of photographs would make intervals too narrow.
Resample *i* depends on the seed, *i* and the number of patients alone, so all metrics, and two networks on the same
photographs, use the same resamples.

No photograph is ever repeated in memory. A resample is a weight for every patient. Sums over photographs (cells of the
confusion matrix, calibration bins, losses) are a sparse matrix of sums by patient times these weights, and areas under
curves need each score sorted only once.

Source: C. A. Field, A. H. Welsh, "Bootstrapping clustered data", Journal of the Royal Statistical Society B 69(3),
2007.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from retinagrade.evaluation import metrics
from retinagrade.evaluation.metrics import CALIBRATION_BINS
from retinagrade.evaluation.named_metrics import MATRIX_METRICS, METRIC_NAMES, TASKS
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.grades import N_GRADES, Grade

RESAMPLES: Final = 2_000
"""Default number of resamples."""
Weights = NDArray[np.float64]
Terms = tuple[NDArray[np.int64], NDArray[np.float64], int]
_GRADE_AREAS: Final = tuple(f"grade_{grade.value}_auc" for grade in Grade)


def patient_weights(patients: int, resample: int, seed: int = 0) -> Weights:
    """Counts how often a resample draws each patient.

    Args:
        patients: Number of patients, P.
        resample: Number of the resample, from 0.
        seed: Seed of the resamples.

    Returns:
        Whole numbers (P,) that sum to P.

    Example:
        >>> patient_weights(4, resample=0)
        array([0., 1., 2., 1.])
    """
    drawn = np.random.default_rng([seed, resample]).integers(0, patients, patients, dtype=np.int32)
    return np.bincount(drawn, minlength=patients).astype(np.float64)


def resampled_metrics(
    predictions: GradedPredictions, names: Collection[str] = METRIC_NAMES, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Computes metrics of resamples of patients.

    Each resample has the values that :func:`~retinagrade.evaluation.named_metrics.compute_metrics` would give for it.

    Args:
        predictions: The graded photographs.
        names: Some of :data:`~retinagrade.evaluation.named_metrics.METRIC_NAMES`.
        resamples: Number of resamples, R.
        seed: Seed of the resamples.

    Returns:
        Values (R,) by name; NaN where undefined.
    """
    grades, probabilities = predictions.grades, predictions.probabilities
    patients, count = number_patients(predictions.patients)
    excess, bins = metrics.calibration_terms(grades, probabilities)
    row_0 = np.zeros(len(grades), dtype=np.int64)
    sums = sums_by_patient(
        patients,
        count,
        [
            (grades * N_GRADES + predictions.predicted, np.ones(len(grades)), N_GRADES**2),
            (bins, excess, CALIBRATION_BINS),
            (row_0, metrics.brier_terms(grades, probabilities), 1),
            (row_0, metrics.log_loss_terms(grades, probabilities), 1),
        ],
    )
    areas = _area_functions(predictions, patients, names)
    resampled = over_resamples(
        lambda weights: np.append(sums @ weights, [area(weights) for area in areas.values()]), count, resamples, seed
    )
    ends = np.cumsum([N_GRADES**2, CALIBRATION_BINS, 1, 1])
    cells, gaps, squares, losses, area_values = np.split(resampled, ends, axis=1)
    matrices = cells.reshape(-1, N_GRADES, N_GRADES)
    by_area = dict(zip(areas, area_values.T, strict=True))
    totals = {
        "brier": squares[:, 0],
        "log_loss": losses[:, 0],
        "expected_calibration_error": np.abs(gaps).sum(axis=1),
    }
    with np.errstate(invalid="ignore"):  # there may be no photographs
        values = by_area | {name: total / cells.sum(axis=1) for name, total in totals.items()}
    if "macro_auc" in names:
        values["macro_auc"] = _mean_of_defined(np.array([by_area[area] for area in _GRADE_AREAS]))
    return {
        name: MATRIX_METRICS[name].stacked(matrices) if name in MATRIX_METRICS else values[name]
        for name in METRIC_NAMES
        if name in names
    }


def resampled_auc_within(
    truths: NDArray[np.bool_],
    scores: NDArray[np.float64],
    patients: NDArray[np.int64],
    parts: NDArray[np.int64],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, NDArray[np.float64]]:
    """Computes the area under the ROC curve from pairs of photographs of one part only.

    Args:
        truths: True for photographs with the disease (N,).
        scores: Scores (N,); those of different parts need not be comparable.
        patients: The patient of each photograph (N,).
        parts: The part of each photograph (N,), such as its fold.
        resamples: Number of resamples, R.
        seed: Seed of the resamples.

    Returns:
        The area, NaN where there is no pair, and the areas (R,) of the resamples.
    """
    numbers, count = number_patients(patients)
    rankings = [_Ranking(truths[part], scores[part], numbers[part]) for part in (parts == each for each in set(parts))]

    def area(weights: Weights) -> NDArray[np.float64]:
        right, total = np.sum([ranking.pairs(weights) for ranking in rankings], axis=0)
        return np.array([right / total if total else np.nan])

    return float(area(np.ones(count))[0]), over_resamples(area, count, resamples, seed)[:, 0]


def number_patients(patients: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Numbers patients (N,) from 0 without gaps, as a subgroup needs it, and counts them."""
    names, numbers = np.unique(patients, return_inverse=True)
    return numbers, len(names)


def sums_by_patient(patients: NDArray[np.int64], count: int, terms: list[Terms]) -> csr_array:
    """Sums terms of photographs by patient.

    Args:
        patients: The patient of each photograph (N,), from 0 to ``count`` - 1.
        count: Number of patients, P.
        terms: Blocks of terms: the row (N,) and the value (N,) of each photograph, and the number of rows of the block.

    Returns:
        Sums (S, P), the blocks one below the other; times weights (P,), they are the sums of a resample.
    """
    starts = np.cumsum([0, *(height for _, _, height in terms)])
    rows = np.concatenate([start + row for start, (row, _, _) in zip(starts, terms, strict=False)])
    values = np.concatenate([value for _, value, _ in terms])
    return csr_array((values, (rows, np.tile(patients, len(terms)))), shape=(int(starts[-1]), count))


def over_resamples(
    statistics: Callable[[Weights], NDArray[np.float64]], patients: int, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Computes statistics (R, S) from the weights of the patients in each resample."""
    # NumPy's threads double the processor time of these small products, without saving any time.
    with threadpool_limits(1):
        return np.array([statistics(patient_weights(patients, resample, seed)) for resample in range(resamples)])


class _Ranking:
    """Photographs that are sorted by a score once, for areas under curves with any weights of their patients."""

    def __init__(self, truths: NDArray[np.bool_], scores: NDArray[np.float64], patients: NDArray[np.int64]) -> None:
        order = np.argsort(-scores, kind="stable")
        positives, negatives = order[truths[order]], order[~truths[order]]
        self._positives, self._negatives = patients[positives], patients[negatives]
        descending = -scores[positives]
        negative_scores = -scores[negatives]
        # For each negative: the number of positives above it, and the number of positives above it or equal to it.
        self._above = np.searchsorted(descending, negative_scores, "left")
        self._through = np.searchsorted(descending, negative_scores, "right")
        self._ties = bool((self._above < self._through).any())
        self._down_to = np.searchsorted(descending, descending, "right")

    def auc(self, weights: Weights) -> float:
        """Returns the share of pairs of a positive and a negative in the right order; equal scores count half."""
        right, total = self.pairs(weights)
        return right / total if total else np.nan

    def pairs(self, weights: Weights) -> tuple[float, float]:
        """Returns the number of pairs in the right order, and the number of pairs."""
        positives, negatives = weights.take(self._positives), weights.take(self._negatives)
        cumulative = np.concatenate([[0.0], positives.cumsum()])
        before = cumulative.take(self._above)
        if self._ties:
            before = (before + cumulative.take(self._through)) / 2
        return float(negatives @ before), float(positives.sum() * negatives.sum())

    def average_precision(self, weights: Weights) -> float:
        """Returns the mean over the positives of the precision at their score; NaN, like the AUC, without negatives."""
        positives, negatives = weights.take(self._positives), weights.take(self._negatives)
        if not positives.any() or not negatives.any():
            return np.nan
        true_positives = positives.cumsum().take(self._down_to - 1)
        false_positives = np.bincount(self._above, negatives, len(positives) + 1)[:-1].cumsum()
        # The positives at the top may have no weight; they then add nothing either.
        precisions = true_positives / np.maximum(true_positives + false_positives, 1)
        return float(positives @ precisions / positives.sum())


def _area_functions(
    predictions: GradedPredictions, patients: NDArray[np.int64], names: Collection[str]
) -> dict[str, Callable[[Weights], float]]:
    """Returns the areas under curves among the named metrics, as functions of the patients' weights."""
    grades, probabilities = predictions.grades, predictions.probabilities
    areas: dict[str, Callable[[Weights], float]] = {}
    if "macro_auc" in names:
        for name, grade in zip(_GRADE_AREAS, Grade, strict=True):
            areas[name] = _Ranking(grades == grade, probabilities[:, grade], patients).auc
    for task, grade in TASKS.items():
        ranking = _Ranking(grades >= grade, metrics.probability_from_grade(probabilities, grade), patients)
        of_task = {f"{task}_auc": ranking.auc, f"{task}_average_precision": ranking.average_precision}
        areas.update({name: area for name, area in of_task.items() if name in names})
    return areas


def _mean_of_defined(values: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the mean over the first axis (K, R) of the values that are not NaN; NaN where there are none."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0))
