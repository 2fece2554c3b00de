"""What members say of photographs, as arrays, and what is fitted on some of them applied to the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from retinagrade.evaluation.fitting.out_of_fold import patient_folds
from retinagrade.grades import N_GRADES


@dataclass(frozen=True)
class MemberScores:
    """Scores of M members for N photographs whose grade is known.

    Attributes:
        grades: Grades (N,), int64, 0 to 4.
        probabilities: Probabilities (N, M, 5), float64. For both eyes of a study M is 2, and there may be a sixth score
            (:func:`~retinagrade.ensembles.eyes.both_eyes_scores`).
        patients: Whose photograph it is (N,), int64.
    """

    grades: np.ndarray
    probabilities: np.ndarray
    patients: np.ndarray

    def __len__(self) -> int:
        """The number of photographs."""
        return len(self.grades)

    def rows(self, which: np.ndarray) -> MemberScores:
        """Some of the photographs, by a mask (N,) or by indices."""
        return MemberScores(self.grades[which], self.probabilities[which], self.patients[which])


def out_of_fold_probabilities(
    scores: MemberScores, fit_and_combine: Callable[[MemberScores, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Probabilities of each fifth of the photographs by what was fitted on the other four; patients stay together.

    Args:
        scores: Photographs.
        fit_and_combine: Fits on its first argument, and combines scores (n, M, 5) of others to probabilities (n, 5).

    Returns:
        Probabilities (N, 5), in the order of the photographs.

    Raises:
        Undefined: All photographs are of one patient; or whatever ``fit_and_combine`` raises.
    """
    combined = np.empty((len(scores), N_GRADES))
    for seen, unseen in patient_folds(scores.patients):
        combined[unseen] = fit_and_combine(scores.rows(seen), scores.probabilities[unseen])
    return combined
