"""Whether a photograph can be graded: a pure function of the answers of the gate's network and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retinagrade.gate.names import (
    CENTRES,
    FAULTS,
    MODALITIES,
    NO_FUNDUS,
    UNCHECKED,
    Centre,
    Level,
    Modality,
    describe_reason,
)
from retinagrade.gate.settings import GateSettings

_PRESENT = 0.5
"""Probability from which a fault is named."""


@dataclass(frozen=True)
class GateAnswers:
    """The probabilities that the gate's network gives for one photograph, each 0 to 1.

    Attributes:
        modality: Of the five :data:`~retinagrade.gate.names.MODALITIES`.
        usable: That the photograph has a fault with which it is usable at best.
        reject: That nobody should grade the photograph.
        faults: Of the eight :data:`~retinagrade.gate.names.FAULTS`; a photograph may have several.
        visible: That the optic disc, and that the macula is visible.
        centre: Of the three :data:`~retinagrade.gate.names.CENTRES`.
    """

    modality: tuple[float, ...]
    usable: float
    reject: float
    faults: tuple[float, ...]
    visible: tuple[float, float]
    centre: tuple[float, ...]

    @property
    def score(self) -> float:
        """Quality, 0 to 1: 1 for a good photograph, about a half for a usable one, 0 for a rejected one."""
        return min(1 - (self.usable + self.reject) / 2, 1 - self.modality[0])


@dataclass(frozen=True)
class Quality:
    """The gate's decision on a photograph.

    Attributes:
        level: ``good``, ``usable`` (graded with a warning), ``reject`` (not graded), or ``unchecked`` with the gate
            off.
        score: Quality, 0 to 1; see :attr:`GateAnswers.score`.
        modality: Kind of photograph.
        centre: Landmark in the centre; ``None`` unless it is a colour photograph of a fundus.
        reasons: Reasons for a warning or a refusal, with advice to the photographer; the gravest first.
    """

    level: Level
    score: float
    modality: Modality
    centre: Centre | None
    reasons: tuple[str, ...]

    @property
    def is_gradable(self) -> bool:
        """Whether the photograph gets a grade."""
        return self.level != "reject"


def judge_quality(answers: GateAnswers, settings: GateSettings) -> Quality:
    """Decides whether a photograph can be graded, and names the reasons.

    A photograph is rejected where it isn't one colour photograph of one fundus, where the macula is missing, or where
    its score lies below the cut point. A missing optic disc, and a score below the second cut point, are warnings.

    Args:
        answers: Answers of the network.
        settings: Cut points.

    Example:
        >>> blurred = GateAnswers((0, 1, 0, 0, 0), 0.99, 0.9, (0, 0, 0.8, 0.1, 0, 0, 0, 0), (1, 1), (1, 0, 0))
        >>> judge_quality(blurred, GateSettings()).reasons
        ('blurred: focus again',)
    """
    modality = _modality(answers, settings)
    is_colour = modality == "colour"
    centre = CENTRES[_largest(answers.centre)] if is_colour else None
    if settings.is_off:
        return Quality("unchecked", answers.score, modality, centre, (describe_reason(UNCHECKED),))
    if not is_colour:
        return Quality("reject", answers.score, modality, centre, (describe_reason(modality),))
    disc, macula = answers.visible
    is_without_macula = 1 - macula >= settings.least_probability("macula missing")
    is_without_disc = 1 - disc >= settings.least_probability("optic disc missing")
    worst = _largest(answers.faults)
    is_poor = answers.score < settings.reject_below
    is_refused = is_poor and answers.faults[worst] >= settings.least_probability(FAULTS[worst])
    has_fault = is_poor or answers.score < settings.usable_below
    reasons = [
        *(["macula missing"] if is_without_macula else []),
        *(_faults(answers) if has_fault else []),
        *(["optic disc missing"] if is_without_disc else []),
    ]
    level: Level = "reject" if is_without_macula or is_refused else "usable" if reasons else "good"
    return Quality(level, answers.score, modality, centre, tuple(map(describe_reason, reasons)))


def _modality(answers: GateAnswers, settings: GateSettings) -> Modality:
    if answers.modality[0] >= settings.least_probability(NO_FUNDUS):
        return NO_FUNDUS
    likely = 1 + _largest(answers.modality[1:])
    name = MODALITIES[likely]
    return name if answers.modality[likely] >= settings.least_probability(name) else "colour"


def _faults(answers: GateAnswers) -> Sequence[str]:
    """Returns the faults that are present, the most probable one first; at least one."""
    in_order = sorted(range(len(FAULTS)), key=lambda index: -answers.faults[index])
    present = [FAULTS[index] for index in in_order if answers.faults[index] >= _PRESENT]
    return present or [FAULTS[in_order[0]]]


def _largest(values: tuple[float, ...]) -> int:
    return max(range(len(values)), key=lambda index: values[index])
