"""Operating points: the thresholds at which a photograph is called referable, or vision-threatening.

They are chosen on validation photographs by a rule, and applied unchanged to all others: chosen on the photographs that
they are judged by, a threshold only shows how lucky one can be. The two decisions are chosen apart from each other, and
can contradict: whoever acts on both refers what either names.
"""

from __future__ import annotations

from typing import Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from sklearn.metrics import roc_curve

from retinagrade.evaluation.metrics import Undefined, probability_from_grade
from retinagrade.evaluation.predictions import GradedPredictions

OperatingPointRule = Literal["sensitivity", "specificity", "fda"]

DEFAULT_TARGET: Final = 0.9
"""The sensitivity, or specificity, that is asked for unless another one is."""
FDA_BAR: Final = (0.85, 0.825)
"""Sensitivity and specificity that IDx-DR had to exceed in its pivotal trial.

Source: M. D. Abràmoff et al., "Pivotal trial of an autonomous AI-based diagnostic system for detection of diabetic
retinopathy in primary care offices", npj Digital Medicine 1:39, 2018. There, they were those of persons, of more than
mild retinopathy or macular oedema, on photographs that nothing was chosen on."""


class OperatingPoint(BaseModel):
    """A photograph is positive where the probability of ``from_grade`` or worse is ``threshold`` or more.

    Attributes:
        from_grade: The mildest grade that counts as positive: 2 is referable, 3 vision-threatening.
        rule: What was asked for: a sensitivity, a specificity, or :data:`FDA_BAR`.
        target: The sensitivity or specificity that was asked for; ``None`` for ``fda``.
        threshold: On the probability. It lies in the middle between two photographs, so that rounding decides nothing.
        sensitivity: Share of the positive photographs above the threshold, of those that it was chosen on.
        specificity: Share of the negative photographs below it, likewise.
        positives: Photographs of ``from_grade`` or worse that it was chosen on.
        negatives: The other ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    from_grade: Literal[2, 3]
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


def apply_operating_point(point: OperatingPoint, probabilities: np.ndarray) -> np.ndarray:
    """Which photographs are positive.

    Args:
        point: The operating point.
        probabilities: Probabilities (N, 5), calibrated as those that it was chosen on.

    Returns:
        Decisions (N,), bool.
    """
    return probability_from_grade(probabilities, point.from_grade) >= point.threshold


def fit_operating_point(
    graded: GradedPredictions,
    from_grade: Literal[2, 3],
    rule: OperatingPointRule = "sensitivity",
    target: float | None = None,
) -> OperatingPoint:
    """Chooses a threshold by a rule.

    Of all thresholds that meet the rule, the one with the best other figure: for a stated sensitivity the highest
    specificity, for a stated specificity the highest sensitivity, for the FDA's bar the highest sum of the two
    (Youden's index). Of equals, the one that is better in what was stated. Photographs of the same probability are
    always on the same side.

    Args:
        graded: Validation photographs.
        from_grade: The mildest grade that counts as positive.
        rule: ``sensitivity`` or ``specificity``: at least ``target``; ``fda``: both above :data:`FDA_BAR`.
        target: From above 0 to 1; :data:`DEFAULT_TARGET` by default. The rule ``fda`` takes none.

    Returns:
        The threshold with what it reaches on these photographs.

    Raises:
        Undefined: All photographs are positive, or none is; or no threshold exceeds the FDA's bar.

    Example:
        >>> import numpy as np
        >>> p = np.array([[0.9, 0, 0.1, 0, 0], [0.7, 0, 0.3, 0, 0], [0.4, 0, 0.6, 0, 0], [0.2, 0, 0.8, 0, 0]])
        >>> photographs = Graded(np.array(list("abcd")), np.array([0, 2, 1, 3]), p, np.arange(4))
        >>> point = fit_operating_point(photographs, from_grade=2)
        >>> round(point.threshold, 2), point.sensitivity, point.specificity
        (0.2, 1.0, 0.5)
    """
    positive = graded.grades >= from_grade
    if positive.all() or not positive.any():
        which = "all photographs have" if positive.any() else "no photograph has"
        raise Undefined(f"{which} grade {from_grade} or worse")
    scores = probability_from_grade(graded.probabilities, from_grade)
    false_positive, sensitivity, edges = roc_curve(positive, scores, drop_intermediate=False)
    negatives = int((~positive).sum())
    # From counts, because 1 - 0.1 is not 0.9, and a share that is met exactly has to count as met.
    specificity = (negatives - np.rint(false_positive * negatives)) / negatives
    if rule == "fda":
        target = None
        meets = (sensitivity > FDA_BAR[0]) & (specificity > FDA_BAR[1])
        better, then = sensitivity + specificity, sensitivity
        if not meets.any():
            best = specificity[sensitivity > FDA_BAR[0]].max()
            raise Undefined(
                f"no threshold has a sensitivity above {FDA_BAR[0]:.1%} and a specificity above {FDA_BAR[1]:.1%}: "
                f"with such a sensitivity, the highest specificity is {best:.1%}"
            )
    else:
        target = DEFAULT_TARGET if target is None else target
        stated, other = (sensitivity, specificity) if rule == "sensitivity" else (specificity, sensitivity)
        meets = stated >= target
        better, then = other, stated
    chosen = np.lexsort((then, better, meets))[-1]
    lower = np.append(edges[1:], 0.0)
    edges[0] = np.nextafter(max(1.0, edges[1]), np.inf)  # nobody is positive
    return OperatingPoint(
        from_grade=from_grade,
        rule=rule,
        target=target,
        threshold=float(threshold_between(lower[chosen], edges[chosen])),
        sensitivity=float(sensitivity[chosen]),
        specificity=float(specificity[chosen]),
        positives=int(positive.sum()),
        negatives=negatives,
    )


def threshold_between(below: float, above: float) -> float:
    """The middle between two numbers; ``above`` where there is no number between them.

    Args:
        below: The number that has to be below the cut.
        above: The number that has to reach it, not smaller than ``below``.

    Example:
        >>> cut_between(0.25, 0.75), cut_between(1.0, np.nextafter(1.0, 2.0)) > 1
        (0.5, True)
    """
    middle = below + (above - below) / 2
    return float(middle if middle > below else above)
