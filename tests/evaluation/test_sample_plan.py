"""Planned numbers of photographs agree with a direct enumeration of all outcomes."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy.stats import binomtest

from retinagrade.errors import UsageError
from retinagrade.evaluation.sample_plan import plan


def enumerated_power(number: int, bar: Fraction, true: Fraction, confidence: Fraction) -> float:
    """Power of the exact test, by adding all outcomes in exact fractions."""

    def probability(right: int, share: Fraction) -> Fraction:
        return comb(number, right) * share**right * (1 - share) ** (number - right)

    tail, power = Fraction(0), Fraction(0)
    for right in range(number, -1, -1):
        tail += probability(right, bar)
        if tail > 1 - confidence:
            break
        power += probability(right, true)
    return float(power)


@pytest.mark.parametrize(("bar", "true", "confidence", "power"), [("1/2", "4/5", "19/20", "4/5"),
                         ("17/20", "97/100", "19/20", "9/10"), ("3/4", "9/10", "9/10", "4/5")])  # fmt: skip
def test_plans_agree_with_an_enumeration(bar: str, true: str, confidence: str, power: str) -> None:
    values = [Fraction(text) for text in (bar, true, confidence)]
    made = plan(float(values[0]), float(values[1]), confidence=float(values[2]), power=float(Fraction(power)))
    powers = [enumerated_power(number, *values) for number in range(made.photographs - 1, made.photographs + 12)]
    assert powers[0] < Fraction(power) <= min(powers[1:])
    assert made.power == pytest.approx(powers[1], abs=1e-9)


def test_the_allowed_mistakes_are_the_most_that_show_the_bar() -> None:
    made = plan(0.85, 0.92)
    for mistakes, shown in ((made.mistakes, True), (made.mistakes + 1, False)):
        interval = binomtest(made.photographs - mistakes, made.photographs, alternative="greater").proportion_ci(0.95)
        assert (interval.low > 0.85) == shown


@pytest.mark.parametrize("measure", ["sensitivity", "specificity"])
def test_the_total_holds_enough_photographs_of_the_kind(measure: str) -> None:
    made = plan(0.85, 0.95, measure=measure, prevalence=0.1)  # type: ignore[arg-type]
    assert made.total is not None
    kind = np.random.default_rng(0).random((2000, made.total)) < (0.1 if measure == "sensitivity" else 0.9)
    assert 0.75 < (kind.sum(axis=1) >= made.photographs).mean() < 0.9
    assert f"{made.total:,} photographs in all" in str(made)


def test_what_no_number_shows_is_refused() -> None:
    for bar, true in ((0.9, 0.9), (0.9, 0.8), (0.9, 0.90001)):
        with pytest.raises(UsageError):
            plan(bar, true)
