"""Grade cuts: no others have a higher kappa."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import cohen_kappa_score

from retinagrade.evaluation.fitting.grade_cuts import GradeCuts, apply_grade_cuts, expected_grade, fit_grade_cuts
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.predictions import GradedPredictions
from tests.evaluation.photographs import any_photographs, photographs, simulated


def kappa(known: np.ndarray, given_grades: np.ndarray) -> float:
    return float(cohen_kappa_score(known, given_grades, labels=range(5), weights="quadratic"))


def brute_force(graded: GradedPredictions) -> float:
    """The highest kappa of all cuts at photographs."""
    scores = expected_grade(graded.probabilities)
    possible = [*np.unique(scores), np.inf]
    return max(
        kappa(graded.grades, np.searchsorted(cuts, scores, side="right"))
        for cuts in combinations_with_replacement(possible, 4)
    )


@given(any_photographs(2, 7))
@settings(max_examples=25)
def test_as_good_as_trying_everything(graded: GradedPredictions) -> None:
    if len(set(graded.grades)) < 2:
        with pytest.raises(Undefined, match="fewer than two grades"):
            fit_grade_cuts(graded)
        return
    best = brute_force(graded)
    if best < 1e-9:
        with pytest.raises(Undefined, match="better than chance"):
            fit_grade_cuts(graded)
        return
    fitted = fit_grade_cuts(graded)
    again = GradeCuts.model_validate_json(fitted.model_dump_json())
    assert fitted.quadratic_weighted_kappa == pytest.approx(best, abs=1e-9)
    assert kappa(graded.grades, apply_grade_cuts(again, graded.probabilities)) == pytest.approx(best, abs=1e-9)


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_never_worse_than_rounding_and_any_order_gives_the_same(seed: int) -> None:
    graded = simulated(150, seed=seed)
    fitted = fit_grade_cuts(graded)
    rounded = np.rint(expected_grade(graded.probabilities)).astype(int)
    assert fitted.quadratic_weighted_kappa >= kappa(graded.grades, rounded) - 1e-12
    assert fitted.of_most_probable == pytest.approx(kappa(graded.grades, graded.predicted))
    order = np.random.default_rng(seed).permutation(150)
    again = fit_grade_cuts(photographs(graded.grades[order], graded.probabilities[order]))
    assert again.quadratic_weighted_kappa == pytest.approx(fitted.quadratic_weighted_kappa, abs=1e-12)


def test_cuts_lie_between_photographs() -> None:
    graded = photographs(np.arange(5).repeat(2), np.eye(5).repeat(2, axis=0))
    fitted = fit_grade_cuts(graded)
    assert fitted.cuts == (0.5, 1.5, 2.5, 3.5)
    assert fitted.quadratic_weighted_kappa == 1


def test_a_grade_that_is_absent_does_not_break_the_cuts() -> None:
    graded = photographs(np.array([0, 0, 2, 2, 3]), np.eye(5)[[0, 0, 2, 2, 3]])
    fitted = fit_grade_cuts(graded)
    assert list(fitted.cuts) == sorted(fitted.cuts)
    assert apply_grade_cuts(fitted, graded.probabilities).tolist() == [0, 0, 2, 2, 3]


def test_cross_validation_is_what_the_cuts_are_worth_elsewhere() -> None:
    ours = [fit_grade_cuts(simulated(60, seed=seed)) for seed in range(40)]
    inside = np.mean([fitted.quadratic_weighted_kappa for fitted in ours])
    validated = np.mean([fitted.cross_validated or 0 for fitted in ours])
    others = simulated(20_000, seed=99)
    elsewhere = np.mean([kappa(others.grades, apply_grade_cuts(fitted, others.probabilities)) for fitted in ours])
    assert abs(validated - elsewhere) < 0.02 < inside - elsewhere
    one_patient = photographs(np.array([0, 4]), np.eye(5)[[0, 4]], np.zeros(2, int))
    assert fit_grade_cuts(one_patient).cross_validated is None


def test_cuts_out_of_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="must not decrease"):
        GradeCuts(cuts=(0.5, 2.5, 1.5, 3.5), quadratic_weighted_kappa=0.5, cross_validated=None, of_most_probable=None)
