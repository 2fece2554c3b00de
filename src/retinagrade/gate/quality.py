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
    reason_of,
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
        return min(self.condition, 1 - self.modality[0])

    @property
    def condition(self) -> float:
        """Quality of a picture that is known to show a fundus, 0 to 1."""
        return 1 - (self.usable + self.reject) / 2


@dataclass(frozen=True)
class Quality:
    """The gate's decision on a photograph.

    Attributes:
        level: ``good``, ``usable`` (graded with a warning), ``reject`` (not graded), or ``unchecked`` with the gate
            off.
        is_refused: Whether the gate refuses the photograph; it is graded all the same with the gate off.
        score: Quality, 0 to 1; see :attr:`GateAnswers.score`.
        modality: Kind of photograph.
        centre: Landmark in the centre; ``None`` unless it is a colour photograph of a fundus.
        reasons: Reasons for a warning or a refusal, with advice to the photographer; the gravest first.
    """

    level: Level
    is_refused: bool
    score: float
    modality: Modality
    centre: Centre | None
    reasons: tuple[str, ...]

    @property
    def is_gradable(self) -> bool:
        """Whether the photograph gets a grade."""
        return self.level != "reject"

    @property
    def depends_on_score(self) -> bool:
        """Whether cut points of the score decide on the photograph."""
        return score_decides(self.modality, self.reasons)


def score_decides(modality: str | None, reasons: Sequence[str]) -> bool:
    """Returns whether cut points of the score decide on a photograph, and no other reason refuses it before.

    Args:
        modality: Kind of photograph, of :data:`~retinagrade.gate.names.MODALITIES`.
        reasons: Reasons for a warning or a refusal, with or without advice.
    """
    return modality == "colour" and "macula missing" not in map(reason_of, reasons)


def judge_quality(answers: GateAnswers, settings: GateSettings) -> Quality:
    """Decides whether a photograph can be graded, and names the reasons.

    A photograph is rejected where it isn't one colour photograph of one fundus, where the macula is missing, or where
    its score lies below the cut point and one of its faults is probable enough. A missing optic disc, and a score below
    the second cut point, are warnings. With the gate off, reasons stay, and every photograph is graded.

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
    is_refused, reasons = _judge_colour(answers, settings) if is_colour else (True, [modality])
    level: Level = "reject" if is_refused else "usable" if reasons else "good"
    if settings.is_off:
        level, reasons = "unchecked", [UNCHECKED, *reasons]
    return Quality(level, is_refused, answers.score, modality, centre, tuple(map(describe_reason, reasons)))


def _judge_colour(answers: GateAnswers, settings: GateSettings) -> tuple[bool, list[str]]:
    """Returns whether a colour photograph is refused, and the reasons for a refusal or a warning."""
    disc, macula = answers.visible
    is_without_macula = 1 - macula >= settings.least_probability("macula missing")
    is_without_disc = 1 - disc >= settings.least_probability("optic disc missing")
    # Whoever has raised the limit of `no fundus` has taken the photograph for a fundus.
    score = answers.condition if NO_FUNDUS in settings.least else answers.score
    faults = _faults(answers)
    is_poor = score < settings.reject_below
    is_bad = is_poor and any(answers.faults[FAULTS.index(each)] >= settings.least_probability(each) for each in faults)
    reasons = [
        *(["macula missing"] if is_without_macula else []),
        *(faults if is_poor or score < settings.usable_below else []),
        *(["optic disc missing"] if is_without_disc else []),
    ]
    return is_without_macula or is_bad, reasons


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
