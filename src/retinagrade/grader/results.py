"""Results: what is said of one photograph, as a pure function of its probabilities and its quality."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from retinagrade.evaluation.ordinal_sets import grow_sets
from retinagrade.grader.eyes import UNKNOWN, EyeIdentity
from retinagrade.grader.metadata import Metadata, Threshold
from retinagrade.grades import N_GRADES, REFERABLE, VISION_THREATENING, Grade
from retinagrade.images.quality import POOR, Quality


@dataclass(frozen=True)
class Grading:
    """What is said of one photograph.

    A photograph that can't be graded gets no grade, no decision and no set, but keeps its probabilities: they are what
    the network said, and nothing to act on.

    Attributes:
        image_id: Its id.
        path: Its file; ``None`` for an array.
        study: What photographs of both eyes of a patient share, where it is known; see
            :func:`~retinagrade.grader.studies.grade_studies`.
        laterality: ``L`` or ``R``, where it is known.
        grade: The most probable grade, the lower one of two equals.
        label: That in words.
        probabilities: Of grades 0 to 4, calibrated.
        expected_grade: Their mean, 0 to 4.
        referable: At the file's threshold; ``None`` where the file has none.
        vision_threatening: Likewise.
        confidence: The probability of ``grade``.
        conformal_set: Neighbouring grades that hold the right one as often as the file says.
        refer_to_person: Whether a person should look whatever the grade; ``None`` where the file has no rule.
        gradable: Whether it is good enough; ``None`` where it could not be read.
        quality: 0 to 1.
        quality_reasons: What is wrong with it, the gravest first.
        model: The file's name and version.
        error: Why there is nothing else.
    """

    image_id: str
    path: str | None
    study: str | None = None
    laterality: str | None = None
    grade: int | None = None
    label: str | None = None
    probabilities: tuple[float, ...] | None = None
    expected_grade: float | None = None
    referable: bool | None = None
    vision_threatening: bool | None = None
    confidence: float | None = None
    conformal_set: tuple[int, ...] | None = None
    refer_to_person: bool | None = True
    gradable: bool | None = None
    quality: float | None = None
    quality_reasons: tuple[str, ...] = ()
    model: str = ""
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        """The grading that :meth:`to_json` made a row of, also where lists stand for its tuples.

        Raises:
            TypeError: Not such a row.
        """
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in row.items()
        }
        return cls(**values)


def model_name(metadata: Metadata) -> str:
    """Name and version of a grader file, as results say it."""
    return f"{metadata.name} {metadata.version}"


def make_grading(
    image_id: str,
    path: str | None,
    probabilities: np.ndarray,
    quality: Quality,
    metadata: Metadata,
    eye: EyeIdentity = UNKNOWN,
) -> Grading:
    """What is said of a photograph.

    Args:
        image_id: Its id.
        path: Its file.
        probabilities: Calibrated (5,), float.
        quality: How good it is.
        metadata: Of the grader file: thresholds and limits.
        eye: Whose it is.
    """
    p = probabilities.astype(np.float64) / probabilities.sum()
    seen = Grading(
        image_id,
        path,
        eye.study,
        eye.laterality,
        probabilities=tuple(p.tolist()),
        expected_grade=float(p @ np.arange(N_GRADES)),
        gradable=quality.score >= POOR,
        quality=quality.score,
        quality_reasons=tuple(quality.reasons),
        model=model_name(metadata),
    )
    if not seen.gradable:
        return seen
    grade, confidence = int(p.argmax()), float(p.max())
    sets, referral = metadata.conformal, metadata.referral
    inside = None if sets is None else grow_sets(p[None], sets.limits)[0]
    return replace(
        seen,
        grade=grade,
        label=Grade(grade).label,
        referable=_at_least(p, REFERABLE, metadata.referable),
        vision_threatening=_at_least(p, VISION_THREATENING, metadata.vision_threatening),
        confidence=confidence,
        conformal_set=None if inside is None else tuple(np.flatnonzero(inside).tolist()),
        refer_to_person=None if referral is None else confidence < referral.confidence,
    )


def _at_least(p: np.ndarray, grade: int, threshold: Threshold | None) -> bool | None:
    return None if threshold is None else bool(p[grade:].sum() >= threshold.threshold)
