"""Metrics of a grader's decisions as a programme uses them: by photograph and by patient, refused photographs included.

Nobody knows beforehand how a programme treats a photograph that the grader refuses. So each metric stands for three
policies, side by side: refused photographs are referred, are not referred, or are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import vstack

from retinagrade.evaluation import metrics
from retinagrade.evaluation.decided_photographs import DECISION_TASKS, DecidedPhotographs
from retinagrade.evaluation.fitting.applied_calibration import metric_to_json
from retinagrade.evaluation.intervals import (
    Formula,
    Interval,
    at_prevalence,
    percentile_interval,
    table_intervals,
    table_metrics,
    two_by_two_terms,
)
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.net_benefit import THRESHOLDS, net_benefit, net_benefit_of_all
from retinagrade.evaluation.resampling import RESAMPLES, over_resamples, sums_by_patient
from retinagrade.evaluation.subgroups import group_values

Policy = Literal["referred", "not referred", "left out"]
Unit = Literal["photograph", "patient"]
POLICIES: Final[tuple[Policy, ...]] = get_args(Policy)
"""The treatments of refused photographs."""
QUALITY_LEVEL: Final = "quality_level"
"""Column of results that always defines groups."""
METRICS: Final = ("sensitivity", "specificity", "ppv", "npv", "referrals_per_1000", "misses_per_1000")
"""Metrics of a decision."""
_PER_1000: Final = {"referral_rate": "referrals_per_1000", "miss_rate": "misses_per_1000"}


@dataclass(frozen=True)
class DecidedUnits:
    """Photographs, or patients, that a policy has made positive or negative.

    Attributes:
        truths: True for those with the disease (U,).
        decisions: True for the positive ones (U,).
        patients: The patient of each (U,).
        left_out: Number of photographs, or patients, that the policy leaves out.
    """

    truths: NDArray[np.bool_]
    decisions: NDArray[np.bool_]
    patients: NDArray[np.int64]
    left_out: int


@dataclass(frozen=True)
class Outcome:
    """Metrics of one decision under one policy.

    Attributes:
        decision: ``referable``, ``referable_or_review`` or ``vision_threatening``.
        unit: ``photograph`` or ``patient``.
        refused: Treatment of refused photographs: ``referred``, ``not referred`` or ``left out``.
        table: Counts (2, 2): without and with the disease (rows), negative and positive (columns).
        left_out: Number of photographs, or patients, that are not in the table.
        prevalence: Share with the disease, for which the predictive values and the numbers per 1,000 hold; ``None``
            where the table is empty.
        metrics: :data:`METRICS`; ``None`` where undefined.
        intervals: Their 95 % intervals.
        undefined: Reasons why a metric, or its interval (``NAME, interval``), is ``None``.
        column: Column that defines the group of photographs; ``None`` for all.
        value: Value of the group in this column.
    """

    decision: str
    unit: Unit
    refused: Policy
    table: NDArray[np.int64]
    left_out: int
    prevalence: float | None
    metrics: dict[str, float | None]
    intervals: dict[str, Interval | None]
    undefined: dict[str, str]
    column: str | None = None
    value: str | None = None

    @property
    def number(self) -> int:
        """Number of photographs, or patients, in the table."""
        return int(self.table.sum())

    def to_json(self) -> dict[str, Any]:
        """Returns the outcome for ``metrics.json``."""
        return {
            "decision": self.decision,
            "unit": self.unit,
            "refused": self.refused,
            "column": self.column,
            "value": self.value,
            "table": self.table.tolist(),
            "left_out": self.left_out,
            "prevalence": self.prevalence,
            "metrics": {name: metric_to_json(self.metrics, self.intervals, name) for name in METRICS},
            "undefined": self.undefined,
        }


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit of a decision, refused photographs referred, over threshold probabilities (T,).

    Attributes:
        decision: Name of the decision.
        unit: ``photograph`` or ``patient``.
        thresholds: Threshold probabilities.
        grader: Net benefit of the grader's decision.
        intervals: 95 % interval of each; ``None`` where there is none.
        refer_all: Net benefit of referring everybody. That of referring nobody is 0.
    """

    decision: str
    unit: Unit
    thresholds: NDArray[np.float64]
    grader: NDArray[np.float64]
    intervals: list[Interval | None]
    refer_all: NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        """Returns the curve for ``metrics.json``."""
        return {
            "decision": self.decision,
            "unit": self.unit,
            "thresholds": self.thresholds.tolist(),
            "grader": self.grader.tolist(),
            "intervals": [None if one is None else [one.low, one.high] for one in self.intervals],
            "refer_all": self.refer_all.tolist(),
            "refer_none": [0.0] * len(self.thresholds),
        }


@dataclass(frozen=True)
class DecisionResults:
    """Metrics of the decisions of a table of results.

    Attributes:
        photographs: Number of labelled photographs, refused ones included.
        patients: Number of their patients.
        refused: Number of photographs that the grader refused; they have no grade.
        errors: Number of photographs among them that could not be used, by an error.
        unlabelled: Number of photographs of the table that are left out because they have no label.
        undecided: Number of photographs that have a grade, but not this decision, by decision. They are left out of
            its metrics.
        missing: Reasons why the table doesn't have a decision, by its name.
        oedema: True where the grader refers for macular oedema, too.
        oedema_labelled: True where a label of macular oedema counts as referable.
        prevalence: The stated prevalence of referable disease; ``None`` for that of the data.
        outcomes: Metrics by decision, unit, policy and group.
        curves: Decision curves. One is missing where its net benefit is undefined.
    """

    photographs: int
    patients: int
    refused: int
    errors: int
    unlabelled: int
    undecided: dict[str, int]
    missing: dict[str, str]
    oedema: bool
    oedema_labelled: bool
    prevalence: float | None
    outcomes: list[Outcome] = field(repr=False)
    curves: list[DecisionCurve] = field(repr=False)

    def outcome(self, decision: str, unit: Unit, refused: Policy = "referred") -> Outcome | None:
        """Returns the outcome of all photographs; ``None`` where the table doesn't have this decision or unit."""
        for one in self.outcomes:
            if (one.decision, one.unit, one.refused, one.column) == (decision, unit, refused, None):
                return one
        return None

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units: by patient only where a patient has several photographs."""
        return ("photograph", "patient") if self.patients < self.photographs else ("photograph",)

    def to_json(self) -> dict[str, Any]:
        """Returns the results for ``metrics.json``."""
        return {
            "photographs": self.photographs,
            "patients": self.patients,
            "refused": self.refused,
            "errors": self.errors,
            "unlabelled": self.unlabelled,
            "undecided": self.undecided,
            "missing": self.missing,
            "refers_for_oedema": self.oedema,
            "oedema_labelled": self.oedema_labelled,
            "prevalence": self.prevalence,
            "outcomes": [one.to_json() for one in self.outcomes],
            "net_benefit": [curve.to_json() for curve in self.curves],
        }


class _Key(NamedTuple):
    decision: str
    unit: Unit
    refused: Policy
    column: str | None
    value: str | None


def apply_policy(
    photographs: DecidedPhotographs,
    decision: str,
    policy: Policy,
    unit: Unit = "photograph",
    selected: NDArray[np.bool_] | None = None,
) -> DecidedUnits:
    """Makes every photograph, or patient, positive or negative.

    Args:
        photographs: The photographs, N.
        decision: One of the photographs' decisions.
        policy: Treatment of refused photographs. Where they are left out, their labels don't count either.
        unit: By patient, a patient is positive if any photograph is, and has the disease if any photograph has it. A
            patient without a photograph that counts is left out.
        selected: The photographs (N,) to look at; by default all.
    """
    refused, truths = photographs.refused, photographs.truths[DECISION_TASKS[decision]]
    positive = np.where(refused, policy == "referred", photographs.decisions[decision])
    chosen = np.ones(len(photographs), dtype=bool) if selected is None else selected
    counted = chosen & ~photographs.undecided[decision]
    if policy == "left out":
        counted = counted & ~refused
    patients = photographs.patients
    if unit == "photograph":
        return DecidedUnits(truths[counted], positive[counted], patients[counted], int((chosen & ~counted).sum()))
    names, of_unit = np.unique(patients[counted], return_inverse=True)
    any_true, any_positive = (
        np.bincount(of_unit, weights=flags[counted], minlength=len(names)) > 0 for flags in (truths, positive)
    )
    return DecidedUnits(any_true, any_positive, names, len(np.unique(patients[chosen])) - len(names))


def evaluate_decisions(
    photographs: DecidedPhotographs,
    *,
    by: Sequence[str] = (),
    prevalence: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> DecisionResults:
    """Measures the decisions of a grader, as they are used.

    Args:
        photographs: At least one labelled photograph.
        by: Columns whose values define groups of photographs, besides ``quality_level``.
        prevalence: Share of people with referable disease, at which predictive values, referrals and misses of
            referable decisions hold; by default that of the photographs, or patients, as for all other decisions.
        resamples: Number of resamples of patients for the intervals; 0 for no intervals.
        seed: Seed of the resamples.

    Returns:
        The metrics; by patient where a patient has several photographs. All intervals use the same resamples of
        patients.

    Raises:
        UsageError: A column of ``by`` has too many values.
    """
    patients = int(photographs.patients.max()) + 1
    units: list[Unit] = ["photograph", "patient"] if patients < len(photographs) else ["photograph"]
    keys: list[_Key] = []
    decided: list[DecidedUnits] = []
    for decision in photographs.decisions:
        for column, value, selected in [(None, None, None), *_groups(photographs, by)]:
            for unit in units if column is None else units[:1]:
                for policy in POLICIES:
                    keys.append(_Key(decision, unit, policy, column, value))
                    decided.append(apply_policy(photographs, decision, policy, unit, selected))
    tables = _resampled_tables(decided, patients, resamples, seed)
    measured = zip(keys, decided, tables, strict=True)
    outcomes = [
        _measure(key, each, of_resamples, _stated(key.decision, prevalence)) for key, each, of_resamples in measured
    ]
    curves = [
        curve
        for outcome, of_resamples in zip(outcomes, tables, strict=True)
        if outcome.column is None and outcome.refused == "referred"
        if (curve := _decision_curve(outcome, of_resamples, _stated(outcome.decision, prevalence))) is not None
    ]
    return DecisionResults(
        len(photographs),
        patients,
        int(photographs.refused.sum()),
        int(photographs.errors.sum()),
        photographs.unlabelled,
        {decision: int(undecided.sum()) for decision, undecided in photographs.undecided.items()},
        photographs.missing,
        photographs.oedema,
        photographs.oedema_labelled,
        prevalence,
        outcomes,
        curves,
    )


def _stated(decision: str, prevalence: float | None) -> float | None:
    """Returns the stated prevalence of referable disease where a decision is about it, and ``None`` elsewhere."""
    return prevalence if DECISION_TASKS[decision] == "referable" else None


def _groups(photographs: DecidedPhotographs, by: Sequence[str]) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """Returns the photographs (N,) of each value of each column."""
    groups = []
    for column in dict.fromkeys([QUALITY_LEVEL, *by]):
        if column in photographs.table:
            values, order = group_values(photographs.table[column])
            groups += [(column, value, values == value) for value in order]
    return groups


def _resampled_tables(decided: Sequence[DecidedUnits], patients: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """Returns the two-by-two tables (K, R, 2, 2) of K decisions in R resamples, from one pass over the resamples."""
    if not decided:
        return np.zeros((0, resamples, 2, 2))
    terms = [two_by_two_terms(each.truths, each.decisions) for each in decided]
    sums = vstack([sums_by_patient(each.patients, patients, [one]) for each, one in zip(decided, terms, strict=True)])
    rows = over_resamples(lambda weights: sums @ weights, patients, resamples, seed)
    return np.swapaxes(rows.reshape(resamples, len(decided), 2, 2), 0, 1)


def _measure(key: _Key, decided: DecidedUnits, tables: NDArray[np.float64], prevalence: float | None) -> Outcome:
    """Computes the metrics of one decision; its resamples have the tables (R, 2, 2)."""
    table = metrics.two_by_two_table(decided.truths, decided.decisions)
    formulas = _formulas(prevalence)
    named = table_metrics(table, formulas)
    undefined = {_reported(name): reason for name, reason in named.undefined.items()}
    intervals: dict[str, Interval | None] = {}
    if len(tables):
        found = table_intervals(decided.truths, decided.decisions, decided.patients, formulas, tables)
        intervals = dict(found.values)
        if prevalence is not None:
            intervals["miss_rate"] = _misses_at(prevalence, intervals["sensitivity"])
        for name, interval in intervals.items():
            if interval is None and named.values[name] is not None:
                undefined[f"{_reported(name)}, interval"] = found.undefined[name]
    share = float(decided.truths.mean()) if table.any() else None
    return Outcome(
        key.decision,
        key.unit,
        key.refused,
        table,
        decided.left_out,
        share if prevalence is None else prevalence,
        {_reported(name): _scaled(name, value) for name, value in named.values.items()},
        {_reported(name): _scaled_interval(name, interval) for name, interval in intervals.items()},
        {name: reason.replace("photograph", key.unit) for name, reason in undefined.items()},
        key.column,
        key.value,
    )


def _formulas(prevalence: float | None) -> dict[str, Formula]:
    """Returns the formulas of :data:`METRICS`; the numbers per 1,000 are shares here."""
    plain = (
        metrics.sensitivity,
        metrics.specificity,
        metrics.ppv,
        metrics.npv,
        metrics.referral_rate,
        metrics.miss_rate,
    )
    formulas = {metric.__name__: Formula(metric, metric.stacked) for metric in plain}
    if prevalence is None:
        return formulas
    return formulas | {
        "ppv": at_prevalence(metrics.ppv_at_prevalence, prevalence),
        "npv": at_prevalence(metrics.npv_at_prevalence, prevalence),
        "referral_rate": at_prevalence(metrics.referral_rate_at_prevalence, prevalence),
        "miss_rate": at_prevalence(metrics.miss_rate_at_prevalence, prevalence),
    }


def _misses_at(prevalence: float, sensitivity: Interval | None) -> Interval | None:
    """Returns the interval of the share of misses at a prevalence, which mirrors that of the sensitivity."""
    if sensitivity is None:
        return None
    return replace(sensitivity, low=prevalence * (1 - sensitivity.high), high=prevalence * (1 - sensitivity.low))


def _reported(name: str) -> str:
    return _PER_1000.get(name, name)


def _scaled(name: str, value: float | None) -> float | None:
    return 1000 * value if name in _PER_1000 and value is not None else value


def _scaled_interval(name: str, interval: Interval | None) -> Interval | None:
    if interval is None or name not in _PER_1000:
        return interval
    return replace(interval, low=1000 * interval.low, high=1000 * interval.high)


def _decision_curve(outcome: Outcome, tables: NDArray[np.float64], prevalence: float | None) -> DecisionCurve | None:
    """Returns the curve of an outcome whose resamples have the tables (R, 2, 2); ``None`` where it is undefined."""
    grader = net_benefit(outcome.table, prevalence=prevalence)
    if outcome.prevalence is None or np.isnan(grader).any():
        return None
    intervals: list[Interval | None] = [None] * len(THRESHOLDS)
    if len(tables):
        intervals = [_interval_or_none(values) for values in net_benefit(tables, prevalence=prevalence).T]
    refer_all = net_benefit_of_all(outcome.prevalence)
    return DecisionCurve(outcome.decision, outcome.unit, THRESHOLDS, grader, intervals, refer_all)


def _interval_or_none(values: NDArray[np.float64]) -> Interval | None:
    try:
        return percentile_interval(values)
    except Undefined:
        return None
