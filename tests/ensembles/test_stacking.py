"""Stacking: a regression and the report's network, kept as plain numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from retinagrade.ensembles.scores import MemberScores
from retinagrade.ensembles.stacking import SecondStage, apply_second_stage, fit_logistic, fit_network
from retinagrade.evaluation.fitting.out_of_fold import out_of_fold
from retinagrade.evaluation.metrics import Undefined, log_loss
from tests.ensembles.simulated import some_scores


def test_the_plain_numbers_are_the_regression() -> None:
    scores = some_scores(100, 2)
    fitted = fit_logistic(scores)
    inputs = np.log(np.maximum(scores.probabilities, 1e-3)).reshape(100, 10)
    expected = LogisticRegression(C=0.1, max_iter=5000).fit(inputs, scores.grades).predict_proba(inputs)
    again = SecondStage.model_validate(json.loads(fitted.model_dump_json()))
    assert apply_second_stage(again, scores.probabilities) == pytest.approx(expected)


@pytest.mark.parametrize("grades", [[0, 2], [1, 3, 4]])
def test_grades_that_were_never_seen_are_never_given(grades: list[int]) -> None:
    scores = some_scores(80, 2)
    scores = replace(scores, grades=np.array(grades)[scores.grades % len(grades)])
    combined = apply_second_stage(fit_logistic(scores), scores.probabilities)
    assert combined.sum(axis=1) == pytest.approx(1)
    assert (combined[:, grades] > 0).all()
    assert not np.delete(combined, grades, axis=1).any()
    inputs = np.log(np.maximum(scores.probabilities, 1e-3)).reshape(80, 10)
    expected = LogisticRegression(C=0.1, max_iter=5000).fit(inputs, scores.grades).predict_proba(inputs)
    assert combined[:, grades] == pytest.approx(expected)


def test_the_network_is_the_reports() -> None:
    scores = some_scores(120, 3)
    fitted = fit_network(scores)
    assert [np.shape(layer.coefficients) for layer in fitted.layers] == [(15, 512), (512, 128), (128, 5)]
    assert [len(layer.intercepts) for layer in fitted.layers] == [512, 128, 5]
    assert fit_network(scores) == fitted
    combined = apply_second_stage(fitted, scores.probabilities)
    assert combined.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("fit", [fit_logistic, fit_network])
def test_second_stages_learn_whom_to_believe(fit: object) -> None:
    """One member knows nothing, the other takes every grade for the next one: an average can't put that right."""
    good = some_scores(150, 1, skill=3)
    rolled, noise = np.roll(good.probabilities, 1, axis=2), some_scores(150, 1, seed=1, skill=0).probabilities
    scores = MemberScores(good.grades, np.concatenate([noise, rolled], axis=1), good.patients)
    fitted = out_of_fold(scores, lambda seen, others: apply_second_stage(fit(seen), others))  # type: ignore[operator]
    assert (fitted.argmax(axis=1) == scores.grades).mean() > 0.7
    assert (scores.probabilities.mean(axis=1).argmax(axis=1) == scores.grades).mean() < 0.3
    assert log_loss(scores.grades, fitted) < 1


def test_what_can_not_be_learnt_says_why() -> None:
    scores = some_scores(20, 2)
    with pytest.raises(Undefined, match="fewer than two grades"):
        fit_logistic(replace(scores, grades=np.zeros(20, int)))
    with pytest.raises(Undefined, match="one patient"):
        fit_network(replace(scores, patients=np.zeros(20, int)))
