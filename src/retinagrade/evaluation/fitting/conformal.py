"""Conformal prediction: grades from … to …, which hold the right one in a stated share of photographs.

The sets are grown as by C. Lu et al., "Improving trustworthiness of AI disease severity rating in medical imaging with
ordinal conformal prediction sets", MICCAI 2022: from the most probable grade to the more probable of its neighbours,
until enough probability is inside. So they are never empty and have no holes; "none or severe" tells a doctor nothing.

The share holds on average over photographs, and over draws of the validation set, where new photographs come from the
same source. It is a little optimistic where the same photographs also chose the epoch or the temperature.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

from retinagrade.evaluation.ordinal_sets import grow_sets, ordinal_scores
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.grades import N_GRADES

DEFAULT_COVERAGE: Final = 0.9
Limits = tuple[
    NonNegativeFloat | None,
    NonNegativeFloat | None,
    NonNegativeFloat | None,
    NonNegativeFloat | None,
    NonNegativeFloat | None,
]
Counts = tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]


class Conformal(BaseModel):
    """A grade is in the set where its score (``ordinal_scores``) is at most its limit.

    Attributes:
        coverage: The share of photographs whose right grade is to be in the set.
        limits: Limits of grades 0 to 4: all the same, or each fitted on its own grade's photographs so that the
            coverage is that of every grade. ``None``: always in the set, because of too few photographs.
        photographs: How many photographs of every grade they were fitted on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    coverage: float = Field(gt=0, lt=1)
    limits: Limits
    photographs: Counts


def prediction_sets(conformal: Conformal, probabilities: np.ndarray) -> np.ndarray:
    """The sets of grades.

    Args:
        conformal: The limits.
        probabilities: Probabilities (N, 5), calibrated as those that they were fitted on.

    Returns:
        What :func:`~retinagrade.evaluation.ordinal_sets.grow_sets` gives.
    """
    return grow_sets(probabilities, conformal.limits)


def fit_conformal(
    graded: GradedPredictions, coverage: float = DEFAULT_COVERAGE, *, by_grade: bool = False
) -> Conformal:
    """Fits the limits.

    Args:
        graded: Validation photographs. About ``1 / (1 - coverage)`` are needed, of every grade with ``by_grade``; a
            limit that fewer are there for is ``None``.
        coverage: The share of photographs whose right grade is to be in the set, above 0 and below 1.
        by_grade: Reach it for the photographs of each grade. Otherwise it is reached over all, which frequent grades
            can do at the cost of rare ones.
    """
    scores = ordinal_scores(graded.probabilities)[np.arange(len(graded)), graded.grades]
    groups = [scores[graded.grades == grade] for grade in range(N_GRADES)]
    limits = [_limit(group, coverage) for group in groups] if by_grade else [_limit(scores, coverage)] * N_GRADES
    return Conformal.model_validate(
        {"coverage": coverage, "limits": limits, "photographs": [len(group) for group in groups]}
    )


def _limit(scores: np.ndarray, coverage: float) -> float | None:
    """The largest score that is still in a set, or ``None`` where there is no largest one.

    crepes says which scores are. What it says only changes at the scores that it was fitted on, so the largest of
    these is all that has to be kept.
    """
    from crepes import ConformalClassifier  # here, because whoever only applies limits does without it

    if not len(scores):
        return None
    tried = np.append(np.unique(scores), np.inf)
    inside = ConformalClassifier().fit(scores).predict_set(tried, confidence=coverage, smoothing=False)
    limit = tried[inside.astype(bool)][-1]
    return None if np.isinf(limit) else float(limit)
