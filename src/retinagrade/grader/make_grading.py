"""The grading of one photograph, which its probabilities and its quality determine, but for the time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.evaluation.ordinal_sets import grow_sets
from retinagrade.gate.quality import Quality
from retinagrade.grader.eyes import UNKNOWN, EyeIdentity
from retinagrade.grader.lesions import PhotographLesions
from retinagrade.grader.metadata import Metadata, Threshold
from retinagrade.grades import N_GRADES, REFERABLE, VISION_THREATENING, Grade
from retinagrade.gradings.grading import (
    BELOW_REFERRAL,
    DIGITS,
    GATE_WOULD_REFUSE,
    GRADED_KINDS,
    SEVERAL_PATIENTS,
    Grading,
)
from retinagrade.provenance import utc_time

REVIEW_KINDS: Final = (
    *(GATE_WOULD_REFUSE, BELOW_REFERRAL, SEVERAL_PATIENTS),
    *("uncertain grade", "clinical rules", "named as", "too small"),
)
"""Kinds of the reasons for a review; each reason begins with its kind."""
_FAR_FROM_RULES: Final = 2
"""Difference between the grade and that of the clinical rules from which a person should look."""
_SMALLEST_WIDTH: Final = 500.0
"""Width of the field of view, in pixels, below which a microaneurysm covers less than two pixels."""


def model_name(metadata: Metadata) -> str:
    """Returns the name and version of a grader file, as results state it."""
    return f"{metadata.name} {metadata.version}"


def model_identity(metadata: Metadata) -> tuple[str, str]:
    """Returns name and version of a grader file, and its digest; together they tell two files apart."""
    return model_name(metadata), metadata.digest


def make_grading(
    image_id: str,
    path: str | None,
    probabilities: NDArray[np.floating[Any]],
    quality: Quality,
    metadata: Metadata,
    eye: EyeIdentity = UNKNOWN,
    lesions: PhotographLesions | None = None,
    width: float | None = None,
) -> Grading:
    """Makes the grading of a photograph that could be read.

    Args:
        image_id: Id of the photograph.
        path: File of the photograph.
        probabilities: Calibrated probabilities (5,).
        quality: Image quality.
        metadata: Metadata of the grader file: thresholds, limits of the conformal sets, review rule.
        eye: Study, laterality and patient.
        lesions: The lesions, for a grader file that outlines them.
        width: Width of the field of view in the original photograph, in pixels; ``None`` where it is unknown.
    """
    p = probabilities.astype(np.float64) / probabilities.sum()
    # Decisions use all digits. Results have as many as a cell of a spreadsheet keeps.
    ungraded = Grading(
        image_id,
        path,
        eye.study,
        eye.laterality,
        patient=eye.patient,
        probabilities=tuple(p.round(DIGITS).tolist()),
        expected_grade=round(float(p @ np.arange(N_GRADES)), DIGITS),
        gradable=quality.is_gradable,
        modality=quality.modality,
        centre=quality.centre,
        quality=round(quality.score, DIGITS),
        quality_level=quality.level,
        quality_reasons=quality.reasons,
        **_origin(metadata),
        **({} if lesions is None or not quality.is_gradable else _lesion_fields(lesions)),
    )
    if not ungraded.gradable:
        return ungraded
    grade = int(p.argmax())
    confidence = float(p[grade])
    sets, review = metadata.prediction_sets, metadata.review
    members = None if sets is None else grow_sets(p[None], sets.limits)[0]
    oedema = None if lesions is None else _has_oedema(lesions, metadata.oedema)
    referral_reasons = _referral_reasons(_is_positive(p, REFERABLE, metadata.referable), oedema, metadata)
    reasons = _review_reasons(grade, confidence, eye, lesions, width, metadata)
    if grade >= REFERABLE and referral_reasons == ():
        reasons = (f"{BELOW_REFERRAL} (grade {grade})", *reasons)
    if quality.is_refused:  # and graded all the same, because the gate is off
        reasons = (GATE_WOULD_REFUSE, *reasons)
    return replace(
        ungraded,
        predicted_grade=grade,
        label=Grade(grade).label,
        referable=None if referral_reasons is None else bool(referral_reasons),
        referral_reasons=referral_reasons or (),
        oedema=oedema,
        vision_threatening=_is_positive(p, VISION_THREATENING, metadata.vision_threatening),
        confidence=round(confidence, DIGITS),
        prediction_set=None if members is None else tuple(np.flatnonzero(members).tolist()),
        needs_review=True if reasons else None if review is None else False,
        review_reasons=reasons,
    )


def review_kind(reason: str) -> str:
    """Returns the kind of a reason for a review, one of :data:`REVIEW_KINDS`.

    Example:
        >>> review_kind("too small to show microaneurysms (320 px across)")
        'too small'
    """
    return next(kind for kind in REVIEW_KINDS if reason.startswith(kind))


def failed_grading(
    image_id: str,
    path: str | None,
    error: str | None,
    metadata: Metadata,
    eye: EyeIdentity = UNKNOWN,
    digest: str | None = None,
) -> Grading:
    """Makes the grading of a photograph that could not be used.

    Args:
        image_id: Id of the photograph.
        path: File of the photograph.
        error: Reason why it could not be used.
        metadata: Metadata of the grader file.
        eye: Study, laterality and patient.
        digest: Digest of the file, if it could be read.
    """
    return Grading(
        image_id,
        path,
        eye.study,
        eye.laterality,
        patient=eye.patient,
        error=error,
        digest=digest,
        **_origin(metadata),
    )


def _origin(metadata: Metadata) -> dict[str, Any]:
    """Returns the fields of a grading that say when, by which grader file and by which rules it was made."""
    thresholds = ("referable", "vision_threatening", "oedema")
    return {
        "model": model_name(metadata),
        "grader_digest": metadata.digest,
        "referral": metadata.referral,
        **{f"{name}_threshold": _rounded(getattr(metadata, name)) for name in thresholds},
        "graded_at": utc_time(),
    }


def _rounded(threshold: Threshold | None) -> float | None:
    return None if threshold is None else round(threshold.threshold, DIGITS)


def _lesion_fields(lesions: PhotographLesions) -> dict[str, Any]:
    """Returns the fields of a grading that describe lesions."""
    fields: dict[str, Any] = {"rule_grade": lesions.rule.grade}
    for kind, measured in lesions.measurements.by_kind.items():
        if kind in GRADED_KINDS:
            fields[kind] = sum(measured.counts)
            fields[f"{kind}_area"] = round(sum(measured.areas), DIGITS)
            fields[f"{kind}_quadrants"] = measured.counts
    if lesions.oedema is not None:
        fields["oedema_probability"] = round(1 - lesions.oedema[0], DIGITS)
        fields["oedema_risk"] = int(np.argmax(lesions.oedema))
    return fields


def _review_reasons(
    grade: int,
    confidence: float,
    eye: EyeIdentity,
    lesions: PhotographLesions | None,
    width: float | None,
    metadata: Metadata,
) -> tuple[str, ...]:
    """Returns the reasons why a person should review a photograph that has a grade."""
    reasons = []
    if metadata.review is not None and confidence < metadata.review.confidence:
        reasons.append("uncertain grade")
    if lesions is not None:
        if abs(lesions.rule.grade - grade) >= _FAR_FROM_RULES:
            reasons.append(f"clinical rules give grade {lesions.rule.grade} ({lesions.rule.reason})")
        seen = lesions.anatomy.laterality
        if seen is not None and eye.laterality is not None and seen[0].upper() != eye.laterality:
            named = {"L": "left", "R": "right"}[eye.laterality]
            reasons.append(f"named as a {named} eye but looks like a {seen} one")
        if width is not None and width < _SMALLEST_WIDTH:
            reasons.append(f"too small to show microaneurysms ({width:.0f} px across)")
    return tuple(reasons)


def _has_oedema(lesions: PhotographLesions, threshold: Threshold | None) -> bool | None:
    if lesions.oedema is None or threshold is None:
        return None
    return 1 - lesions.oedema[0] >= threshold.threshold


def _referral_reasons(retinopathy: bool | None, oedema: bool | None, metadata: Metadata) -> tuple[str, ...] | None:
    """Returns the findings for which a photograph is referable; ``None`` where that depends on an unknown one."""
    findings = {"retinopathy": retinopathy}
    if metadata.referral == "retinopathy-or-oedema":
        findings["macular oedema"] = oedema
    found = tuple(name for name, is_found in findings.items() if is_found)
    return None if not found and None in findings.values() else found


def _is_positive(p: NDArray[np.float64], lowest: int, threshold: Threshold | None) -> bool | None:
    """Compares the probability of the grades from ``lowest`` on with a threshold."""
    return None if threshold is None else bool(p[lowest:].sum() >= threshold.threshold)
