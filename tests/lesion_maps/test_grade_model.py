"""The grade model: compared with scikit-learn, and valid for any weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from retinagrade.evaluation.fitting.ordinal import STRENGTHS, choose_strengths, fit_ordinal
from retinagrade.evaluation.metrics import Undefined
from retinagrade.lesion_maps.grade_model import OrdinalModel, temper

FINITE = st.floats(-1e3, 1e3)


@given(
    arrays(float, (4, 3), elements=FINITE), arrays(float, 4, elements=FINITE), arrays(float, (5, 3), elements=FINITE)
)
def test_any_weights_give_probabilities(weights: np.ndarray, biases: np.ndarray, numbers: np.ndarray) -> None:
    model = OrdinalModel(
        names=("a", "b", "c"), means=(0, 1, 2), deviations=(1, 2, 3), weights=weights.tolist(), biases=biases.tolist()
    )
    probabilities = model.probabilities(numbers)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert OrdinalModel.model_validate_json(model.model_dump_json()) == model


def test_the_fit_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(3, 5, (300, 4))
    levels = np.clip(np.round(numbers[:, 0] / 5 + rng.normal(0, 0.5, 300) + 1), 0, 3).astype(int)
    model = fit_ordinal("abcd", numbers, levels, 3, [0.3] * 3)
    for level in (1, 2, 3):
        reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=5000))
        expected = reference.fit(numbers, levels >= level).predict_proba(numbers)[:, 1]
        reached = model.probabilities(numbers)[:, level:].sum(axis=1)
        assert np.abs(reached - expected).max() < 0.05  # where levels cross, the lower one holds
        assert np.median(np.abs(reached - expected)) < 1e-6


def test_repeated_rows_with_less_weight_change_nothing() -> None:
    rng = np.random.default_rng(1)
    numbers, levels = rng.normal(size=(80, 2)), rng.integers(0, 2, 80)
    once = fit_ordinal("ab", numbers, levels, 1, [0.3])
    twice = fit_ordinal("ab", np.vstack([numbers] * 2), np.hstack([levels] * 2), 1, [0.3], np.full(160, 0.5))
    np.testing.assert_allclose(once.probabilities(numbers), twice.probabilities(numbers), atol=1e-3)


def test_strengths_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    numbers, groups = rng.normal(size=(150, 12)), np.arange(150) % 5
    levels = np.clip(np.round(numbers[:, 0] + rng.normal(0, 0.7, 150) + 1), 0, 2).astype(int)
    weights = rng.uniform(0.5, 2, 150)
    chosen = choose_strengths(numbers, levels, 2, groups, weights)
    for level, strength in zip((1, 2), chosen, strict=True):
        losses = []
        for candidate in STRENGTHS:
            loss = 0.0
            for train, held_out in LeaveOneGroupOut().split(numbers, groups=groups):
                model = make_pipeline(StandardScaler(), LogisticRegression(C=candidate, max_iter=5000))
                model.fit(numbers[train], levels[train] >= level, logisticregression__sample_weight=weights[train])
                predicted = model.predict_proba(numbers[held_out])
                truth = levels[held_out] >= level
                loss += log_loss(truth, predicted, sample_weight=weights[held_out], normalize=False, labels=[0, 1])
            losses.append(loss)
        assert strength == STRENGTHS[int(np.argmin(losses))]


def test_noise_is_held_back_more_than_a_signal() -> None:
    rng = np.random.default_rng(4)
    numbers, groups = rng.normal(size=(200, 10)), np.arange(200) % 4
    signal = (numbers[:, 0] > 0).astype(int)
    levels = signal + signal * rng.integers(0, 2, 200)  # level 1 is the signal's, level 2 is chance
    strong, weak = choose_strengths(numbers, levels, 2, groups)
    assert strong > weak


@pytest.mark.parametrize("groups", [np.zeros(8, int), np.repeat([0, 1], 4)])
def test_groups_that_leave_one_side_of_a_level_choose_nothing(groups: np.ndarray) -> None:
    levels = np.repeat([0, 1], 4)
    assert choose_strengths(np.arange(8.0)[:, None], levels, 1, groups) == (STRENGTHS[0],)


def test_a_missing_level_is_undefined() -> None:
    with pytest.raises(Undefined, match="level 2"):
        fit_ordinal("a", np.arange(4.0)[:, None], np.array([0, 1, 0, 1]), 2, [1.0, 1.0])


def test_parts_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValidationError):
        OrdinalModel(names=("a",), means=(0, 1), deviations=(1,), weights=((1,),), biases=(0,))


@given(arrays(float, (3, 5), elements=st.floats(0.001, 1)), st.floats(0.1, 10))
def test_tempering_is_a_softmax(values: np.ndarray, temperature: float) -> None:
    p = values / values.sum(axis=1, keepdims=True)
    expected = softmax(log_softmax(np.log(p), axis=1) / temperature, axis=1)
    np.testing.assert_allclose(temper(p, temperature), expected, rtol=1e-6, atol=1e-9)
