"""Conformal prediction: sets of neighbouring grades that hold the right grade for a stated share of photographs.

The sets grow as in C. Lu et al., "Improving trustworthiness of AI disease severity rating in medical imaging with
ordinal conformal prediction sets", MICCAI 2022: from the most probable grade to the more probable of its neighbours,
until enough probability is inside. They are never empty and have no holes; "none or severe" would not help a doctor.

The coverage holds on average over photographs and over draws of the validation set, if new photographs come from the
same source. It is a little too optimistic if the same photographs also chose the epoch or the temperature.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

from retinagrade.evaluation.ordinal_sets import grow_sets, ordinal_scores
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.grades import N_GRADES

DEFAULT_COVERAGE: Final = 0.9
"""Default share of photographs whose right grade should be in the set."""
Limit = NonNegativeFloat | None


class Conformal(BaseModel):
    """Limits of conformal sets: a grade is in the set if its score (``ordinal_scores``) is at most its limit.

    Attributes:
        coverage: Share of photographs whose right grade should be in the set.
        limits: Limits of grades 0 to 4: all the same, or each fitted on the photographs of its own grade, so that the
            coverage holds for every grade. ``None`` means that the grade is always in the set, because there were too
            few photographs.
        photographs: Number of photographs of each grade in the fit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    coverage: float = Field(gt=0, lt=1)
    limits: tuple[Limit, Limit, Limit, Limit, Limit]
    photographs: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]


def prediction_sets(conformal: Conformal, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Returns the sets of grades (N, 5), as :func:`~retinagrade.evaluation.ordinal_sets.grow_sets` does.

    Args:
        conformal: The fitted limits.
        probabilities: Probabilities (N, 5), calibrated in the same way as for the fit.
    """
    return grow_sets(probabilities, conformal.limits)


def fit_conformal(
    predictions: GradedPredictions, coverage: float = DEFAULT_COVERAGE, *, by_grade: bool = False
) -> Conformal:
    """Fits the limits.

    Args:
        predictions: Validation photographs. The fit needs about ``1 / (1 - coverage)`` photographs, of every grade with
            ``by_grade``; with fewer photographs, a limit is ``None``.
        coverage: Share of photographs whose right grade should be in the set, above 0 and below 1.
        by_grade: True for this coverage of the photographs of each grade. Otherwise it is the coverage of all
            photographs, and frequent grades may reach it at the cost of rare ones.
    """
    scores = ordinal_scores(predictions.probabilities)[np.arange(len(predictions)), predictions.grades]
    groups = [scores[predictions.grades == grade] for grade in range(N_GRADES)]
    limits = [_limit(group, coverage) for group in groups] if by_grade else [_limit(scores, coverage)] * N_GRADES
    return Conformal.model_validate(
        {"coverage": coverage, "limits": limits, "photographs": [len(group) for group in groups]}
    )


def _limit(scores: NDArray[np.float64], coverage: float) -> float | None:
    """Returns the largest score that is in a set, or ``None`` if all scores are.

    The library crepes decides which scores are in a set. Its decisions change only at the scores of the fit, so the
    largest of these in a set is the limit.
    """
    from crepes import ConformalClassifier  # here, because the use of fitted limits doesn't need it

    if not len(scores):
        return None
    candidates = np.append(np.unique(scores), np.inf)
    inside = ConformalClassifier().fit(scores).predict_set(candidates, confidence=coverage, smoothing=False)
    limit = candidates[inside.astype(bool)][-1]
    return None if np.isinf(limit) else float(limit)
