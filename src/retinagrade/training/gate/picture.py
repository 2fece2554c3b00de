"""One picture that the gate learns from or is judged on, and its targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.gate.names import FAULTS, MODALITIES
from retinagrade.images.degradation import REJECT_FROM, USABLE_FROM, DegradationKind

REASON_OF: Final[Mapping[DegradationKind, str]] = {
    "defocus": "blurred", "motion": "blurred", "smear": "blurred", "haze": "haze", "flare": "flare",
    "lashes": "lashes", "lid": "lashes", "shade": "uneven", "dark": "dark", "over-exposed": "over-exposed",
    "dust": "dirt",
}  # fmt: skip
"""The reason that a degradation gives."""
_UNCERTAIN: Final[Mapping[DegradationKind, tuple[str, ...]]] = {
    "cover": ("flare", "lashes", "uneven", "dirt"),
    "tone": ("dark", "over-exposed", "haze"),
    "clutter": ("lashes", "dirt"),
}
"""Reasons that a photographer may or may not see in a degradation without a cause of its own."""
_WEAK: Final = 0.2
"""Strength below which such a degradation leaves all reasons certain."""
_OCCLUDED: Final = 0.4
"""Strength above which nobody can tell which landmarks a photograph shows."""
_HOPELESS: Final = 0.9
"""Strength above which nobody can tell a photograph of a fundus from another picture."""
_QUALITY_SOFTNESS: Final = 0.05
_REASON_SOFTNESS: Final = 0.06


@dataclass(frozen=True)
class Picture:
    """A picture with everything that is known about it.

    Attributes:
        pixels: RGB (H, W, 3), uint8.
        modality: One of ``MODALITIES``.
        kind: The look of the camera, or the kind of a picture without a fundus.
        families: Names of all that can be left out of a training: looks, degradations, kinds.
        source: Id of the photograph, or package of the picture, that it was made from.
        strengths: Strength of each degradation.
        is_graded: Whether its quality is known.
        disc: 1 if the optic disc is visible, 0 if it isn't, NaN if it is cut or unknown.
        macula: The same of the macula.
        centre: Index in :data:`~retinagrade.gate.names.CENTRES`; -1 if it is unknown or between two.
    """

    pixels: NDArray[np.uint8]
    modality: str
    kind: str
    families: frozenset[str]
    source: str = ""
    strengths: Mapping[DegradationKind, float] = field(default_factory=dict)
    is_graded: bool = False
    disc: float = np.nan
    macula: float = np.nan
    centre: int = -1

    def label(self) -> Label:
        """Returns all that is known about the picture without its pixels."""
        return Label(
            modality=self.modality,
            kind=self.kind,
            families=self.families,
            source=self.source,
            strength=_combine(list(self.strengths.values())) if self.is_graded else np.nan,
            reasons=_reason_strengths(self.strengths) if self.is_graded else (np.nan,) * len(FAULTS),
            disc=self.disc,
            macula=self.macula,
            centre=self.centre,
        )


@dataclass(frozen=True)
class Label:
    """What a picture shows; attributes as in :class:`Picture`, and these.

    Attributes:
        strength: Strength of all degradations together; NaN if unknown.
        reasons: Strength of the degradations that give each of :data:`FAULTS`; NaN if unknown.
    """

    modality: str
    kind: str
    families: frozenset[str]
    source: str
    strength: float
    reasons: tuple[float, ...]
    disc: float
    macula: float
    centre: int


@dataclass(frozen=True)
class Targets:
    """What the heads should answer for N pictures; NaN and -1 stand for unknown answers.

    Attributes:
        modality: Indices (N,) in :data:`MODALITIES`.
        is_certain: (N,) 0 where a photograph is too bad to tell whether it shows a fundus, else 1.
        quality: (N, 2) probabilities that a photograph has at least a usable fault, and that it should be rejected.
            They are soft around the limits of strength, because people disagree there.
        reasons: (N, 8) probabilities of each reason.
        visible: (N, 2) whether a landmark is visible.
        centre: Indices (N,) in :data:`~retinagrade.gate.names.CENTRES`.
    """

    modality: NDArray[np.int64]
    is_certain: NDArray[np.float32]
    quality: NDArray[np.float32]
    reasons: NDArray[np.float32]
    visible: NDArray[np.float32]
    centre: NDArray[np.int64]


def make_targets(labels: Sequence[Label]) -> Targets:
    """Makes the targets of pictures."""
    strength = np.array([each.strength for each in labels], np.float32)
    reasons = np.array([each.reasons for each in labels], np.float32).reshape(-1, len(FAULTS))
    visible = np.array([(each.disc, each.macula) for each in labels], np.float32).reshape(-1, 2)
    centre = np.array([each.centre for each in labels], np.int64)
    hidden = ~(strength < _OCCLUDED)
    limits = np.array([USABLE_FROM, REJECT_FROM], np.float32)
    return Targets(
        modality=np.array([MODALITIES.index(each.modality) for each in labels], np.int64),
        is_certain=np.where(strength > _HOPELESS, 0, 1).astype(np.float32),
        quality=_soft(strength[:, None] - limits, _QUALITY_SOFTNESS),
        reasons=_soft(reasons - np.float32(USABLE_FROM), _REASON_SOFTNESS),
        visible=np.where(hidden[:, None], np.nan, visible).astype(np.float32),
        centre=np.where(hidden, -1, centre),
    )


def _soft(above: NDArray[np.float32], softness: float) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-above / np.float32(softness))), np.float32)


def _combine(strengths: Sequence[float]) -> float:
    """Combines strengths: the strongest decides, and others add a little."""
    return min(1.0, float(np.sum(np.power(strengths, 4))) ** 0.25) if len(strengths) else 0.0


def _reason_strengths(strengths: Mapping[DegradationKind, float]) -> tuple[float, ...]:
    found: dict[str, float] = dict.fromkeys(FAULTS, 0.0)
    for kind, strength in strengths.items():
        if kind in REASON_OF:
            found[REASON_OF[kind]] = max(found[REASON_OF[kind]], strength)
    for kind, uncertain in _UNCERTAIN.items():
        if strengths.get(kind, 0.0) > _WEAK:
            found.update({reason: np.nan for reason in uncertain if found[reason] < USABLE_FROM})
    return tuple(found.values())
