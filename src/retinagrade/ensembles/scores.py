"""The members' probabilities of graded photographs, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MemberScores:
    """Scores of M members for N photographs with known grades.

    Attributes:
        grades: Grades (N,), 0 to 4.
        probabilities: Probabilities (N, M, 5). For both eyes of a study, M is 2, and there may be a sixth score
            (:func:`~retinagrade.ensembles.eyes.both_eyes_scores`).
        patients: Numbers of the patients (N,).
    """

    grades: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    patients: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of photographs."""
        return len(self.grades)

    def rows(self, selection: NDArray[Any]) -> MemberScores:
        """Returns the selected photographs, by a mask (N,) or by indices."""
        return MemberScores(self.grades[selection], self.probabilities[selection], self.patients[selection])

    def members(self, columns: NDArray[np.int64]) -> MemberScores:
        """Returns the scores of the selected members, by indices."""
        return MemberScores(self.grades, self.probabilities[:, columns], self.patients)
