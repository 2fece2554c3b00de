"""Control charts: limits from a reference, for numbers of photographs of which two may belong to one patient.

All limits share one false-alarm rate: a year of :data:`PERIODS` quiet periods has an alarm in any chart with a
probability of at most :data:`FALSE_ALARMS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom, ks_2samp, kstwobign, t

FALSE_ALARMS: Final = 0.05
"""Probability of any alarm in a year of quiet periods."""
PERIODS: Final = 12
"""Periods of such a year."""
FEWEST: Final = 30
"""Photographs below which a period is not judged."""
FEWEST_REFERENCE: Final = 100
"""Photographs below which there is no reference."""
_FEWEST_DIFFERENT: Final = 20
"""Values that must differ from the most frequent one in the reference, so that a mean has limits."""
_LEAST_FREEDOM: Final = 5.0
_SLOW_WEIGHT: Final = 0.3
"""Weight of the newest period in a moving average; a period before counts 0.7 times as much as the next one."""
_PARTS: Final = {"main": 0.4, "other": 0.4, "slow": 0.2}
"""Shares of the false-alarm rate of the most important charts, of all others, and of moving averages."""

Test = Literal["share", "mean", "distribution", "slow"]
"""A share against exact limits; a mean; the distance of two distributions; a moving average of a share or a mean."""


@dataclass(frozen=True)
class Sample:
    """The values of one number in one period, or in all periods of the reference.

    Attributes:
        values: One value (N,) for each photograph that has one, float64; 0 or 1 for a share.
        patients: Number of each photograph's patient (N,).
    """

    values: NDArray[np.float64]
    patients: NDArray[np.int64]

    def __len__(self) -> int:
        """Returns the number of photographs."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """The mean of the values; NaN without any."""
        return float(self.values.mean()) if len(self) else float("nan")

    @property
    def number_of_patients(self) -> int:
        """The number of patients."""
        return len(np.unique(self.patients))


@dataclass(frozen=True)
class Number:
    """A number that is watched.

    Attributes:
        name: Its name.
        is_share: Whether its values are 0 and 1.
        is_main: Whether it is one of the most important numbers, which have a larger part of the false-alarm rate, and
            a moving average.
    """

    name: str
    is_share: bool
    is_main: bool = False


@dataclass(frozen=True)
class Point:
    """A period in a chart.

    Attributes:
        value: The share, mean, distance or moving average; ``None`` without photographs.
        low: Lower limit; ``None`` where the period isn't judged, or nothing is too low.
        high: Upper limit.
        photographs: Photographs that have a value.
    """

    value: float | None
    low: float | None
    high: float | None
    photographs: int

    @property
    def is_alarm(self) -> bool:
        """Whether the value lies beyond a limit."""
        if self.value is None:
            return False
        return (self.low is not None and self.value < self.low) or (self.high is not None and self.value > self.high)


@dataclass(frozen=True)
class Chart:
    """The chart of one number.

    Attributes:
        name: Name of the number.
        test: How its periods are judged.
        is_main: Whether it is one of the most important charts.
        reference: Share or mean in the reference; 0 for a distance.
        points: One point for each period after the reference, in their order.
    """

    name: str
    test: Test
    is_main: bool
    reference: float
    points: tuple[Point, ...]


def draw_charts(
    numbers: Sequence[Number], reference: Mapping[str, Sample], periods: Sequence[Mapping[str, Sample]]
) -> list[Chart]:
    """Draws the charts of all numbers: a share, or a mean and a distance; and a moving average of the main ones.

    Args:
        numbers: The numbers.
        reference: Their values in the reference, by name.
        periods: Their values in the periods that are judged, in their order.

    Returns:
        The charts. A number without enough photographs in the reference has none; nor has a mean whose values hardly
        differ there.
    """
    known = [number for number in numbers if len(reference[number.name]) >= FEWEST_REFERENCE]
    planned: list[tuple[Number, Test]] = []
    for number in known:
        if number.is_share:
            planned.append((number, "share"))
        else:
            planned += [(number, "mean")] if _varies(reference[number.name]) else []
            planned.append((number, "distribution"))
        if number.is_main and (number.is_share or _varies(reference[number.name])):
            planned.append((number, "slow"))
    parts = [_part(number, test) for number, test in planned]
    charts = []
    for (number, test), part in zip(planned, parts, strict=True):
        rate = FALSE_ALARMS / PERIODS * _PARTS[part] / parts.count(part)
        points = _DRAWN[test](
            reference[number.name], [period[number.name] for period in periods], number.is_share, rate
        )
        centre = 0.0 if test == "distribution" else reference[number.name].mean
        charts.append(Chart(number.name, test, number.is_main and test != "slow", centre, tuple(points)))
    return charts


def _part(number: Number, test: Test) -> str:
    return "slow" if test == "slow" else "main" if number.is_main else "other"


def _varies(sample: Sample) -> bool:
    _, counts = np.unique(sample.values, return_counts=True)
    return len(sample) - int(counts.max()) >= _FEWEST_DIFFERENT


def _shares(reference: Sample, periods: Sequence[Sample], _is_share: bool, rate: float) -> list[Point]:
    sizes = {len(period) for period in periods if len(period) >= FEWEST}
    limits = {size: share_limits(reference, size, rate) for size in sizes}
    return [_point(period, *limits.get(len(period), (None, None))) for period in periods]


def _means(reference: Sample, periods: Sequence[Sample], _is_share: bool, rate: float) -> list[Point]:
    spread = Spread.of(reference)
    limits = [spread.limits([1 / len(each)], [len(each)], rate) if len(each) else (0.0, 0.0) for each in periods]
    return [_point(period, *both) for period, both in zip(periods, limits, strict=True)]


def _point(period: Sample, low: float | None, high: float | None) -> Point:
    """Returns the point of a period, without limits where it has too few photographs."""
    if len(period) < FEWEST:
        low = high = None
    return Point(period.mean if len(period) else None, low, high, len(period))


def _distances(reference: Sample, periods: Sequence[Sample], _is_share: bool, rate: float) -> list[Point]:
    """Returns Kolmogorov and Smirnov's distances; for their limits patients count: the eyes of one may be alike."""
    far, of_reference = float(kstwobign.isf(rate)), reference.number_of_patients
    points = []
    for period in periods:
        if len(period) < FEWEST:
            points.append(Point(None, None, None, len(period)))
            continue
        distance = float(ks_2samp(reference.values, period.values, method="asymp").statistic)
        patients = period.number_of_patients
        limit = min(1.0, far * float(np.sqrt((of_reference + patients) / (of_reference * patients))))
        points.append(Point(distance, None, limit, len(period)))
    return points


def share_limits(reference: Sample, photographs: int, rate: float) -> tuple[float, float]:
    """Returns the exact limits of a share: beta-binomial ones, the same as those of Fisher's exact test.

    Both numbers of photographs are divided by the design effect: photographs of one patient tell less than
    photographs of several.

    Args:
        reference: Values of the reference, 0 and 1.
        photographs: Photographs of the period.
        rate: Probability that a quiet period lies beyond the limits.

    Returns:
        The lowest and the highest share of a quiet period.

    Example:
        >>> quiet = Sample(np.repeat([0.0, 1.0], [270, 30]), np.arange(300))
        >>> share_limits(quiet, 100, 0.001)
        (0.01, 0.24)
    """
    effect = design_effect(reference)
    total, positive = len(reference) / effect, float(reference.values.sum()) / effect
    number = max(1, round(photographs / effect))
    counts = np.arange(number + 1)
    low, high = 0, number
    if total > positive:
        masses = betabinom.pmf(counts, number, positive + 1, total - positive)
        above = np.append(np.cumsum(masses[::-1])[::-1][1:], 0.0)
        high = int(np.argmax(above <= rate / 2))
    if positive > 0:
        masses = betabinom.pmf(counts, number, positive, total - positive + 1)
        low = int(np.argmax(np.cumsum(masses) > rate / 2))
    return low / number, high / number


def design_effect(sample: Sample) -> float:
    """Returns by how much the variance of a share grows because patients have several photographs; at least 1.

    Example:
        >>> both_eyes_alike = Sample(np.repeat([0.0, 1.0], [60, 40]), np.arange(100) // 2)
        >>> design_effect(both_eyes_alike)
        2.0
    """
    share = sample.mean
    variance = share * (1 - share)
    return max(1.0, round(Spread.of(sample).variance / variance, 9)) if variance > 0 else 1.0


@dataclass(frozen=True)
class Spread:
    """How a number varies in the reference.

    Attributes:
        mean: Its mean.
        variance: Variance of a sum over patients, for each photograph.
        third: Third moment likewise, which says how skewed the number is.
        photographs: Photographs of the reference.
        freedom: Degrees of freedom of the variance; few where a few patients make up most of it.
    """

    mean: float
    variance: float
    third: float
    photographs: int
    freedom: float

    @classmethod
    def of(cls, sample: Sample) -> Spread:
        """Measures the spread of the reference."""
        _, numbers = np.unique(sample.patients, return_inverse=True)
        sums = np.bincount(numbers, weights=sample.values - sample.mean)
        second, third, fourth = (float((sums**power).sum()) for power in (2, 3, 4))
        freedom = 2 * len(sums) / (len(sums) * fourth / second**2 - 1) if second else 1.0
        return cls(
            sample.mean,
            second / len(sample),
            third / len(sample),
            len(sample),
            min(len(sums) - 1.0, max(_LEAST_FREEDOM, freedom)),
        )

    def limits(self, weights: Sequence[float], photographs: Sequence[int], rate: float) -> tuple[float, float]:
        """Returns the limits of a weighted sum of periods; they take the reference's own errors into account.

        Student's t says how far a symmetrical number would stray. The first terms of Cornish and Fisher's expansion
        correct that for skewness: that of the compared means, and that which arises because a reference whose mean is
        too low has too small a variance as well, if high values are rare.

        Args:
            weights: Weight of one photograph, for each period; together with the numbers of photographs, they say how
                much of the mean of the reference is compared.
            photographs: Photographs of each period.
            rate: Probability that a quiet period lies beyond the limits.
        """
        share, squares, cubes = (
            sum(weight**power * number for weight, number in zip(weights, photographs, strict=True))
            for power in (1, 2, 3)
        )
        error = float(np.sqrt(self.variance * (squares + share**2 / self.photographs)))
        if not error:
            return self.mean, self.mean
        skewness = self.third * (cubes - share**3 / self.photographs**2) / error**3
        dependence = -share * self.third / (self.photographs * error * self.variance)
        far = float(t.isf(rate / 2, self.freedom))
        correction = (skewness - 3 * dependence) * (far**2 - 1) / 6 - dependence / 2
        return self.mean + error * min(0.0, correction - far), self.mean + error * max(0.0, correction + far)


def _moving_averages(reference: Sample, periods: Sequence[Sample], is_share: bool, rate: float) -> list[Point]:
    """Returns the moving average (EWMA) at each period, which begins at the mean of the reference."""
    spread = Spread.of(reference)
    if is_share:  # a share of 0 or 1 in a small reference is no certainty
        share = (float(reference.values.sum()) + 0.5) / (len(reference) + 1)
        variance, third = share * (1 - share), share * (1 - share) * (1 - 2 * share)
        spread = replace(spread, variance=max(spread.variance, variance), third=max(spread.third, third, key=abs))
    points: list[Point] = []
    average = reference.mean
    weights: list[float] = []
    photographs: list[int] = []
    for period in periods:
        if len(period) < FEWEST:
            points.append(Point(average if points else None, None, None, len(period)))
            continue
        average = (1 - _SLOW_WEIGHT) * average + _SLOW_WEIGHT * period.mean
        weights = [(1 - _SLOW_WEIGHT) * weight for weight in weights] + [_SLOW_WEIGHT / len(period)]
        photographs.append(len(period))
        points.append(Point(average, *spread.limits(weights, photographs, rate), len(period)))
    return points


_DRAWN: Final = {"share": _shares, "mean": _means, "distribution": _distances, "slow": _moving_averages}
