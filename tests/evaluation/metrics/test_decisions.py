"""Metrics of decisions agree with scikit-learn; predictive values follow the prevalence."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.errors import UsageError
from retinagrade.evaluation import metrics
from retinagrade.evaluation.metrics import Undefined


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_metrics_of_decisions(pairs: list[tuple[bool, bool]]) -> None:
    truths, decisions = np.array(pairs).T
    table = metrics.two_by_two_table(truths, decisions)
    assert np.array_equal(table, reference.confusion_matrix(truths, decisions, labels=[False, True]))
    for metric, other in {
        metrics.sensitivity: reference.recall_score(truths, decisions, zero_division=np.nan),
        metrics.specificity: reference.recall_score(~truths, ~decisions, zero_division=np.nan),
        metrics.ppv: reference.precision_score(truths, decisions, zero_division=np.nan),
        metrics.npv: reference.precision_score(~truths, ~decisions, zero_division=np.nan),
    }.items():
        if np.isnan(other):
            with pytest.raises(Undefined, match="photograph"):
                metric(table)
        else:
            assert metric(table) == pytest.approx(other)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_predictive_values_at_the_sets_own_prevalence_are_the_sets(tp: int, fn: int, fp: int, tn: int) -> None:
    table = np.array([[tn, fp], [fn, tp]])
    prevalence = (tp + fn) / table.sum()
    assert metrics.ppv_at_prevalence(table, prevalence) == pytest.approx(metrics.ppv(table))
    assert metrics.npv_at_prevalence(table, prevalence) == pytest.approx(metrics.npv(table))


def test_predictive_values_at_another_prevalence() -> None:
    # Sensitivity 87.2 %, specificity 90.7 %: of 1000 people with 100 referable, 87.2 and 83.7 would be positive.
    table = np.array([[907, 93], [128, 872]])
    assert metrics.ppv_at_prevalence(table, 0.1) == pytest.approx(87.2 / (87.2 + 83.7))
    assert metrics.npv_at_prevalence(table, 0.1) == pytest.approx(816.3 / (816.3 + 12.8))
    with pytest.raises(UsageError, match="share from 0 to 1, not 10"):
        metrics.ppv_at_prevalence(table, 10)
    with pytest.raises(Undefined, match="none would be positive"):
        metrics.ppv_at_prevalence(np.array([[5, 0], [5, 0]]), 0.1)
