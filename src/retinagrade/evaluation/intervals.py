"""95 % intervals: how far metrics would vary with other patients of the same kind.

They are percentiles over resamples of patients (:mod:`~retinagrade.evaluation.resampling`), or exact intervals for
shares with few photographs on one side.

Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993 (percentile intervals).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from retinagrade.evaluation import metrics
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.named_metrics import DECISION_METRICS, METRIC_NAMES, TASKS, NamedMetrics, compute_metrics
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.resampling import (
    RESAMPLES,
    Terms,
    number_patients,
    over_resamples,
    resampled_metrics,
    sums_by_patient,
)
from retinagrade.grades import Grade

LEVEL: Final = 0.95
"""Level of all intervals."""
UNDEFINED_ALLOWED: Final = 0.05
"""Largest share of resamples in which a metric may be undefined; beyond, an interval would describe only the others."""
EXACT_BELOW: Final = 5
"""A share has an exact interval if it has fewer photographs on its smaller side than this number. The bootstrap can't
draw more mistakes than the photographs have, and without any mistake it gives an interval without width."""
REFERENCE_METRICS: Final = ("majority_baseline", "chance_accuracy")
"""Baselines to compare metrics with; they don't measure the predictions, and have no intervals."""
_TAILS: Final = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


@dataclass(frozen=True)
class Interval:
    """A 95 % interval.

    Attributes:
        low: Its lower end.
        high: Its upper end.
        undefined: Share of the resamples in which the metric is undefined; they are left out.
        method: ``bootstrap`` (percentiles), or ``exact`` (Clopper and Pearson's interval of a share of the patients).
    """

    low: float
    high: float
    undefined: float = 0.0
    method: Literal["bootstrap", "exact"] = "bootstrap"


@dataclass(frozen=True)
class Intervals:
    """Intervals by the names of the metrics.

    Attributes:
        values: The intervals; ``None`` where there is none.
        undefined: Reasons why an interval is ``None``, by name.
    """

    values: dict[str, Interval | None]
    undefined: dict[str, str]


def metric_intervals(
    predictions: GradedPredictions, names: Collection[str] = METRIC_NAMES, *, resamples: int = RESAMPLES, seed: int = 0
) -> Intervals:
    """Computes 95 % intervals of metrics.

    They are percentiles over resamples of patients. A share (accuracy, sensitivity, the recall of a grade, …) with
    fewer than :data:`EXACT_BELOW` photographs on its smaller side has Clopper and Pearson's exact interval instead. Its
    sample size is the number of patients, as if the eyes of a patient always had the same result: the interval is too
    wide rather than too narrow. If all of 30 patients are found, it is 88 to 100 %, not 100 to 100 %. A resample has
    fewer different photographs and therefore a larger calibration error, so the interval of the calibration error lies
    high, and may lie above the metric.

    Source of the exact interval: C. J. Clopper, E. S. Pearson, Biometrika 26(4), 1934.

    Args:
        predictions: The graded photographs; for a subgroup, its photographs.
        names: Some of :data:`~retinagrade.evaluation.named_metrics.METRIC_NAMES`; fewer names take less time.
        resamples: Number of resamples; 0 for no intervals.
        seed: Seed of the resamples.

    Returns:
        The intervals. There is no interval, but a reason, for a metric that is undefined, or undefined in more than
        :data:`UNDEFINED_ALLOWED` of the resamples, or the same in all (like QWK if every grade is right), and for fewer
        than two patients.
    """
    if not resamples:
        return _without_resamples(names)
    named = compute_metrics(predictions)
    shares = _share_photographs(predictions)
    resampled = resampled_metrics(predictions, names, resamples=resamples, seed=seed)
    return _intervals(
        {name: named.values[name] for name in resampled},
        named.undefined,
        resampled,
        {name: shares[name] for name in resampled if name in shares},
        predictions.patients,
    )


def decision_intervals(
    truths: NDArray[np.bool_],
    decisions: NDArray[np.bool_],
    patients: NDArray[np.int64],
    *,
    prevalence: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """Computes 95 % intervals of the metrics of a decision, with the method of :func:`metric_intervals`.

    Args:
        truths: True for photographs with the disease (N,).
        decisions: True for positive photographs (N,).
        patients: The patient of each photograph (N,).
        prevalence: Prevalence at which predictive values are computed as well.
        resamples: Number of resamples; 0 for no intervals.
        seed: Seed of the resamples; the same seed and patients give the resamples of :func:`metric_intervals`.

    Returns:
        Intervals of ``sensitivity``, ``specificity``, ``ppv`` and ``npv``; with a prevalence also of
        ``ppv_at_prevalence`` and ``npv_at_prevalence``.
    """
    formulas = {name: Formula(metric, metric.stacked) for name, metric in DECISION_METRICS.items()}
    if prevalence is not None:
        for metric in (metrics.ppv_at_prevalence, metrics.npv_at_prevalence):
            formulas[metric.__name__] = at_prevalence(metric, prevalence)
    if not resamples:
        return _without_resamples(formulas)
    numbers, count = number_patients(patients)
    sums = sums_by_patient(numbers, count, [two_by_two_terms(truths, decisions)])
    tables = over_resamples(lambda weights: sums @ weights, count, resamples, seed).reshape(-1, 2, 2)
    return table_intervals(truths, decisions, patients, formulas, tables)


@dataclass(frozen=True)
class Formula:
    """A metric of a decision.

    Attributes:
        single: Computes it from a table (2, 2), or raises :class:`~retinagrade.evaluation.metrics.Undefined`.
        stacked: Computes it from tables (R, 2, 2): values (R,), NaN where undefined.
    """

    single: Callable[[NDArray[Any]], float]
    stacked: Callable[[NDArray[Any]], NDArray[np.float64]]


def at_prevalence(metric: metrics.MatrixMetric[Any], prevalence: float) -> Formula:
    """Returns the formula of a metric at a prevalence."""
    return Formula(partial(metric, prevalence=prevalence), partial(metric.stacked, prevalence=prevalence))


def table_metrics(table: NDArray[np.int64], formulas: Mapping[str, Formula]) -> NamedMetrics:
    """Computes metrics of one two-by-two table (2, 2)."""
    values: dict[str, float | None] = {}
    undefined: dict[str, str] = {}
    for name, formula in formulas.items():
        try:
            values[name] = formula.single(table)
        except Undefined as reason:
            values[name], undefined[name] = None, str(reason)
    return NamedMetrics(values, undefined)


def two_by_two_terms(truths: NDArray[np.bool_], decisions: NDArray[np.bool_]) -> Terms:
    """Returns the terms of the four cells of a two-by-two table, row by row, for their sums by patient."""
    cells = np.asarray(truths, dtype=np.int64) * 2 + np.asarray(decisions, dtype=np.int64)
    return cells, np.ones(len(cells)), 4


def table_intervals(
    truths: NDArray[np.bool_],
    decisions: NDArray[np.bool_],
    patients: NDArray[np.int64],
    formulas: Mapping[str, Formula],
    tables: NDArray[np.float64],
) -> Intervals:
    """Computes 95 % intervals of metrics of a decision from the tables of resamples.

    Args:
        truths: True for photographs, or patients, with the disease (N,).
        decisions: True for positive ones (N,).
        patients: The patient of each (N,).
        formulas: The metrics by name. A share that this module knows by its name has an exact interval where few are
            on one side.
        tables: Two-by-two tables of the resamples (R, 2, 2).
    """
    named = table_metrics(metrics.two_by_two_table(truths, decisions), formulas)
    resampled = {name: formula.stacked(tables) for name, formula in formulas.items()}
    every = np.ones(len(truths), dtype=bool)
    shares = {**_decision_shares(truths, decisions), "referral_rate": every, "miss_rate": every}
    return _intervals(named.values, named.undefined, resampled, shares, patients)


def percentile_interval(values: NDArray[np.float64]) -> Interval:
    """Returns the percentile interval of a metric of resamples.

    Args:
        values: The metric of each resample (R,); NaN where undefined.

    Raises:
        Undefined: The metric is undefined too often (:data:`UNDEFINED_ALLOWED`), or always the same.
    """
    missing = np.isnan(values)
    undefined = float(missing.mean())
    if undefined > UNDEFINED_ALLOWED:
        raise Undefined(f"undefined in {undefined:.0%} of the resamples: too few photographs of a kind for an interval")
    low, high = map(float, np.quantile(values[~missing], _TAILS))
    if low == high:
        raise Undefined(f"it is {low:.3g} in nearly all resamples, so they don't show its uncertainty")
    return Interval(low, high, undefined)


def _intervals(
    values: dict[str, float | None],
    undefined: dict[str, str],
    resampled: dict[str, NDArray[np.float64]],
    shares: dict[str, NDArray[np.bool_]],
    patients: NDArray[np.int64],
) -> Intervals:
    intervals: dict[str, Interval | None] = {}
    reasons: dict[str, str] = {}
    for name, value in values.items():
        try:
            if value is None:
                raise Undefined(undefined[name])
            if len(np.unique(patients)) < 2:
                raise Undefined("there is only one patient")
            if name in REFERENCE_METRICS:
                raise Undefined("a baseline to compare metrics with; it doesn't measure the predictions")
            exact = _exact_interval(value, patients[shares[name]]) if name in shares else None
            intervals[name] = exact or _checked(value, percentile_interval(resampled[name]))
        except Undefined as reason:
            intervals[name], reasons[name] = None, str(reason)
    return Intervals(intervals, reasons)


def _checked(value: float, interval: Interval) -> Interval:
    """Returns the interval if it holds its metric; resamples have more noise, which increases some metrics."""
    if not interval.low <= value <= interval.high:
        raise Undefined("resampling moves it to one side, so that it lies outside of the middle 95 % of its resamples")
    return interval


def _without_resamples(names: Collection[str]) -> Intervals:
    return Intervals(dict.fromkeys(names), dict.fromkeys(names, "the evaluation uses no resamples"))


def _exact_interval(share: float, patients: NDArray[np.int64]) -> Interval | None:
    """Returns Clopper and Pearson's interval of a share of photographs of patients (M,), if few are on one side."""
    if min(share, 1 - share) * len(patients) > EXACT_BELOW - 0.5:
        return None
    size = len(np.unique(patients))
    right, wrong = share * size, (1 - share) * size
    low, high = beta.ppf(_TAILS, [right, right + 1], [wrong + 1, wrong])
    return Interval(float(low) if right else 0.0, float(high) if wrong else 1.0, method="exact")


def _share_photographs(predictions: GradedPredictions) -> dict[str, NDArray[np.bool_]]:
    """Returns the photographs (N,) in the denominator of each share, by the name of the metric."""
    grades, predicted = predictions.grades, predictions.predicted
    shares = dict.fromkeys(("accuracy", "weighted_recall", "off_by_two_or_more"), np.ones(len(grades), dtype=bool))
    for task, grade in TASKS.items():
        by_decision = _decision_shares(grades >= grade, predicted >= grade)
        shares.update({f"{task}_{name}": photographs for name, photographs in by_decision.items()})
    for single in Grade:
        by_grade = {"precision": predicted == single, "recall": grades == single, "specificity": grades != single}
        shares.update({f"grade_{single.value}_{name}": photographs for name, photographs in by_grade.items()})
    return shares


def _decision_shares(truths: NDArray[np.bool_], decisions: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    return {"sensitivity": truths, "specificity": ~truths, "ppv": decisions, "npv": ~decisions}
