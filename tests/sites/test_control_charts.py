"""Limits of control charts: exact where they can be, wider for patients with several photographs, rarely crossed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact, norm

from retinagrade.sites.control_charts import (
    FEWEST,
    Chart,
    Number,
    Sample,
    Spread,
    design_effect,
    draw_charts,
    share_limits,
)

SHARE, MEAN = Number("share", is_share=True, is_main=True), Number("mean", is_share=False, is_main=True)


def share(positive: int, photographs: int) -> Sample:
    return Sample((np.arange(photographs) < positive).astype(float), np.arange(photographs))


@settings(max_examples=40, deadline=None)
@given(
    positive=st.integers(0, 150),
    photographs=st.integers(150, 300),
    size=st.integers(30, 120),
    rate=st.floats(1e-5, 0.1),
)
def test_limits_of_shares_are_those_of_fishers_exact_test(
    positive: int, photographs: int, size: int, rate: float
) -> None:
    low, high = (round(limit * size) for limit in share_limits(share(positive, photographs), size, rate))

    def p_value(count: int, side: str) -> float:
        table = [[count, size - count], [positive, photographs - positive]]
        return float(fisher_exact(table, alternative=side).pvalue)

    assert 0 <= low <= high <= size
    if positive < photographs and high < size:
        assert p_value(high, "greater") > rate / 2 * (1 - 1e-6) >= p_value(high + 1, "greater") * (1 - 1e-5)
    if positive > 0 and low > 0:
        assert p_value(low, "less") > rate / 2 * (1 - 1e-6) >= p_value(low - 1, "less") * (1 - 1e-5)


def test_photographs_of_one_patient_tell_less() -> None:
    rng = np.random.default_rng(0)
    eyes = np.repeat(rng.random(200) < 0.3, 2).astype(float)  # both eyes alike
    together, apart = Sample(eyes, np.arange(400) // 2), Sample(eyes, np.arange(400))
    assert design_effect(together) == pytest.approx(2)
    assert design_effect(apart) == 1
    wide, narrow = share_limits(together, 100, 1e-3), share_limits(apart, 100, 1e-3)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert Spread.of(together).variance == pytest.approx(2 * Spread.of(apart).variance)


def test_limits_of_means_follow_the_numbers_of_photographs_and_the_skewness() -> None:
    rng = np.random.default_rng(1)
    skewed = Sample(rng.exponential(1, 3000), np.arange(3000))
    spread = Spread.of(skewed)
    widths = []
    for size in (50, 200, 2000, 10**6):
        low, high = spread.limits([1 / size], [size], 1e-3)
        widths.append(high - low)
        assert size > 500 or high - spread.mean > spread.mean - low > 0  # exponential numbers stray further to above
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] > 0.5 * widths[-2]  # the error of the reference stays
    crossed = sum(
        not low <= rng.exponential(1, 100).mean() <= high for low, high in [spread.limits([0.01], [100], 0.01)] * 2000
    )
    assert crossed <= 40


def test_a_change_is_found_in_its_period_and_a_slow_one_by_the_moving_average() -> None:
    rng = np.random.default_rng(2)

    def sample(values: np.ndarray) -> Sample:
        return Sample(values.astype(float), np.arange(len(values)))

    def month(positive: float, shift: float) -> dict[str, Sample]:
        return {"share": sample(rng.random(400) < positive), "mean": sample(rng.normal(shift, 1, 400))}

    reference = {"share": sample(rng.random(1200) < 0.2), "mean": sample(rng.normal(0, 1, 1200))}
    quiet = [month(0.2, 0) for _ in range(4)]
    charts = draw_charts([SHARE, MEAN], reference, [*quiet, month(0.4, 0), month(0.2, 0.6)])
    found = {(chart.name, chart.test, at) for chart in charts for at, one in enumerate(chart.points) if one.is_alarm}
    assert not {(name, test, at) for name, test, at in found if at < 4}
    assert ("share", "share", 4) in found
    assert {("mean", "mean", 5), ("mean", "distribution", 5)} <= found
    even = norm.ppf((np.arange(1200) + 0.5) / 1200)  # a mean of exactly 0
    months = [{"mean": sample(even[1::3] + 0.15)} for _ in range(12)]
    slow = draw_charts([MEAN], {"mean": sample(even)}, months)
    assert [one.test for one in slow if any(point.is_alarm for point in one.points)] == ["slow"]


def test_what_cannot_be_judged_has_no_limits() -> None:
    reference = {"share": share(0, 200), "mean": Sample(np.zeros(200), np.arange(200)), "few": share(5, 50)}
    few = Number("few", is_share=True)
    small = {name: Sample(np.ones(FEWEST - 1), np.arange(FEWEST - 1)) for name in reference}
    empty = {name: Sample(np.zeros(0), np.zeros(0, np.int64)) for name in reference}
    charts = draw_charts([SHARE, MEAN, few], reference, [small, empty])
    assert {(chart.name, chart.test) for chart in charts} == {
        ("share", "share"), ("share", "slow"), ("mean", "distribution"),
    }  # fmt: skip
    assert not any(point.is_alarm for chart in charts for point in chart.points)
    many = {name: Sample(np.ones(40), np.arange(40)) for name in reference}
    assert all(point.is_alarm for chart in draw_charts([SHARE, MEAN], reference, [many]) for point in chart.points)


def test_quiet_years_are_quiet() -> None:
    """Skewed, rare and paired numbers; the benchmark measures the share with many more years."""
    numbers = [SHARE, MEAN, Number("rare", is_share=True), Number("skewed", is_share=False)]

    def month(rng: np.random.Generator, size: int) -> dict[str, Sample]:
        patients, shared = np.arange(size) // 2, np.repeat(rng.random(size // 2), 2)
        values = {
            "share": np.where(rng.random(size) < 0.6, shared, rng.random(size)) < 0.25,
            "mean": shared + rng.random(size),
            "rare": rng.random(size) < 0.01,
            "skewed": rng.gamma(0.3, 1, size) * (shared < 0.5),
        }
        return {name: Sample(value.astype(float), patients) for name, value in values.items()}

    def has_alarm(charts: list[Chart]) -> bool:
        return any(point.is_alarm for chart in charts for point in chart.points)

    rng = np.random.default_rng(3)
    years = [draw_charts(numbers, month(rng, 300), [month(rng, 100) for _ in range(12)]) for _ in range(4)]
    assert sum(map(has_alarm, years)) <= 1
