"""Plans a measurement: how many photographs show that a sensitivity or a specificity reaches a bar?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from retinagrade.arguments import SHARE, check_arguments
from retinagrade.errors import UsageError

Measure = Literal["sensitivity", "specificity"]
MOST_PHOTOGRAPHS: Final = 1_000_000
"""Largest number of photographs that a plan considers."""
_KINDS: Final[dict[Measure, str]] = {"sensitivity": "with the disease", "specificity": "without the disease"}
_MISTAKES: Final[dict[Measure, str]] = {"sensitivity": "missed", "specificity": "referred"}


@dataclass(frozen=True)
class SamplePlan:
    """How many photographs a measurement needs.

    Attributes:
        measure: ``sensitivity`` or ``specificity``.
        bar: The value to show.
        true: The assumed true value.
        confidence: One-sided confidence of the result.
        photographs: Photographs with the disease for a sensitivity, without it for a specificity.
        mistakes: Mistakes among them up to which the bar is shown.
        power: Probability that there are no more mistakes, if the true value is right.
        prevalence: Share of photographs with the disease; ``None`` where it is not known.
        total: Photographs to grade in all, so that enough of the right kind are among them with the wanted power as
            probability; ``None`` without a prevalence.
    """

    measure: Measure
    bar: float
    true: float
    confidence: float
    photographs: int
    mistakes: int
    power: float
    prevalence: float | None
    total: int | None

    def __str__(self) -> str:
        """Returns the plan in words."""
        kind, mistaken = _KINDS[self.measure], _MISTAKES[self.measure]
        lines = [
            f"{self.photographs:,} photographs {kind} are needed. If at most {self.mistakes:,} of them are {mistaken}, "
            f"the {self.measure} is at least {self.bar:g}, with a one-sided confidence of {self.confidence:g}.",
            f"If the true {self.measure} is {self.true:g}, the probability of that (the power) is {self.power:.3f}.",
        ]
        if self.total is not None:
            lines.append(
                f"At a prevalence of {self.prevalence:g}, grade {self.total:,} photographs in all, to have "
                f"{self.photographs:,} {kind} among them."
            )
        lines.append("Each photograph counts as a patient of its own: plan for patients, and take one eye of each.")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Returns the attributes by name."""
        return asdict(self)


@check_arguments(bar=SHARE, true=SHARE, confidence=SHARE, power=SHARE, prevalence=SHARE)
def plan(
    bar: float,
    true: float,
    *,
    measure: Measure = "sensitivity",
    confidence: float = 0.95,
    power: float = 0.8,
    prevalence: float | None = None,
) -> SamplePlan:
    """Computes how many photographs show that a sensitivity or a specificity is at least a bar.

    The bar is shown if Clopper and Pearson's exact one-sided interval lies above it, that is, if an exact binomial test
    rejects a value at the bar. Power doesn't rise evenly with the number of photographs, because mistakes are whole
    numbers: from the planned number on, every larger one has the wanted power as well.

    Args:
        bar: The value to show, such as 0.85.
        true: The true value that is assumed, above the bar.
        measure: ``sensitivity``, of photographs with the disease, or ``specificity``, of those without.
        confidence: One-sided confidence.
        power: Probability with which the measurement should succeed, if the true value is right.
        prevalence: Share of photographs with the disease among all that are graded.

    Returns:
        The plan; ``print`` shows it in words.

    Raises:
        UsageError: An argument is out of range, the true value isn't above the bar, or more than a million photographs
            would be needed.

    Example:
        >>> plan(0.85, 0.92).photographs
        150
    """
    if true <= bar:
        raise UsageError(f"the true {measure} {true:g} is not above the bar {bar:g}: no number of photographs shows it")
    photographs = _photographs(bar, true, confidence, power)
    allowed = int(_allowed_mistakes(np.array([photographs]), bar, confidence)[0])
    reached = float(binom.cdf(allowed, photographs, 1 - true))
    total = None
    if prevalence is not None:
        total = _total(photographs, prevalence if measure == "sensitivity" else 1 - prevalence, power)
    return SamplePlan(measure, bar, true, confidence, photographs, allowed, reached, prevalence, total)


def _photographs(bar: float, true: float, confidence: float, power: float) -> int:
    """Returns the smallest number from which on the power is reached."""
    last = 1_000
    while last <= MOST_PHOTOGRAPHS:
        numbers = np.arange(1, last + 1)
        reached = binom.cdf(_allowed_mistakes(numbers, bar, confidence), numbers, 1 - true) >= power
        missed = np.flatnonzero(~reached)
        # Beyond twice the number, the power can't fall below the wanted one again.
        if not len(missed) or numbers[missed[-1]] * 2 < last:
            return int(numbers[missed[-1]]) + 1 if len(missed) else 1
        last *= 4
    raise UsageError(
        f"more than {MOST_PHOTOGRAPHS:,} photographs would be needed to tell {true:g} from {bar:g}: choose a lower bar"
    )


def _allowed_mistakes(numbers: NDArray[np.int64], bar: float, confidence: float) -> NDArray[np.int64]:
    """Returns the most mistakes (N,) with which the bar is shown; −1 where none are few enough."""
    allowed = binom.ppf(1 - confidence, numbers, 1 - bar).astype(np.int64)
    too_many = binom.cdf(allowed, numbers, 1 - bar) > 1 - confidence
    return np.asarray(allowed - too_many)


def _total(photographs: int, share: float, probability: float) -> int:
    """Returns how many photographs hold enough of a kind with a probability."""
    low, high = photographs, photographs
    while binom.sf(photographs - 1, high, share) < probability:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if binom.sf(photographs - 1, middle, share) >= probability else (middle + 1, high)
    return low
