"""The numbers that are watched in results, what they are called, and what to look at where one has moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.gate.names import ADVICE, UNCHECKED, reason_of
from retinagrade.grades import Grade
from retinagrade.gradings.grading import GRADED_KINDS, Grading
from retinagrade.sites.control_charts import Number, Sample

_CAMERA: Final = (
    "look at some photographs, and at the camera: lens, focus, flash, export settings; ask who takes them now"
)
_PEOPLE: Final = (
    "let a person grade some photographs of both times; ask whether other patients come, and whether the camera changed"
)
_FILES: Final = "look at the column error: the camera, its export or the network of the site may lose or damage files"
_AREA: Final = 1e4
"""Areas are watched in parts per 10,000 of the field of view."""


@dataclass(frozen=True)
class WatchedNumber:
    """A number that is watched.

    Attributes:
        name: Its name in JSON.
        label: Its name for people.
        value: The number of one photograph, for shares 0 or 1; ``None`` for a photograph that doesn't count.
        advice: What to look at where it has moved.
        is_share: Whether it is a share of photographs; else a mean.
        is_main: Whether it is one of the most important numbers.
        is_skewed: Whether the logarithm of one plus the number is averaged, because a few photographs have much.
    """

    name: str
    label: str
    value: Callable[[Grading], float | None]
    advice: str
    is_share: bool = False
    is_main: bool = False
    is_skewed: bool = False

    @property
    def number(self) -> Number:
        """The number, as its charts need it."""
        return Number(self.name, self.is_share, self.is_main)

    def shown(self, value: float) -> float:
        """Returns a mean, or a limit of it, as people read it: a typical number, where logarithms are averaged."""
        return float(np.expm1(value)) if self.is_skewed else value

    def text(self, value: float) -> str:
        """Returns a shown value as text."""
        return f"{100 * value:.1f} %" if self.is_share else f"{value:.3g}"


def _readable(grading: Grading) -> bool:
    return grading.gradable is not None


def _refused_for(reason: str) -> Callable[[Grading], float | None]:
    def value(grading: Grading) -> float | None:
        if not _readable(grading):
            return None
        return float(not grading.gradable and reason in map(reason_of, grading.quality_reasons))

    return value


def _has_grade(grade: int) -> Callable[[Grading], float | None]:
    return lambda each: None if each.predicted_grade is None else float(each.predicted_grade == grade)


def _flag(name: str) -> Callable[[Grading], float | None]:
    def value(grading: Grading) -> float | None:
        flag = getattr(grading, name)
        return None if grading.predicted_grade is None or flag is None else float(flag)

    return value


def _of_graded(name: str, factor: float | None = None) -> Callable[[Grading], float | None]:
    """Returns the value of a graded photograph; with a factor, the logarithm of one plus so many times the value."""

    def value(grading: Grading) -> float | None:
        number = getattr(grading, name)
        if grading.predicted_grade is None or number is None:
            return None
        return float(number) if factor is None else float(np.log1p(factor * number))

    return value


WATCHED: Final[tuple[WatchedNumber, ...]] = (
    WatchedNumber(
        "referral", "referred, of graded photographs", _flag("referable"), _PEOPLE, is_share=True, is_main=True
    ),
    WatchedNumber("expected_grade", "expected grade", _of_graded("expected_grade"), _PEOPLE, is_main=True),
    WatchedNumber(
        "refusal",
        "ungradable photographs",
        lambda each: float(not each.gradable) if _readable(each) else None,
        _CAMERA,
        is_share=True,
        is_main=True,
    ),
    WatchedNumber("quality", "quality", lambda each: each.quality, _CAMERA, is_main=True),
    WatchedNumber("confidence", "confidence", _of_graded("confidence"), _CAMERA),
    WatchedNumber(
        "review", "graded photographs that a person should review", _flag("needs_review"), _PEOPLE, is_share=True
    ),
    WatchedNumber(
        "error", "photographs that can't be used", lambda each: float(each.error is not None), _FILES, is_share=True
    ),
    *(
        WatchedNumber(f"grade_{grade}", f"grade {grade} ({grade.label})", _has_grade(grade), _PEOPLE, is_share=True)
        for grade in Grade
    ),
    *(
        WatchedNumber(f"refused_{reason}", f"ungradable: {reason}", _refused_for(reason), ADVICE[reason], is_share=True)
        for reason in ADVICE
        if reason != UNCHECKED
    ),
    *(
        WatchedNumber(kind, f"{kind.replace('_', ' ')}, number", _of_graded(kind, 1.0), _PEOPLE, is_skewed=True)
        for kind in GRADED_KINDS
    ),
    *(
        WatchedNumber(
            f"{kind}_area",
            f"{kind.replace('_', ' ')}, area in 1/10,000 of the field of view",
            _of_graded(f"{kind}_area", _AREA),
            _PEOPLE,
            is_skewed=True,
        )
        for kind in GRADED_KINDS
    ),
)
"""All numbers, the most important ones first."""


def value_table(gradings: Iterable[Grading]) -> NDArray[np.float64]:
    """Returns the values of all numbers (photographs, numbers), as in :data:`WATCHED`; unknown ones are NaN."""
    rows = [[np.nan if (value := each.value(row)) is None else value for each in WATCHED] for row in gradings]
    return np.array(rows, np.float64).reshape(len(rows), len(WATCHED))


def patient_numbers(gradings: Iterable[Grading]) -> NDArray[np.int64]:
    """Returns the number of each photograph's patient (N,).

    The study stands for a patient that no header names; a photograph with neither is a patient of its own.
    """
    numbers: dict[str, int] = {}
    studies = [each.patient or each.study for each in gradings]
    return np.array(
        [-1 - row if each is None else numbers.setdefault(each, len(numbers)) for row, each in enumerate(studies)],
        np.int64,
    )


def make_samples(values: NDArray[np.float64], patients: NDArray[np.int64]) -> dict[str, Sample]:
    """Returns the samples of all numbers by name.

    Args:
        values: A table from :func:`value_table`.
        patients: Number of each photograph's patient (N,).
    """
    known = ~np.isnan(values)
    return {
        watched.name: Sample(values[known[:, column], column], patients[known[:, column]])
        for column, watched in enumerate(WATCHED)
    }
