"""A reader's own decision about a photograph, beside the program's grading of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from retinagrade.grades import N_GRADES
from retinagrade.gradings.grading import Grading

Decision = Literal["agree", "other grade", "not gradable"]
"""A reader agrees with the program, gives another grade, or finds that nobody can grade the photograph."""


class Reading(BaseModel):
    """A reader's decision about one photograph.

    Attributes:
        decision: The decision.
        grade: The reader's grade, 0 to 4, for the decision ``other grade``; ``None`` for the others.
        note: Remark of the reader.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    decision: Decision
    grade: Annotated[int, Field(ge=0, lt=N_GRADES)] | None = None
    note: Annotated[str, Field(max_length=1024)] = ""

    @model_validator(mode="after")
    def _require_grade(self) -> Self:
        if self.decision == "other grade" and self.grade is None:
            raise ValueError("the decision 'other grade' needs a grade")
        if self.decision != "other grade" and self.grade is not None:
            raise ValueError(f"the decision {self.decision!r} has no grade of its own: leave the grade out")
        return self

    def grade_of(self, grading: Grading) -> int | None:
        """Returns the reader's grade; ``None`` where the reader finds the photograph not gradable.

        Args:
            grading: The grading that the reader agrees with, or not.
        """
        return grading.predicted_grade if self.decision == "agree" else self.grade


@dataclass(frozen=True)
class ReaderDecisions:
    """The decisions of one reader.

    Attributes:
        name: Name of the reader.
        readings: Decisions by the ids of their photographs.
    """

    name: str
    readings: Mapping[str, Reading]
