"""Conformal sets: crepes's own, contiguous, never empty, and right as often as stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from crepes import ConformalClassifier, WrapClassifier
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.evaluation.fitting.conformal import Conformal, fit_conformal, prediction_sets
from retinagrade.evaluation.fitting.probability_calibration import calibrate_probabilities, fit_temperature
from retinagrade.evaluation.ordinal_sets import ordinal_scores
from retinagrade.evaluation.predictions import GradedPredictions
from tests.evaluation.photographs import any_photographs, photographs, simulated

COVERAGES = st.sampled_from([0.5, 0.8, 0.9, 0.95])


@given(any_photographs(), any_photographs(), COVERAGES)
def test_the_sets_are_those_of_crepes(graded: GradedPredictions, others: GradedPredictions, coverage: float) -> None:
    known = ordinal_scores(graded.probabilities)[np.arange(len(graded)), graded.grades]
    reference = ConformalClassifier().fit(known)
    both = np.concatenate([graded.probabilities, others.probabilities])
    expected = reference.predict_set(ordinal_scores(both), confidence=coverage, smoothing=False)
    fitted = Conformal.model_validate_json(fit_conformal(graded, coverage).model_dump_json())
    assert np.array_equal(prediction_sets(fitted, both), expected.astype(bool))


class Predicted:
    """A classifier whose input are its own probabilities, as crepes wants one."""

    classes_ = np.arange(5)

    def predict_proba(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities


def nonconformity(
    probabilities: np.ndarray, classes: np.ndarray | None = None, grades: np.ndarray | None = None
) -> np.ndarray:
    scores = ordinal_scores(probabilities)
    return scores if grades is None else scores[np.arange(len(grades)), grades]


def test_the_sets_by_grade_are_those_of_crepes_with_holes_filled() -> None:
    graded, others = simulated(400), simulated(200, seed=1)
    wrapped = WrapClassifier(Predicted())
    wrapped.calibrate(graded.probabilities, graded.grades, class_cond=True, nc=nonconformity)
    p_values = wrapped.predict_p(others.probabilities, smoothing=False)
    expected = p_values >= 1 - 0.9
    sets = prediction_sets(fit_conformal(graded, 0.9, by_grade=True), others.probabilities)
    assert (sets | ~expected).all()
    for mine, theirs in zip(sets, expected, strict=True):
        inside = np.flatnonzero(theirs)
        assert np.flatnonzero(mine).tolist() == list(range(inside.min(), inside.max() + 1))


def slow_scores(probabilities: np.ndarray) -> np.ndarray:
    scores = np.zeros(5)
    taken = [int(probabilities.argmax())]
    while len(taken) < 5:
        neighbours = [grade for grade in (max(taken) + 1, min(taken) - 1) if 0 <= grade < 5]
        new = max(neighbours, key=lambda grade: probabilities[grade])
        scores[new] = sum(probabilities[grade] for grade in taken)
        taken.append(new)
    return scores


@given(any_photographs())
def test_scores_are_what_is_inside_before(graded: GradedPredictions) -> None:
    expected = np.array([slow_scores(row) for row in graded.probabilities])
    np.testing.assert_allclose(ordinal_scores(graded.probabilities), expected, atol=1e-12)


@given(any_photographs(), any_photographs(), COVERAGES, st.booleans())
def test_sets_are_contiguous_never_empty_and_hold_the_most_probable_grade(
    graded: GradedPredictions, others: GradedPredictions, coverage: float, by_grade: bool
) -> None:
    fitted = fit_conformal(graded, coverage, by_grade=by_grade)
    sets = prediction_sets(fitted, others.probabilities)
    assert sets[np.arange(len(others)), others.predicted].all()
    assert (np.abs(np.diff(np.pad(sets, ((0, 0), (1, 1))).astype(int), axis=1)).sum(axis=1) == 2).all()
    own = prediction_sets(fitted, graded.probabilities)[np.arange(len(graded)), graded.grades]
    assert own.mean() >= coverage
    assert fitted.photographs == tuple(np.bincount(graded.grades, minlength=5))
    if by_grade:
        assert all(own[graded.grades == grade].mean() >= coverage for grade in set(graded.grades))


def test_too_few_photographs_give_all_grades() -> None:
    graded = simulated(9)
    assert fit_conformal(graded, 0.9).limits == (None,) * 5
    assert prediction_sets(fit_conformal(graded, 0.9), graded.probabilities).all()
    assert None not in fit_conformal(simulated(11), 0.9).limits
    present = photographs(np.zeros(40, int), simulated(40).probabilities)
    assert [limit is None for limit in fit_conformal(present, 0.9, by_grade=True).limits] == [False, *[True] * 4]


def simulation(count: int, coverage: float, *, by_grade: bool, rounds: int) -> np.ndarray:
    """Mean coverage of grades 0 to 4, and of all photographs, where a temperature is fitted on the same photographs."""
    everything = simulated(120_000, seed=7, temperature=1.6)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(rounds):
        order = rng.permutation(120_000)
        here, there = order[:count], order[count : count + 4000]
        graded = photographs(everything.grades[here], everything.probabilities[here])
        temperature = fit_temperature(graded)
        graded = replace(graded, probabilities=calibrate_probabilities(temperature, graded.probabilities))
        fitted = fit_conformal(graded, coverage, by_grade=by_grade)
        grades = everything.grades[there]
        sets = prediction_sets(fitted, calibrate_probabilities(temperature, everything.probabilities[there]))
        right = sets[np.arange(4000), grades]
        found.append([*(right[grades == grade].mean() for grade in range(5)), right.mean()])
    mean: np.ndarray = np.mean(found, axis=0)
    return mean


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_new_photographs_are_covered_as_stated(coverage: float) -> None:
    assert simulation(400, coverage, by_grade=False, rounds=30)[-1] == pytest.approx(coverage, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("count", [100, 1000])
def test_coverage_by_simulation(count: int, coverage: float) -> None:
    overall = simulation(count, coverage, by_grade=False, rounds=500)
    assert overall[-1] == pytest.approx(coverage, abs=0.02)


@pytest.mark.slow
def test_coverage_of_every_grade_by_simulation() -> None:
    of_grades = simulation(1000, 0.9, by_grade=True, rounds=300)
    over_all = simulation(1000, 0.9, by_grade=False, rounds=300)
    assert (of_grades >= 0.88).all()
    assert over_all[:-1].min() < 0.88, "what the sets by grade are for"
