"""Changes of an ordinal model: of its scale, or of all its weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinagrade.evaluation.fitting.adaptation import (
    ADAPTATION_STRENGTHS,
    adapt_model,
    change_scale,
    change_weights,
    sharpen,
)
from retinagrade.lesion_maps.grade_model import OrdinalModel
from tests.evaluation.lesion_numbers import draw, fit


def _loss(model: OrdinalModel, photographs: tuple[np.ndarray, np.ndarray, list[str]]) -> float:
    numbers, grades, _ = photographs
    return float(-np.log(model.probabilities(numbers)[np.arange(len(grades)), grades] + 1e-9).mean())


@given(shift=st.floats(-2, 2), seed=st.integers(0, 50), count=st.integers(2, 40))
@settings(max_examples=15)
def test_every_change_is_a_model_that_suits_the_photographs_better(shift: float, seed: int, count: int) -> None:
    model, photographs = fit(), draw(count, seed, shift)
    scaled = change_scale(model, *photographs[:2])
    refitted = change_weights(model, *photographs[:2], ADAPTATION_STRENGTHS)
    assert len(refitted) == len(ADAPTATION_STRENGTHS)
    logits = [each.logits(photographs[0]) for each in (model, scaled)]
    before, after = (np.argsort(each[:, 0], kind="stable") for each in logits)
    assert np.array_equal(before, after)  # a change of the scale keeps the order of the photographs
    distances = [np.linalg.norm(np.array(each.weights) - scaled.weights) for each in refitted]
    assert all(np.diff(distances) >= -1e-9)  # a stronger change is allowed to go farther
    for each in (scaled, *refitted):
        assert np.allclose(each.probabilities(photographs[0]).sum(axis=1), 1)


def test_many_photographs_in_another_order_need_new_weights() -> None:
    model, order = fit(), (3, 2, 1, 0)
    numbers, grades, patients = draw(300, 7, order=order)
    groups = np.unique(patients, return_inverse=True)[1]
    adapted = adapt_model(model, numbers, grades, groups)
    assert adapted.method == "new-fit"
    assert adapted.strength in ADAPTATION_STRENGTHS
    new = draw(300, 8, order=order)
    assert _loss(adapted.model, new) < _loss(change_scale(model, numbers, grades), new) < _loss(model, new)


def test_few_photographs_change_the_scale_alone() -> None:
    numbers, grades, patients = draw(40, 9, shift=-1.0)
    groups = np.unique(patients, return_inverse=True)[1]
    assert adapt_model(fit(), numbers, grades, groups).method == "grade-scale"


@pytest.mark.parametrize("levels", [[0, 0, 0, 0], [0, 0, 4, 4], [1, 2, 1, 2]])
def test_absent_levels_are_no_obstacle(levels: list[int]) -> None:
    numbers = draw(4, 11)[0]
    for model in (
        change_scale(fit(), numbers, np.array(levels)),
        *change_weights(fit(), numbers, np.array(levels), (0.1,)),
    ):
        assert np.isfinite(model.probabilities(numbers)).all()


def test_one_patient_decides_nothing() -> None:
    numbers, grades, _ = draw(10, 12, shift=2.0)
    assert adapt_model(fit(), numbers, grades, np.zeros(10, np.int64)).method == "unchanged"


def test_the_sharpened_grade_is_the_median_one() -> None:
    numbers = draw(300, 13)[0]
    model = fit()
    median = np.cumprod(model.logits(numbers) >= 0, axis=1).sum(axis=1)
    agree = [np.mean(each.probabilities(numbers).argmax(axis=1) == median) for each in (model, sharpen(model))]
    assert agree[0] < agree[1]
    assert agree[1] > 0.95
