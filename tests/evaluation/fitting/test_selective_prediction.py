"""Risk and coverage, and whom a person should see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.evaluation.fitting.selective_prediction import (
    ReviewThreshold,
    fit_review_threshold,
    needs_review,
    risk_coverage,
    top_probability,
)
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.predictions import GradedPredictions
from tests.evaluation.photographs import any_photographs, photographs, simulated


def test_the_area_is_the_mean_risk_of_a_plain_loop() -> None:
    graded = simulated(300)
    order = np.argsort(-top_probability(graded.probabilities))
    wrong, far = (np.abs(graded.predicted - graded.grades)[order] >= distance for distance in (1, 2))
    curve = risk_coverage(graded)
    assert curve.area == pytest.approx(np.mean([wrong[: kept + 1].mean() for kept in range(300)]))
    assert curve.area_far_off == pytest.approx(np.mean([far[: kept + 1].mean() for kept in range(300)]))
    assert (curve.coverage[0], curve.coverage[-1]) == (1 / 300, 1)
    assert (curve.error[-1], curve.far_off[-1]) == pytest.approx((wrong.mean(), far.mean()))
    assert curve.area < wrong.mean(), "confidence is worth something here"


@given(any_photographs(), st.integers(0, 10_000))
def test_the_order_of_equals_does_not_matter(graded: GradedPredictions, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(graded))
    other = photographs(graded.grades[order], graded.probabilities[order])
    np.testing.assert_allclose(risk_coverage(graded).error, risk_coverage(other).error, atol=1e-12)


@given(any_photographs(), st.sampled_from(["share", "error"]), st.sampled_from([0.05, 0.2, 0.5, 0.9]))
def test_the_rule_is_met_by_the_best_threshold(graded: GradedPredictions, rule: str, target: float) -> None:
    wrong = graded.predicted != graded.grades
    top = top_probability(graded.probabilities)
    possible = [(float((top < level).mean()), float(wrong[top >= level].mean())) for level in np.unique(top)]
    if rule == "error" and min(error for _, error in possible) > target:
        with pytest.raises(Undefined, match="even the most certain"):
            fit_review_threshold(graded, "error", target)
        return
    referral = ReviewThreshold.model_validate_json(fit_review_threshold(graded, rule, target).model_dump_json())  # type: ignore[arg-type]
    if rule == "share":
        assert referral.reviewed == max(referred for referred, _ in possible if referred <= target)
    else:
        assert referral.reviewed == pytest.approx(min(referred for referred, error in possible if error <= target))
    seen = needs_review(referral, graded.probabilities)
    assert seen.mean() == pytest.approx(referral.reviewed)
    assert wrong[~seen].mean() == pytest.approx(referral.error)
    assert (np.abs(graded.predicted - graded.grades)[~seen] >= 2).mean() == pytest.approx(referral.far_off)
