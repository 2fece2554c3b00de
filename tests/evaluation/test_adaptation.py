"""The gain of an adaptation, on new patients of a site."""

from __future__ import annotations

import numpy as np
import pytest

from retinagrade.errors import UsageError
from retinagrade.evaluation import adaptation
from retinagrade.evaluation.adaptation import LEAST_PHOTOGRAPHS, adaptation_gain
from tests.evaluation.lesion_numbers import draw, fit

RESAMPLES = 200


@pytest.fixture(autouse=True)
def _one_division(monkeypatch: pytest.MonkeyPatch) -> None:
    """One division of the patients into folds, to save time."""
    monkeypatch.setattr(adaptation, "REPEATS", 1)


def test_a_shifted_scale_is_found_and_put_right() -> None:
    model = fit()
    numbers, grades, patients = draw(50, 1, shift=-1.0)
    found = adaptation_gain(model, numbers, grades, patients, resamples=RESAMPLES)
    assert found.better
    assert found.method != "unchanged"
    assert found.kappa.difference is not None
    assert found.kappa.difference > 0.2
    others, truths, _ = draw(500, 2, shift=-1.0)
    errors = [np.abs(each.probabilities(others).argmax(axis=1) - truths).mean() for each in (model, found.model)]
    assert errors[1] < 0.7 * errors[0]
    assert np.allclose(found.probabilities.sum(axis=1), 1)
    assert [point.photographs for point in found.curve] == sorted(point.photographs for point in found.curve)
    assert found.needed is None
    assert all(found.sentences)


def test_nothing_is_better_where_nothing_differs() -> None:
    model = fit()
    found = adaptation_gain(model, *draw(30, 10), resamples=RESAMPLES)
    assert not found.better


def test_the_same_seed_gives_the_same_adaptation() -> None:
    numbers, grades, _ = draw(20, 3, shift=0.8)
    first, second = (adaptation_gain(fit(), numbers, grades, [""] * 20, resamples=50) for _ in range(2))
    assert np.array_equal(first.probabilities, second.probabilities)
    assert (first.model, first.kappa, first.curve) == (second.model, second.kappa, second.curve)
    assert first.patients == 20  # an unknown patient is a patient of its own


@pytest.mark.parametrize(
    ("count", "grade", "patient"), [(LEAST_PHOTOGRAPHS - 1, None, None), (30, 2, None), (30, None, "one")]
)
def test_too_little_is_refused(count: int, grade: int | None, patient: str | None) -> None:
    numbers, grades, patients = draw(count, 5)
    grades = grades if grade is None else np.full(count, grade)
    with pytest.raises(UsageError):
        adaptation_gain(fit(), numbers, grades, patients if patient is None else [patient] * count)
