"""Intervals: of the same metrics, by patients, reproducible, honest where the bootstrap can say nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from retinagrade.evaluation import metrics
from retinagrade.evaluation.intervals import (
    REFERENCE_METRICS,
    Intervals,
    decision_intervals,
    metric_intervals,
    percentile_interval,
)
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.named_metrics import METRIC_NAMES, compute_metrics
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.resampling import patient_weights, resampled_metrics
from retinagrade.grades import REFERABLE
from tests.evaluation.photographs import some_photographs


def repeated(photographs: GradedPredictions, resample: int, seed: int) -> GradedPredictions:
    """A resample with its rows in memory as often as their patients were drawn."""
    _, whose = np.unique(photographs.patients, return_inverse=True)
    weights = patient_weights(whose.max() + 1, resample, seed)
    return photographs.rows(np.repeat(np.arange(len(photographs)), weights[whose].astype(int)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sets(st.integers(0, 4), min_size=1))
def test_metrics_of_resamples_are_those_of_repeated_rows(seed: int, size: int, present: set[int]) -> None:
    photographs = some_photographs(size, seed, grades=sorted(present))
    fast = resampled_metrics(photographs, resamples=3, seed=seed)
    assert tuple(fast) == METRIC_NAMES
    for resample in range(3):
        slow = compute_metrics(repeated(photographs, resample, seed)).values
        for name in METRIC_NAMES:
            expected = slow[name]
            assert fast[name][resample] == pytest.approx(
                np.nan if expected is None else expected, abs=1e-12, nan_ok=True
            ), name


def test_a_resample_draws_as_many_patients_as_there_are() -> None:
    drawn = np.array([patient_weights(50, resample) for resample in range(400)])
    assert (drawn.sum(axis=1) == 50).all()
    assert len(np.unique(drawn, axis=0)) == 400
    assert np.abs(drawn.mean(axis=0) - 1).max() < 0.2
    assert abs((drawn == 0).mean() - np.exp(-1)) < 0.02


def test_the_same_seed_gives_the_same_however_many_resamples() -> None:
    photographs = some_photographs(300, 0)
    first = metric_intervals(photographs, resamples=60, seed=1)
    assert metric_intervals(photographs, resamples=60, seed=1) == first
    assert metric_intervals(photographs, resamples=60, seed=2) != first
    longer = resampled_metrics(photographs, resamples=80, seed=1)
    for name, values in resampled_metrics(photographs, resamples=60, seed=1).items():
        assert np.array_equal(values, longer[name][:60], equal_nan=True), name


def test_every_metric_has_an_interval_around_it() -> None:
    photographs = some_photographs(800, 0)
    found, values = metric_intervals(photographs, resamples=300), compute_metrics(photographs).values
    assert tuple(found.values) == METRIC_NAMES
    for name in set(METRIC_NAMES) - set(found.undefined):
        interval, value = found.values[name], values[name]
        assert interval is not None
        assert value is not None
        assert interval.low < interval.high
        assert interval.low <= value <= interval.high, name
    # Resamples are less calibrated than what they are drawn from.
    assert set(found.undefined) <= {*REFERENCE_METRICS, "expected_calibration_error"}
    assert set(REFERENCE_METRICS) <= set(found.undefined)


def test_some_metrics_alone_are_the_same_as_among_all() -> None:
    photographs = some_photographs(200, 0)
    some = metric_intervals(photographs, ["referable_auc", "accuracy"], resamples=50)
    every = metric_intervals(photographs, resamples=50)
    assert some.values == {name: every.values[name] for name in ("accuracy", "referable_auc")}


def test_eyes_of_one_patient_are_not_two_patients() -> None:
    photographs = some_photographs(400, 0)
    twice = photographs.rows(np.repeat(np.arange(400), 2))  # every photograph twice says nothing new
    alone = replace(photographs, patients=np.arange(400))
    together = replace(twice, patients=np.repeat(np.arange(400), 2))
    names = ["accuracy", "quadratic_weighted_kappa", "referable_auc"]
    assert _close(metric_intervals(together, names), metric_intervals(alone, names))
    apart = metric_intervals(replace(twice, patients=np.arange(800)), names)
    for name, interval in metric_intervals(together, names).values.items():
        other = apart.values[name]
        assert interval is not None
        assert other is not None
        assert (interval.high - interval.low) / (other.high - other.low) == pytest.approx(2**0.5, rel=0.1)


def _close(first: Intervals, second: Intervals) -> bool:
    pairs = [(first.values[name], second.values[name]) for name in first.values]
    return all(a is not None and b is not None and np.allclose([a.low, a.high], [b.low, b.high]) for a, b in pairs)


def test_a_subgroup_is_its_photographs_alone() -> None:
    photographs = some_photographs(300, 0)
    part = photographs.rows(photographs.patients % 3 == 1)
    renumbered = replace(part, patients=np.unique(part.patients, return_inverse=True)[1])
    assert metric_intervals(part, ["accuracy"], resamples=50) == metric_intervals(
        renumbered, ["accuracy"], resamples=50
    )


def test_all_right_is_no_certainty() -> None:
    grades = np.repeat([0, 2], 30)
    patients = np.arange(60)
    photographs = GradedPredictions(np.array([f"i{row}" for row in patients]), grades, np.eye(5)[grades], patients)
    found = metric_intervals(photographs, resamples=100)
    sensitivity = found.values["referable_sensitivity"]
    assert sensitivity is not None
    exact = binomtest(30, 30).proportion_ci(method="exact")
    assert [sensitivity.low, sensitivity.high] == pytest.approx([exact.low, 1])
    assert sensitivity.method == "exact"
    none_off = found.values["off_by_two_or_more"]
    assert none_off is not None
    exact = binomtest(0, 60).proportion_ci(method="exact")
    assert [none_off.low, none_off.high] == pytest.approx([0, exact.high])
    for name in ("quadratic_weighted_kappa", "referable_auc", "macro_f1"):
        assert found.values[name] is None
        assert "nearly all resamples" in found.undefined[name]


def test_few_mistakes_get_an_exact_interval_that_counts_patients() -> None:
    truths, patients = np.repeat([True, False], 80), np.repeat(np.arange(80), 2)
    decisions = truths.copy()
    decisions[:2] = False  # both eyes of one of 40 patients
    found = decision_intervals(truths, decisions, patients, resamples=100)
    exact = binomtest(39, 40).proportion_ci(method="exact")
    sensitivity = found.values["sensitivity"]
    assert sensitivity is not None
    assert sensitivity.method == "exact"
    assert [sensitivity.low, sensitivity.high] == pytest.approx([exact.low, exact.high])
    decisions[2:10] = False  # ten photographs are enough to resample
    sensitivity = decision_intervals(truths, decisions, patients, resamples=100).values["sensitivity"]
    assert sensitivity is not None
    assert sensitivity.method == "bootstrap"


def test_what_has_no_interval_says_why() -> None:
    photographs = some_photographs(100, 0, grades=[0, 1])
    found = metric_intervals(photographs, resamples=50)
    assert found.values["referable_auc"] is None
    assert found.undefined["referable_auc"] == "no photograph is referable"
    one = replace(photographs, patients=np.zeros(100, dtype=int))
    assert set(metric_intervals(one, ["accuracy"], resamples=50).undefined.values()) == {"there is only one patient"}
    single = np.append(np.zeros(60, dtype=int), 4)  # absent from more than a third of the resamples
    rare = GradedPredictions(np.arange(61).astype(str), single, np.full((61, 5), 0.2), np.arange(61))
    rare.probabilities[:, 0] += np.linspace(0, 0.1, 61)
    assert "of the resamples" in metric_intervals(rare, ["referable_auc"], resamples=100).undefined["referable_auc"]
    nothing = photographs.rows(np.zeros(100, dtype=bool))
    assert set(metric_intervals(nothing, resamples=5).values.values()) == {None}


def test_undefined_resamples_are_left_out_up_to_a_share() -> None:
    values = np.linspace(0, 1, 100)
    values[:5] = np.nan
    assert percentile_interval(values).undefined == 0.05
    values[5] = np.nan
    with pytest.raises(Undefined, match="6% of the resamples"):
        percentile_interval(values)


def test_decisions_have_the_intervals_of_the_same_metrics() -> None:
    photographs = some_photographs(500, 0)
    truths, decisions = photographs.grades >= REFERABLE, photographs.predicted >= REFERABLE
    found = decision_intervals(truths, decisions, photographs.patients, prevalence=0.1, resamples=80, seed=3)
    every = metric_intervals(photographs, resamples=80, seed=3)
    for name in ("sensitivity", "specificity", "ppv", "npv"):
        assert found.values[name] == every.values[f"referable_{name}"]
    at = found.values["ppv_at_prevalence"]
    assert at is not None
    assert at.low < metrics.ppv_at_prevalence(metrics.two_by_two_table(truths, decisions), 0.1) < at.high


def _clinic(patients: int, rng: np.random.Generator) -> GradedPredictions:
    """Patients with both eyes: grades, and how a network sees them, go together within a patient."""
    disease = rng.normal(0, 1, patients)[:, None] + rng.normal(0, 0.4, (patients, 2))
    grades = np.digitize(disease, [0.2, 0.6, 1.2, 1.7]).ravel()
    seen = disease + rng.normal(0, 0.35, patients)[:, None] + rng.normal(0, 0.35, (patients, 2))
    centres = np.array([-0.4, 0.4, 0.9, 1.45, 2.0])
    logits = -((seen.ravel()[:, None] - centres) ** 2) / 0.3
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return GradedPredictions(
        np.arange(2 * patients).astype(str),
        grades,
        shares / shares.sum(axis=1, keepdims=True),
        np.repeat(np.arange(patients), 2),
    )


@pytest.mark.slow
def test_intervals_cover_the_true_value() -> None:
    """95 % ± 2 of the intervals of 2000 samples of 250 patients hold the value of 400,000 patients."""
    names = ["accuracy", "quadratic_weighted_kappa", "referable_auc", "referable_sensitivity"]
    rng = np.random.default_rng(20)
    truth = compute_metrics(_clinic(400_000, rng)).values
    repetitions = 2_000
    covered = dict.fromkeys(names, 0)
    for repetition in range(repetitions):
        found = metric_intervals(_clinic(250, rng), names, resamples=400, seed=repetition)
        for name in names:
            interval, value = found.values[name], truth[name]
            assert interval is not None
            assert value is not None
            covered[name] += interval.low <= value <= interval.high
    print({name: count / repetitions for name, count in covered.items()})  # noqa: T201 - with -s, for the record
    for name, count in covered.items():
        assert count / repetitions == pytest.approx(0.95, abs=0.02), name
