"""Operating points meet their rule exactly, and no threshold does it better."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from retinagrade.evaluation.fitting.operating_points import (
    FDA_BAR,
    OperatingPoint,
    OperatingPointRule,
    fit_operating_point,
)
from retinagrade.evaluation.metrics import Undefined, probability_from_grade
from retinagrade.evaluation.predictions import GradedPredictions
from tests.evaluation.photographs import any_photographs, photographs, simulated


def reached(graded: GradedPredictions, from_grade: int, threshold: float) -> tuple[float, float]:
    """Sensitivity and specificity of a threshold, counted."""
    positive = graded.grades >= from_grade
    called = probability_from_grade(graded.probabilities, from_grade) >= threshold
    return float(called[positive].mean()), float((~called[~positive]).mean())


@given(
    any_photographs(),
    st.sampled_from([2, 3]),
    st.sampled_from(["sensitivity", "specificity", "fda"]),
    st.sampled_from([0.01, 0.5, 0.8, 0.9, 1.0]),
)
def test_the_rule_is_met_and_no_threshold_is_better(
    graded: GradedPredictions, from_grade: Literal[2, 3], rule: OperatingPointRule, target: float
) -> None:
    positive = graded.grades >= from_grade
    if positive.all() or not positive.any():
        with pytest.raises(Undefined, match=f"grade {from_grade} or worse"):
            fit_operating_point(graded, from_grade, rule, target)
        return
    scores = np.unique(probability_from_grade(graded.probabilities, from_grade))
    possible = [reached(graded, from_grade, threshold) for threshold in [*scores, np.inf]]
    if rule == "fda":
        meeting = [pair for pair in possible if pair[0] > FDA_BAR[0] and pair[1] > FDA_BAR[1]]
        if not meeting:
            with pytest.raises(Undefined, match="highest specificity is"):
                fit_operating_point(graded, from_grade, rule)
            return
        best = max(meeting, key=lambda pair: (pair[0] + pair[1], pair[0]))
    else:
        stated = ["sensitivity", "specificity"].index(rule)
        best = max(
            (pair for pair in possible if pair[stated] >= target), key=lambda pair: (pair[1 - stated], pair[stated])
        )
    point = fit_operating_point(graded, from_grade, rule, target)
    assert (point.sensitivity, point.specificity) == pytest.approx(best, abs=1e-12)
    again = OperatingPoint.model_validate_json(point.model_dump_json())
    called = decide(again, graded.probabilities)
    assert called[positive].mean() == point.sensitivity
    assert (~called[~positive]).mean() == point.specificity
    assert (point.positives, point.negatives) == (positive.sum(), (~positive).sum())


def decide(point: OperatingPoint, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    return probability_from_grade(probabilities, point.from_grade) >= point.threshold


def test_a_share_that_is_met_exactly_is_met() -> None:
    ranks = np.arange(20) / 20
    graded = photographs(np.repeat([2, 0], 10)[::-1], np.stack([1 - ranks, 0 * ranks, ranks, 0 * ranks, 0 * ranks], 1))
    for rule in ("sensitivity", "specificity"):
        point = fit_operating_point(graded, 2, rule, 0.9)
        assert (point.sensitivity, point.specificity) == (1, 1)
    swapped = graded.grades.copy()
    swapped[[0, 19]] = swapped[[19, 0]]
    graded = photographs(swapped, graded.probabilities)
    assert fit_operating_point(graded, 2, "specificity", 0.9).specificity == 0.9
    assert fit_operating_point(graded, 2, "sensitivity", 0.9).sensitivity == 0.9


def test_a_threshold_lies_between_photographs_so_that_rounding_decides_nothing() -> None:
    graded = simulated(200)
    point = fit_operating_point(graded, 2)
    rounded = graded.probabilities.astype(np.float32).astype(np.float64)
    assert (decide(point, rounded) == decide(point, graded.probabilities)).all()


def test_nobody_is_positive_where_a_specificity_of_1_asks_for_it() -> None:
    certain = np.tile([0.0, 0, 1, 0, 0], (4, 1))
    point = fit_operating_point(photographs(np.array([0, 0, 2, 2]), certain), 2, "specificity", 1.0)
    assert (point.sensitivity, point.specificity) == (0, 1)
    assert not decide(point, certain).any()


def test_targets_belong_to_their_rules() -> None:
    point = fit_operating_point(simulated(100), 2)
    assert point.target == 0.9
    for change in ({"target": None}, {"rule": "fda"}, {"from_grade": 1}, {"threshold": float("nan")}, {"other": 1}):
        with pytest.raises(ValidationError):
            OperatingPoint.model_validate({**point.model_dump(), **change})
