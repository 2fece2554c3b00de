"""Ranking: weak networks are told from chance by their AUC, and the number that could tell is right."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from retinagrade.evaluation.integrity.checks import check_predictions
from retinagrade.evaluation.integrity.ranking_test import USEFUL_AUC, ranking_tests
from retinagrade.evaluation.predictions import graded_predictions
from retinagrade.grades import N_GRADES
from tests.evaluation.tables import predictions, some_grades


def test_a_weak_network_that_ranks_is_not_accused() -> None:
    """Its predicted grades look independent, its AUC doesn't."""
    generator = np.random.default_rng(2)
    grades = some_grades(400)
    seen = (grades >= 3) + 1.2 * generator.standard_normal(400)
    noise = generator.random(400)
    severe = 0.05 + 0.04 / (1 + np.exp(-3 * seen))  # too small to change the predicted grade
    rest = 1 - severe[:, None]
    probabilities = np.column_stack([rest[:, 0] * noise, rest[:, 0] * (1 - noise), 0 * noise, severe, 0 * noise])
    table = predictions(grades, skill=0)
    table[[f"p{grade}" for grade in range(N_GRADES)]] = probabilities
    (finding,) = check_predictions(table)
    assert (finding.code, finding.verdict) == ("weak-grades", "chance")
    assert "The probabilities say otherwise" in finding.message
    assert "AUC" in finding.message


@pytest.mark.parametrize("shares", [(0.8, 0.2), (0.5, 0.5)])
def test_that_many_photographs_tell_a_useful_network_from_chance(shares: tuple[float, float]) -> None:
    generator = np.random.default_rng(0)
    probabilities = np.full((1000, N_GRADES), 0.2)
    needed = ranking_tests(np.where(generator.random(1000) < shares[1], 3, 0), probabilities)[0].photographs
    told = []
    for _ in range(100):
        truths = generator.random(needed) < shares[1]
        scores = norm.cdf(generator.standard_normal(needed) + truths * np.sqrt(2) * norm.ppf(USEFUL_AUC))
        probabilities = np.column_stack([1 - scores, 0 * scores, scores, 0 * scores, 0 * scores])
        told.append(ranking_tests(np.where(truths, 2, 0), probabilities)[0].tells)
    assert np.mean(told) >= 0.95


def test_photographs_without_both_kinds_have_no_ranking() -> None:
    graded = graded_predictions(predictions(np.array([0, 1, 0]), skill=1))
    assert ranking_tests(graded.grades, graded.probabilities) == []
