"""Cut points: the maximum of the likelihood if it exists, and finite probabilities otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.optimize import approx_fprime, minimize
from scipy.stats import norm

from retinagrade.models.cut_points import (
    SIGMA_RANGE,
    STANDARD,
    CutPoints,
    _log_interval,
    _negative_log_likelihood,
    fit_cut_points,
)
from retinagrade.models.outputs import RegressionOutput

photographs = st.lists(st.tuples(st.floats(-20, 20), st.integers(0, 4)), min_size=1, max_size=40)


def probabilities(cut_points: CutPoints, predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    return RegressionOutput(cut_points).probabilities(torch.tensor(predicted)[:, None]).numpy()


def plain_loss(
    cuts: NDArray[np.float64], sigma: float, predicted: NDArray[np.float64], grades: NDArray[np.int64]
) -> float:
    """-log likelihood as a textbook has it."""
    if sigma <= 0 or (np.diff(cuts) <= 0).any():
        return np.inf
    edges = np.array([-np.inf, *cuts, np.inf])
    p = [
        norm.cdf((edges[grade + 1] - score) / sigma) - norm.cdf((edges[grade] - score) / sigma)
        for score, grade in zip(predicted, grades, strict=True)
    ]
    return float(-np.log(np.maximum(p, 1e-300)).sum())


@pytest.mark.parametrize("seed", [0, 1])
def test_no_other_cut_points_are_more_likely(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grades = np.concatenate([np.arange(5), rng.choice(5, 75, p=[0.5, 0.1, 0.2, 0.1, 0.1])])
    predicted = 0.6 + 0.6 * grades + rng.normal(0, 0.5, 80)  # shrunk to the middle, as least squares does
    fitted = fit_cut_points(predicted, grades)
    found = minimize(
        lambda theta: plain_loss(theta[:4], theta[4], predicted, grades),
        [*STANDARD.cuts, STANDARD.sigma],
        method="Nelder-Mead",
        options={"maxiter": 20_000, "maxfev": 20_000, "xatol": 1e-7, "fatol": 1e-10},
    )
    assert plain_loss(np.array(fitted.cuts), fitted.sigma, predicted, grades) <= found.fun + 1e-6
    np.testing.assert_allclose([*fitted.cuts, fitted.sigma], found.x, atol=1e-3)
    assert fitted.photographs == tuple(np.bincount(grades))


def test_the_gradient_is_the_derivative_of_the_likelihood() -> None:
    rng = np.random.default_rng(0)
    scores, grades, weights = rng.normal(0, 1.5, 30), rng.integers(0, 5, 30), rng.random(30)
    theta = np.array([-1.0, 0.7, 1.1, 0.4, 1.3])
    expected = approx_fprime(theta, lambda x: _negative_log_likelihood(x, scores, grades, weights)[0], 1e-7)
    np.testing.assert_allclose(_negative_log_likelihood(theta, scores, grades, weights)[1], expected, atol=1e-5)


def test_intervals_are_exact_far_out() -> None:
    lower, upper = np.array([30.0, -31.0, -np.inf, 30.0]), np.array([31.0, -30.0, -30.0, np.inf])
    np.testing.assert_allclose(_log_interval(lower, upper), norm.logsf(30), rtol=1e-9)


@given(photographs)
@settings(max_examples=150, deadline=None)
def test_any_photographs_give_finite_probabilities(known: list[tuple[float, int]]) -> None:
    predicted, grades = np.array([score for score, _ in known]), np.array([grade for _, grade in known])
    fitted = fit_cut_points(predicted, grades)
    assert np.isfinite(fitted.cuts).all()
    assert (np.diff(fitted.cuts) > 0).all()
    p = probabilities(fitted, np.array([*predicted, -5.0, 0.0, 2.0, 9.0]))
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-12)
    assert ((p >= 0) & (p <= 1)).all()
    # The order of rows must not matter beyond rounding: nothing is joined by position.
    again = fit_cut_points(predicted[::-1], grades[::-1])
    np.testing.assert_allclose(probabilities(again, predicted), p[: len(known)], atol=1e-4)


@pytest.mark.parametrize("missing", range(5))
def test_a_missing_grade_is_unlikely_and_not_impossible(missing: int) -> None:
    rng = np.random.default_rng(missing)
    grades = rng.choice([grade for grade in range(5) if grade != missing], 100)
    predicted = grades + rng.normal(0, 0.4, 100)
    fitted = fit_cut_points(predicted, grades)
    p = probabilities(fitted, np.clip([missing], predicted.min(), predicted.max()))
    assert 1e-4 < p[0, missing] < 0.5
    assert (probabilities(fitted, predicted).argmax(1) == grades).mean() > 0.6
    assert 0.1 < fitted.sigma < 0.8


def test_constant_predictions_get_the_shares_of_the_grades() -> None:
    grades = np.repeat(np.arange(5), [50, 10, 25, 10, 5])
    fitted = fit_cut_points(np.full(100, 1.1), grades)
    np.testing.assert_allclose(probabilities(fitted, np.array([1.1])), [[0.5, 0.1, 0.25, 0.1, 0.05]], atol=1e-4)
    assert fitted.sigma == pytest.approx(STANDARD.sigma)


def test_predictions_without_information_get_the_shares_of_the_grades() -> None:
    grades = np.tile(np.arange(5), 40)
    fitted = fit_cut_points((4.0 - grades).astype(np.float64), grades)  # worse than none: the slope would be negative
    np.testing.assert_allclose(probabilities(fitted, np.array([0.0, 4.0])), 0.2, atol=0.05)
    assert fitted.sigma == pytest.approx(SIGMA_RANGE[1])


def test_separated_grades_keep_some_doubt() -> None:
    grades = np.tile(np.arange(5), 3)
    fitted = fit_cut_points(grades.astype(float), grades)
    assert fitted.sigma >= SIGMA_RANGE[0]
    assert (probabilities(fitted, grades.astype(float)).argmax(1) == grades).all()
    np.testing.assert_allclose(fitted.cuts, STANDARD.cuts, atol=0.3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cuts": (0.5, 2.5, 1.5, 3.5)}, "must increase"),
        ({"cuts": (0.5, 1.5, 1.5, 3.5)}, "must increase"),
        ({"cuts": (0.5, 1.5, 2.5, float("inf"))}, "finite"),
        ({"sigma": 0.0}, "greater than 0"),
        ({"sigma": float("nan")}, "finite"),
        ({"offset": 1}, "Extra inputs"),
    ],
)
def test_cut_points_that_are_none_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CutPoints.model_validate({**STANDARD.model_dump(), **change})
