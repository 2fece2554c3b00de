"""Intervals by the bootstrap: how far figures would move with other patients of the same kind.

A resample draws as many patients as there are, with replacement, and takes all photographs of each as often as it was
drawn: eyes of one patient are alike, and resampling photographs would make intervals too narrow. Resample *i* of a seed
depends on nothing but the seed, *i* and the number of patients, so all figures, and two networks on the same
photographs, can be seen on the same resamples.

No photograph is ever repeated in memory. A resample is a weight for every patient; sums over photographs (cells of the
confusion matrix, bins, losses) are one sparse matrix of sums by patient times the weights, and areas under curves need
each score sorted only once.

Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993 (percentile intervals); C. A. Field,
A. H. Welsh, "Bootstrapping clustered data", Journal of the Royal Statistical Society B 69(3), 2007.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import beta
from threadpoolctl import threadpool_limits

from retinagrade.evaluation import metrics
from retinagrade.evaluation.metrics import CALIBRATION_BINS, Undefined
from retinagrade.evaluation.named_metrics import DECISION_METRICS, MATRIX_METRICS, METRIC_NAMES, TASKS, compute_metrics
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.grades import N_GRADES, Grade

RESAMPLES: Final = 2_000
LEVEL: Final = 0.95
UNDEFINED_ALLOWED: Final = 0.05
"""Share of resamples in which a figure may be undefined; beyond, an interval would be one of the lucky resamples."""
EXACT_BELOW: Final = 5
"""Photographs on the smaller side of a share below which its interval is exact: the bootstrap can't draw more mistakes
than it was given, and of none it makes a certainty."""
REFERENCE_METRICS: Final = ("majority_baseline", "chance_accuracy")
"""What figures are seen beside; no figures of the predictions, and without intervals."""
_TAILS: Final = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


@dataclass(frozen=True)
class Interval:
    """A 95 % interval.

    Attributes:
        low: Its lower end.
        high: Its upper end.
        undefined: Share of the resamples in which the figure is undefined; they are left out.
        method: ``bootstrap`` (percentiles), or ``exact`` (Clopper and Pearson's of a share, counting patients).
    """

    low: float
    high: float
    undefined: float = 0.0
    method: Literal["bootstrap", "exact"] = "bootstrap"


@dataclass(frozen=True)
class Intervals:
    """Intervals by the names of their figures.

    Attributes:
        values: ``None`` where there is none.
        undefined: Why, by the names of those.
    """

    values: dict[str, Interval | None]
    undefined: dict[str, str]


def metric_intervals(
    photographs: GradedPredictions, names: Collection[str] = METRIC_NAMES, *, resamples: int = RESAMPLES, seed: int = 0
) -> Intervals:
    """95 % intervals of the figures of graded photographs.

    They are percentiles of the figure over resamples of patients. A share (accuracy, sensitivity, the recall of a
    grade, …) with fewer than :data:`EXACT_BELOW` photographs on its smaller side gets Clopper and Pearson's exact interval
    instead, with its patients for a sample size: as if eyes of one patient were always judged alike, so rather too wide
    than too narrow. All of 30 patients found is 88 to 100 %, not 100 to 100 %. A resample has fewer different
    photographs and therefore a larger calibration error, so that interval lies high, and may lie above the figure.

    Source of the exact one: C. J. Clopper, E. S. Pearson, Biometrika 26(4), 1934.

    Args:
        photographs: The graded photographs; for a subgroup, those of the subgroup.
        names: Which of :data:`~retinagrade.evaluation.named_metrics.METRIC_NAMES`; the fewer, the faster.
        resamples: How many; 0 for no intervals.
        seed: Of the resamples.

    Returns:
        No interval, with the reason, for a figure that is undefined, or is in more than :data:`UNDEFINED_ALLOWED` of
        the resamples, for one that is the same in all (as QWK is where every grade is right), and for fewer than two
        patients.
    """
    if not resamples:
        return _none(names)
    found = compute_metrics(photographs)
    shares = _shares(photographs)
    drawn = resampled_metrics(photographs, names, resamples=resamples, seed=seed)
    return _intervals(
        {name: found.values[name] for name in drawn},
        found.undefined,
        drawn,
        {name: shares[name] for name in drawn if name in shares},
        photographs.patients,
    )


def decision_intervals(
    truths: np.ndarray,
    decisions: np.ndarray,
    patients: np.ndarray,
    *,
    prevalence: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """95 % intervals of what a decision, such as a threshold makes, is worth; method and errors as :func:`metric_intervals`.

    Args:
        truths: Whether a photograph has the finding (N,), bool.
        decisions: Whether it was said to have it (N,), bool.
        patients: Whose photograph it is (N,), int.
        prevalence: Also give the predictive values where this share has the finding.
        resamples: How many.
        seed: Of the resamples; those of a seed are the same as in :func:`metric_intervals` of the same patients.

    Returns:
        Intervals of ``sensitivity``, ``specificity``, ``ppv`` and ``npv``; with a prevalence also of
        ``ppv_at_prevalence`` and ``npv_at_prevalence``.
    """
    ways: dict[str, tuple[Callable[[np.ndarray], float], Callable[[np.ndarray], np.ndarray]]] = {
        name: (metric, metric.stacked) for name, metric in DECISION_METRICS.items()
    }
    if prevalence is not None:
        for metric in (metrics.ppv_at_prevalence, metrics.npv_at_prevalence):
            ways[metric.__name__] = (
                partial(metric, prevalence=prevalence),
                partial(metric.stacked, prevalence=prevalence),
            )
    if not resamples:
        return _none(ways)
    values: dict[str, float | None] = {}
    undefined: dict[str, str] = {}
    table = metrics.two_by_two_table(truths, decisions)
    for name, (single, _) in ways.items():
        try:
            values[name] = single(table)
        except Undefined as reason:
            values[name], undefined[name] = None, str(reason)
    cells = np.asarray(truths, dtype=np.int64) * 2 + np.asarray(decisions, dtype=np.int64)
    whose, count = _numbered(patients)
    sums = _sums(whose, count, [(cells, np.ones(len(cells)), 4)])
    tables = _over_resamples(lambda weights: sums @ weights, count, resamples, seed).reshape(-1, 2, 2)
    drawn = {name: stacked(tables) for name, (_, stacked) in ways.items()}
    return _intervals(values, undefined, drawn, _decision_shares(truths, decisions), patients)


def patient_weights(patients: int, resample: int, seed: int = 0) -> np.ndarray:
    """How often each patient was drawn into a resample.

    Args:
        patients: How many there are.
        resample: Which resample, from 0.
        seed: Of the resamples.

    Returns:
        Whole numbers (P,), float64, that sum to P.

    Example:
        >>> patient_weights(4, resample=0)
        array([0., 1., 2., 1.])
    """
    drawn = np.random.default_rng([seed, resample]).integers(0, patients, patients, dtype=np.int32)
    return np.bincount(drawn, minlength=patients).astype(np.float64)


def resampled_metrics(
    photographs: GradedPredictions, names: Collection[str] = METRIC_NAMES, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, np.ndarray]:
    """Figures of resamples of patients: what :func:`~retinagrade.evaluation.named_metrics.compute_metrics` gives of each.

    Args:
        photographs: The graded photographs.
        names: Which of :data:`~retinagrade.evaluation.named_metrics.METRIC_NAMES`.
        resamples: How many.
        seed: Of the resamples.

    Returns:
        By name, float64 (R,); NaN where undefined.
    """
    grades, probabilities = photographs.grades, photographs.probabilities
    whose, count = _numbered(photographs.patients)
    excess, bins = metrics.calibration_terms(grades, probabilities)
    nothing = np.zeros(len(grades), dtype=np.int64)
    sums = _sums(
        whose,
        count,
        [
            (grades * N_GRADES + photographs.predicted, np.ones(len(grades)), N_GRADES**2),
            (bins, excess, CALIBRATION_BINS),
            (nothing, metrics.brier_terms(grades, probabilities), 1),
            (nothing, metrics.log_loss_terms(grades, probabilities), 1),
        ],
    )
    areas = _areas(photographs, whose, names)
    drawn = _over_resamples(
        lambda weights: np.append(sums @ weights, [area(weights) for area in areas.values()]), count, resamples, seed
    )
    ends = np.cumsum([N_GRADES**2, CALIBRATION_BINS, 1, 1])
    cells, gaps, squares, losses, found = np.split(drawn, ends, axis=1)
    matrices = cells.reshape(-1, N_GRADES, N_GRADES)
    by_area = dict(zip(areas, found.T, strict=True))
    of_photographs = {
        "brier": squares[:, 0],
        "log_loss": losses[:, 0],
        "expected_calibration_error": np.abs(gaps).sum(axis=1),
    }
    with np.errstate(invalid="ignore"):  # a set may be empty
        values = by_area | {name: total / cells.sum(axis=1) for name, total in of_photographs.items()}
    if "macro_auc" in names:
        values["macro_auc"] = _mean_of_defined(np.array([by_area[area] for area in _GRADE_AREAS]))
    return {
        name: MATRIX_METRICS[name].stacked(matrices) if name in MATRIX_METRICS else values[name]
        for name in METRIC_NAMES
        if name in names
    }


def percentile_interval(values: np.ndarray) -> Interval:
    """The percentile interval of a figure of resamples.

    Args:
        values: The figure of each resample (R,); NaN where undefined.

    Raises:
        Undefined: Too often undefined (:data:`UNDEFINED_ALLOWED`), or always the same.
    """
    missing = np.isnan(values)
    undefined = float(missing.mean())
    if undefined > UNDEFINED_ALLOWED:
        raise Undefined(f"undefined in {undefined:.0%} of the resamples: too few photographs of a kind for an interval")
    low, high = map(float, np.quantile(values[~missing], _TAILS))
    if low == high:
        raise Undefined(f"it is {low:.3g} in nearly all resamples, which doesn't say how far off it may be")
    return Interval(low, high, undefined)


_GRADE_AREAS: Final = tuple(f"grade_{grade.value}_auc" for grade in Grade)


class _Ranking:
    """Photographs sorted by a score, once, for areas under curves of any weights of their patients."""

    def __init__(self, truths: np.ndarray, scores: np.ndarray, whose: np.ndarray) -> None:
        order = np.argsort(-scores, kind="stable")
        positives, negatives = order[truths[order]], order[~truths[order]]
        ladder, theirs = -scores[positives], -scores[negatives]
        self._positives, self._negatives = whose[positives], whose[negatives]
        # Of each negative, the positives with a larger score, and with a larger or the same one.
        self._above, self._through = np.searchsorted(ladder, theirs, "left"), np.searchsorted(ladder, theirs, "right")
        self._ties = bool((self._above < self._through).any())
        self._down_to = np.searchsorted(ladder, ladder, "right")

    def auc(self, weights: np.ndarray) -> float:
        """Share of the pairs of a positive and a negative that are in order, half of those with equal scores."""
        positives, negatives = weights.take(self._positives), weights.take(self._negatives)
        found = np.concatenate([[0.0], positives.cumsum()])
        before = found.take(self._above)
        if self._ties:
            before = (before + found.take(self._through)) / 2
        total = positives.sum() * negatives.sum()
        return float(negatives @ before / total) if total else np.nan

    def average_precision(self, weights: np.ndarray) -> float:
        """Mean over the positives of the precision at their score; undefined, as the AUC is, without negatives."""
        positives, negatives = weights.take(self._positives), weights.take(self._negatives)
        if not positives.any() or not negatives.any():
            return np.nan
        found = positives.cumsum().take(self._down_to - 1)
        alarms = np.bincount(self._above, negatives, len(positives) + 1)[:-1].cumsum()
        # The positives at the top may weigh nothing; they then add nothing either.
        return float(positives @ (found / np.maximum(found + alarms, 1)) / positives.sum())


def _areas(
    photographs: GradedPredictions, whose: np.ndarray, names: Collection[str]
) -> dict[str, Callable[[np.ndarray], float]]:
    """Areas under curves as functions of the patients' weights, of the named figures only."""
    grades, probabilities = photographs.grades, photographs.probabilities
    areas: dict[str, Callable[[np.ndarray], float]] = {}
    if "macro_auc" in names:
        for name, grade in zip(_GRADE_AREAS, Grade, strict=True):
            areas[name] = _Ranking(grades == grade, probabilities[:, grade], whose).auc
    for task, grade in TASKS.items():
        ranking = _Ranking(grades >= grade, metrics.probability_from_grade(probabilities, grade), whose)
        ways = {f"{task}_auc": ranking.auc, f"{task}_average_precision": ranking.average_precision}
        areas.update({name: area for name, area in ways.items() if name in names})
    return areas


def _intervals(
    values: dict[str, float | None],
    undefined: dict[str, str],
    drawn: dict[str, np.ndarray],
    shares: dict[str, np.ndarray],
    patients: np.ndarray,
) -> Intervals:
    found: dict[str, Interval | None] = {}
    reasons: dict[str, str] = {}
    for name, value in values.items():
        try:
            if value is None:
                raise Undefined(undefined[name])
            if len(np.unique(patients)) < 2:
                raise Undefined("there is only one patient")
            if name in REFERENCE_METRICS:
                raise Undefined("a reference that figures are seen beside, not a figure of the predictions")
            exact = _exact(value, patients[shares[name]]) if name in shares else None
            found[name] = exact or _around(value, percentile_interval(drawn[name]))
        except Undefined as reason:
            found[name], reasons[name] = None, str(reason)
    return Intervals(found, reasons)


def _around(value: float, interval: Interval) -> Interval:
    """The interval, if it holds its figure: noise makes some larger by itself, and resamples have more of it."""
    if not interval.low <= value <= interval.high:
        raise Undefined("resampling moves it to one side, so that it lies outside of its resamples' middle 95 %")
    return interval


def _none(names: Collection[str]) -> Intervals:
    return Intervals(dict.fromkeys(names), dict.fromkeys(names, "no resamples were asked for"))


def _exact(share: float, patients: np.ndarray) -> Interval | None:
    """Clopper and Pearson's interval of a share of photographs of these patients (M,), where few are on one side."""
    if min(share, 1 - share) * len(patients) > EXACT_BELOW - 0.5:
        return None
    size = len(np.unique(patients))
    right, wrong = share * size, (1 - share) * size
    low, high = beta.ppf(_TAILS, [right, right + 1], [wrong + 1, wrong])
    return Interval(float(low) if right else 0.0, float(high) if wrong else 1.0, method="exact")


def _shares(photographs: GradedPredictions) -> dict[str, np.ndarray]:
    """Of which photographs (N,) a share is one, by its name."""
    grades, given = photographs.grades, photographs.predicted
    shares = dict.fromkeys(("accuracy", "weighted_recall", "off_by_two_or_more"), np.ones(len(grades), dtype=bool))
    for task, worse in TASKS.items():
        of = _decision_shares(grades >= worse, given >= worse)
        shares.update({f"{task}_{name}": those for name, those in of.items()})
    for grade in Grade:
        of = {"precision": given == grade, "recall": grades == grade, "specificity": grades != grade}
        shares.update({f"grade_{grade.value}_{name}": those for name, those in of.items()})
    return shares


def _decision_shares(truths: np.ndarray, decisions: np.ndarray) -> dict[str, np.ndarray]:
    return {"sensitivity": truths, "specificity": ~truths, "ppv": decisions, "npv": ~decisions}


def _numbered(patients: np.ndarray) -> tuple[np.ndarray, int]:
    """Patients (N,) counted from 0 without gaps, as a subgroup's are not, and how many there are."""
    names, whose = np.unique(patients, return_inverse=True)
    return whose, len(names)


def _sums(whose: np.ndarray, patients: int, terms: list[tuple[np.ndarray, np.ndarray, int]]) -> csr_array:
    """Sums by patient (S, P) of terms of photographs: each has a row (N,), a value (N,), and a number of rows."""
    starts = np.cumsum([0, *(rows for _, _, rows in terms)])
    rows = np.concatenate([start + row for start, (row, _, _) in zip(starts, terms, strict=False)])
    values = np.concatenate([value for _, value, _ in terms])
    return csr_array((values, (rows, np.tile(whose, len(terms)))), shape=(int(starts[-1]), patients))


def _over_resamples(
    statistics: Callable[[np.ndarray], np.ndarray], patients: int, resamples: int, seed: int
) -> np.ndarray:
    """Statistics (R, S) of the patients' weights in each resample."""
    # NumPy's own threads double the processor time of these small products, and gain nothing by the clock.
    with threadpool_limits(1):
        return np.array([statistics(patient_weights(patients, resample, seed)) for resample in range(resamples)])


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis (K, R) of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0))
