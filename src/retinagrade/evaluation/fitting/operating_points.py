"""Operating points: the thresholds of the decisions "referable", "vision-threatening" and "macular oedema".

A rule chooses them on validation photographs, and they are applied unchanged to other photographs. A threshold that is
chosen on the evaluated photographs only shows how lucky one can be. The two thresholds are independent, so that the
decisions can contradict each other; refer a photograph if one of them is positive.
"""

from __future__ import annotations

from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from sklearn.metrics import roc_curve

from retinagrade.evaluation.metrics import Undefined, probability_from_grade
from retinagrade.evaluation.predictions import GradedPredictions

OperatingPointRule = Literal["sensitivity", "specificity", "fda"]

DEFAULT_TARGET: Final = 0.9
"""Default sensitivity or specificity of the rule."""
FDA_BAR: Final = (0.85, 0.825)
"""Sensitivity and specificity that IDx-DR had to exceed in its pivotal trial for the FDA.

Source: M. D. Abràmoff et al., "Pivotal trial of an autonomous AI-based diagnostic system for detection of diabetic
retinopathy in primary care offices", npj Digital Medicine 1:39, 2018. In that trial, they
counted persons, with more than mild retinopathy or macular oedema, and no threshold was chosen on its photographs."""


class FittedThreshold(BaseModel):
    """A photograph is positive if its probability is ``threshold`` or more.

    Attributes:
        rule: Goal of the choice: a sensitivity, a specificity, or :data:`FDA_BAR`.
        target: The stated sensitivity or specificity; ``None`` for ``fda``.
        threshold: Threshold of the probability. It lies in the middle between two photographs, so that rounding changes
            no decision.
        sensitivity: Sensitivity on the validation photographs.
        specificity: Specificity on the validation photographs.
        positives: Number of validation photographs that are positive.
        negatives: Number of the other validation photographs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rule: OperatingPointRule
    target: float | None = Field(gt=0, le=1)
    threshold: float = Field(ge=0)
    sensitivity: float = Field(ge=0, le=1)
    specificity: float = Field(ge=0, le=1)
    positives: PositiveInt
    negatives: PositiveInt

    @model_validator(mode="after")
    def _target_of_its_rule(self) -> Self:
        if (self.target is None) != (self.rule == "fda"):
            raise ValueError("the rules sensitivity and specificity have a target, and fda has none")
        return self


class OperatingPoint(FittedThreshold):
    """A photograph is positive if the probability of ``from_grade`` or worse is ``threshold`` or more.

    Attributes:
        from_grade: The mildest grade that counts as positive: 2 is referable, 3 vision-threatening.
    """

    from_grade: Literal[2, 3]


def fit_operating_point(
    predictions: GradedPredictions,
    from_grade: Literal[2, 3],
    rule: OperatingPointRule = "sensitivity",
    target: float | None = None,
) -> OperatingPoint:
    """Chooses the threshold of a decision on grades.

    Args:
        predictions: Validation photographs.
        from_grade: The mildest grade that counts as positive.
        rule: Rule of :func:`fit_threshold`.
        target: Target of the rule.

    Raises:
        Undefined: All photographs are positive, or none is; or no threshold exceeds the FDA's bar.

    Example:
        >>> import numpy as np
        >>> p = np.array([[0.9, 0, 0.1, 0, 0], [0.7, 0, 0.3, 0, 0], [0.4, 0, 0.6, 0, 0], [0.2, 0, 0.8, 0, 0]])
        >>> photographs = GradedPredictions(np.array(list("abcd")), np.array([0, 2, 1, 3]), p, np.arange(4))
        >>> point = fit_operating_point(photographs, from_grade=2)
        >>> round(point.threshold, 2), point.sensitivity, point.specificity
        (0.2, 1.0, 0.5)
    """
    scores = probability_from_grade(predictions.probabilities, from_grade)
    fitted = fit_threshold(scores, predictions.grades >= from_grade, f"grade {from_grade} or worse", rule, target)
    return OperatingPoint(from_grade=from_grade, **fitted.model_dump())


def fit_threshold(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    finding: str,
    rule: OperatingPointRule = "sensitivity",
    target: float | None = None,
) -> FittedThreshold:
    """Chooses a threshold by a rule.

    Several thresholds may meet the rule. For a stated sensitivity, the one with the highest specificity is chosen; for
    a stated specificity, the one with the highest sensitivity; for the FDA's bar, the one with the highest sum of the
    two (Youden's index). Among equals, the one with the higher stated metric is chosen. Photographs with the same
    probability are always on the same side.

    Args:
        scores: Probabilities (N,) of validation photographs.
        positive: The photographs (N,) that have the finding.
        finding: Name of the finding, for the reason why no threshold can be chosen.
        rule: ``sensitivity`` or ``specificity``: at least ``target``; ``fda``: both above :data:`FDA_BAR`.
        target: Above 0 and at most 1; :data:`DEFAULT_TARGET` by default. The rule ``fda`` takes none.

    Returns:
        The threshold, with its sensitivity and specificity on these photographs.

    Raises:
        Undefined: All photographs are positive, or none is; or no threshold exceeds the FDA's bar.
    """
    if positive.all() or not positive.any():
        which = "all photographs have" if positive.any() else "no photograph has"
        raise Undefined(f"{which} {finding}")
    false_positive, sensitivity, edges = roc_curve(positive, scores, drop_intermediate=False)
    negatives = int((~positive).sum())
    # Computed from counts, because 1 - 0.1 is not 0.9, and a target that is met exactly must count as met.
    specificity = (negatives - np.rint(false_positive * negatives)) / negatives
    if rule == "fda":
        target = None
        meets_rule = (sensitivity > FDA_BAR[0]) & (specificity > FDA_BAR[1])
        optimised, tie_breaker = sensitivity + specificity, sensitivity
        if not meets_rule.any():
            best = specificity[sensitivity > FDA_BAR[0]].max()
            raise Undefined(
                f"no threshold has a sensitivity above {FDA_BAR[0]:.1%} and a specificity above {FDA_BAR[1]:.1%}: "
                f"with such a sensitivity, the highest specificity is {best:.1%}"
            )
    else:
        target = DEFAULT_TARGET if target is None else target
        stated, other = (sensitivity, specificity) if rule == "sensitivity" else (specificity, sensitivity)
        meets_rule = stated >= target
        optimised, tie_breaker = other, stated
    chosen = np.lexsort((tie_breaker, optimised, meets_rule))[-1]
    lower = np.append(edges[1:], 0.0)
    edges[0] = np.nextafter(max(1.0, edges[1]), np.inf)  # no photograph is positive
    return FittedThreshold(
        rule=rule,
        target=target,
        threshold=float(threshold_between(lower[chosen], edges[chosen])),
        sensitivity=float(sensitivity[chosen]),
        specificity=float(specificity[chosen]),
        positives=int(positive.sum()),
        negatives=negatives,
    )


def threshold_between(below: float, above: float) -> float:
    """Returns the middle between two numbers, or ``above`` if there is no number between them.

    Args:
        below: The number that must be below the threshold.
        above: The number that must reach the threshold, not smaller than ``below``.

    Example:
        >>> threshold_between(0.25, 0.75), threshold_between(1.0, np.nextafter(1.0, 2.0)) > 1
        (0.5, True)
    """
    middle = below + (above - below) / 2
    return float(middle if middle > below else above)
