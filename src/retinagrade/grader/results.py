"""The grading of one photograph, as a pure function of its probabilities and its quality."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from retinagrade.evaluation.ordinal_sets import grow_sets
from retinagrade.grader.eyes import UNKNOWN, EyeIdentity
from retinagrade.grader.lesions import PhotographLesions
from retinagrade.grader.metadata import Metadata, Threshold
from retinagrade.grades import N_GRADES, REFERABLE, VISION_THREATENING, Grade
from retinagrade.images.quality import POOR, Quality
from retinagrade.lesion_maps.grade_model import least_cost_grade

DIGITS: Final = 9
"""Decimals of the numbers in results. A network computes about seven, and a cell of a spreadsheet keeps nine."""


GRADED_KINDS: Final = ("microaneurysms", "haemorrhages", "hard_exudates", "soft_exudates")
"""Kinds of lesions that results count."""
_FAR_FROM_RULES: Final = 2
"""Difference between the grade and that of the clinical rules from which a person should look."""
_SMALLEST_WIDTH: Final = 500.0
"""Width of the field of view, in pixels, below which a microaneurysm covers less than two pixels."""


@dataclass(frozen=True)
class Grading:
    """The result for one photograph.

    An ungradable photograph gets no grade, no decision and no set of grades. It keeps the probabilities of the network
    for analysis; nobody should act on them.

    Attributes:
        image_id: Id of the photograph.
        path: File of the photograph; ``None`` for an array.
        study: Id that the photographs of both eyes of a patient share; ``None`` where it is unknown. See
            :func:`~retinagrade.grader.studies.grade_studies`.
        laterality: ``L`` or ``R``; ``None`` where it is unknown.
        predicted_grade: ICDR grade, 0 to 4: the most probable one, and the lower of two equally probable ones; or,
            where the grader file says so, the one with the lowest expected quadratic cost.
        label: Name of this grade.
        probabilities: Calibrated probabilities of grades 0 to 4.
        expected_grade: Mean of the grades, weighted by their probabilities; 0 to 4.
        referable: True from the threshold of the grader file on; ``None`` where the file has no such threshold.
        vision_threatening: Same for vision-threatening retinopathy.
        confidence: Probability of the predicted grade.
        prediction_set: Neighbouring grades that contain the right grade with the coverage that the grader file states.
        needs_review: True where a person should review the photograph, whatever its grade; ``None`` where the
            grader file has no rule.
        gradable: True where the quality is sufficient; ``None`` where the photograph could not be read.
        quality: Image quality, 0 to 1.
        quality_reasons: Reasons for poor quality, the most serious one first.
        review_reasons: Reasons why a person should review a photograph that has a grade.
        microaneurysms: Number of microaneurysms; like the following fields ``None`` where the grader file doesn't
            outline such lesions, and where the photograph could not be read.
        microaneurysms_area: Their area, as a share of the field of view, 0 to 1.
        microaneurysms_quadrants: Their numbers in the upper left, upper right, lower left and lower right quadrant of
            the photograph.
        haemorrhages: Number of haemorrhages.
        haemorrhages_area: Their area.
        haemorrhages_quadrants: Their numbers by quadrant.
        hard_exudates: Number of hard exudates.
        hard_exudates_area: Their area.
        hard_exudates_quadrants: Their numbers by quadrant.
        soft_exudates: Number of soft exudates (cotton-wool spots).
        soft_exudates_area: Their area.
        soft_exudates_quadrants: Their numbers by quadrant.
        rule_grade: Grade, 0 to 3, that the counted lesions give by the definitions of the ICDR scale: a second opinion.
        oedema_probability: Probability of a risk of macular oedema of 1 or 2.
        oedema_risk: Most probable risk of macular oedema: 0 no hard exudates, 1 exudates farther than one diameter of
            the optic disc from the fovea, 2 nearer ones.
        model: Name and version of the grader file.
        error: Reason why the photograph could not be used.
        digest: SHA-256 digest of the photograph's file; in an object store its ETag and size, where it has one;
            ``None`` for an array, and where the file could not be read.
        grader_digest: SHA-256 digest of the grader file, apart from the time of its export.
    """

    image_id: str
    path: str | None
    study: str | None = None
    laterality: str | None = None
    predicted_grade: int | None = None
    label: str | None = None
    probabilities: tuple[float, ...] | None = None
    expected_grade: float | None = None
    referable: bool | None = None
    vision_threatening: bool | None = None
    confidence: float | None = None
    prediction_set: tuple[int, ...] | None = None
    needs_review: bool | None = True
    gradable: bool | None = None
    quality: float | None = None
    quality_reasons: tuple[str, ...] = ()
    review_reasons: tuple[str, ...] = ()
    microaneurysms: int | None = None
    microaneurysms_area: float | None = None
    microaneurysms_quadrants: tuple[int, ...] | None = None
    haemorrhages: int | None = None
    haemorrhages_area: float | None = None
    haemorrhages_quadrants: tuple[int, ...] | None = None
    hard_exudates: int | None = None
    hard_exudates_area: float | None = None
    hard_exudates_quadrants: tuple[int, ...] | None = None
    soft_exudates: int | None = None
    soft_exudates_area: float | None = None
    soft_exudates_quadrants: tuple[int, ...] | None = None
    rule_grade: int | None = None
    oedema_probability: float | None = None
    oedema_risk: int | None = None
    model: str = ""
    error: str | None = None
    digest: str | None = None
    grader_digest: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns the fields by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        """Makes a grading from the fields that :meth:`to_json` returned; lists become tuples.

        Raises:
            TypeError: A field is missing or unknown.
        """
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in row.items()
        }
        return cls(**values)


_DESCRIPTIONS: Final = {
    Grade.NONE: "no diabetic retinopathy",
    Grade.MILD: "mild non-proliferative diabetic retinopathy",
    Grade.MODERATE: "moderate non-proliferative diabetic retinopathy",
    Grade.SEVERE: "severe non-proliferative diabetic retinopathy",
    Grade.PROLIFERATIVE: "proliferative diabetic retinopathy",
}


def describe_grade(grade: int) -> str:
    """Returns a grade with its clinical name.

    Example:
        >>> describe_grade(1)
        'grade 1, mild non-proliferative diabetic retinopathy'
    """
    return f"grade {grade}, {_DESCRIPTIONS[Grade(grade)]}"


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
        eye: Study and laterality.
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
        probabilities=tuple(p.round(DIGITS).tolist()),
        expected_grade=round(float(p @ np.arange(N_GRADES)), DIGITS),
        gradable=quality.score >= POOR,
        quality=round(quality.score, DIGITS),
        quality_reasons=tuple(quality.reasons),
        model=model_name(metadata),
        grader_digest=metadata.digest,
        **({} if lesions is None else _lesion_fields(lesions)),
    )
    if not ungraded.gradable:
        return ungraded
    grade = int(p.argmax()) if metadata.decision == "most-probable" else least_cost_grade(p)
    confidence = float(p[grade])
    sets, review = metadata.prediction_sets, metadata.review
    members = None if sets is None else grow_sets(p[None], sets.limits)[0]
    reasons = _review_reasons(grade, confidence, eye, lesions, width, metadata)
    return replace(
        ungraded,
        predicted_grade=grade,
        label=Grade(grade).label,
        referable=_is_positive(p, REFERABLE, metadata.referable),
        vision_threatening=_is_positive(p, VISION_THREATENING, metadata.vision_threatening),
        confidence=round(confidence, DIGITS),
        prediction_set=None if members is None else tuple(np.flatnonzero(members).tolist()),
        needs_review=True if reasons else None if review is None else False,
        review_reasons=reasons,
    )


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
        eye: Study and laterality.
        digest: Digest of the file, if it could be read.
    """
    return Grading(
        image_id,
        path,
        eye.study,
        eye.laterality,
        model=model_name(metadata),
        error=error,
        digest=digest,
        grader_digest=metadata.digest,
    )


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


def _is_positive(p: NDArray[np.float64], lowest: int, threshold: Threshold | None) -> bool | None:
    """Compares the probability of the grades from ``lowest`` on with a threshold."""
    return None if threshold is None else bool(p[lowest:].sum() >= threshold.threshold)
