from typing import Literal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.datasets.balance import Balance, balance, describe_repetition, inverse_frequency_weights


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(1, 60), st.integers(0, 9))
def test_every_present_grade_is_drawn_n_times_and_evenly(grades: list[int], per_grade: int, seed: int) -> None:
    known = np.array(grades)
    rows = balance(known, per_grade, np.random.default_rng(seed))
    assert {grade: int((known[rows] == grade).sum()) for grade in set(grades)} == dict.fromkeys(grades, per_grade)
    for grade in set(grades):
        times = np.bincount(rows[known[rows] == grade], minlength=len(known))[known == grade]
        assert times.max() - times.min() <= 1


def test_the_report_s_numbers_of_photographs() -> None:
    grades = np.repeat(np.arange(5), [23228, 2199, 4763, 786, 638])
    rows = balance(grades, 638, np.random.default_rng(0))
    assert np.bincount(grades[rows]).tolist() == [638] * 5
    assert len(np.unique(rows)) == 5 * 638  # only under-sampling


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.sampled_from(["square-root", "inverse-frequency"]))
def test_rules_keep_the_number_of_photographs_and_change_the_proportions(
    grades: list[int], target: Literal["square-root", "inverse-frequency"]
) -> None:
    known = np.array(grades)
    rows = balance(known, target, np.random.default_rng(0))
    assert len(rows) == len(known)
    counts = np.bincount(known)[np.unique(known)]
    weights = np.sqrt(counts) if target == "square-root" else np.ones(len(counts))
    expected = weights / weights.sum() * len(known)
    assert (np.abs(np.bincount(known[rows])[np.unique(known)] - expected) < 1).all()


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=80),
    st.integers(1, 60) | st.sampled_from(["square-root", "inverse-frequency"]),
)
def test_a_repetition_is_described_where_a_photograph_is_drawn_twice(grades: list[int], target: Balance) -> None:
    known = np.array(grades)
    most = np.bincount(balance(known, target, np.random.default_rng(0))).max()
    text = describe_repetition(known, target)
    assert (text is not None) == (most > 1)
    assert text is None or f"up to {most} times" in text


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80))
def test_weights_make_present_grades_equal_and_have_a_mean_of_1(grades: list[int]) -> None:
    known = np.array(grades)
    weights = inverse_frequency_weights(known)
    counts = np.bincount(known, minlength=5)
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(weights[known].mean(), 1)
    np.testing.assert_allclose((weights * counts)[counts > 0], len(known) / (counts > 0).sum())
    if (counts > 0).all():
        np.testing.assert_allclose(weights, len(known) / (5 * counts))
