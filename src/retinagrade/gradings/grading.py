"""The result for one photograph."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, Self

from retinagrade.grades import Grade

NOTICE: Final = "Research software, not a medical device. Do not use it to diagnose or treat patients."
DIGITS: Final = 9
"""Decimals of the numbers in results. A network computes about seven, and a cell of a spreadsheet keeps nine."""
BELOW_REFERRAL: Final = "below the threshold of referral"
"""Reason for the review of a photograph of grade 2 or worse that isn't referred."""
SEVERAL_PATIENTS: Final = "photographs of several patients (PatientID) in its study"
"""Reason for the review of a photograph whose study names several patients."""
GATE_WOULD_REFUSE: Final = "gate would refuse it"
"""Reason for the review of a photograph that was graded because the gate is off."""
SeenBefore = Literal["training", "fit"]
"""Use that a grader file made of a photograph before it graded it."""
GRADED_KINDS: Final = ("microaneurysms", "haemorrhages", "hard_exudates", "soft_exudates")
"""Kinds of lesions that results count."""


@dataclass(frozen=True)
class Grading:
    """The result for one photograph.

    An ungradable photograph gets no grade, no decision, no set of grades, and no counts of lesions: a count of 0 would
    look like a healthy eye. It keeps the probabilities of the network for analysis; nobody should act on them.

    Attributes:
        image_id: Id of the photograph.
        path: File of the photograph; ``None`` for an array.
        study: Id that the photographs of both eyes of a patient share; ``None`` where it is unknown. See
            :func:`~retinagrade.gradings.studies.grade_studies`.
        laterality: ``L`` or ``R``; ``None`` where it is unknown.
        predicted_grade: ICDR grade, 0 to 4: the most probable one, and the lower of two equally probable ones.
        label: Name of this grade.
        probabilities: Calibrated probabilities of grades 0 to 4.
        expected_grade: Mean of the grades, weighted by their probabilities; 0 to 4.
        referable: True from the threshold of the grader file on; ``None`` where the file has no such threshold.
        vision_threatening: Same for vision-threatening retinopathy.
        referral_reasons: The findings for which the photograph is referable: ``retinopathy``, ``macular oedema`` or
            both; none where it isn't referable. The grader file says whether macular oedema counts.
        confidence: Probability of the predicted grade.
        prediction_set: Neighbouring grades that contain the right grade with the coverage that the grader file states.
        needs_review: True where a person should review the photograph, whatever its grade; ``None`` where the
            grader file has no rule.
        gradable: True where the quality is sufficient; ``None`` where the photograph could not be read.
        modality: ``colour``, ``red-free``, ``fluorescence``, ``wide-field``, or ``no fundus`` for anything but one
            photograph of one fundus.
        centre: ``macula``, ``optic disc`` or ``neither``: the landmark in the centre of a colour photograph.
        quality: Image quality, 0 to 1: about 1 for a good photograph, a half for a usable one, 0 for a rejected one.
        quality_level: ``good``, ``usable`` (graded with a warning), ``reject`` (no grade), or ``unchecked`` where the
            gate was off.
        quality_reasons: Reasons for a warning or a refusal, the most serious one first, and what a photographer can do.
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
        oedema: True from the threshold of the grader file on; ``None`` where the file has no such threshold.
        oedema_risk: Most probable risk of macular oedema: 0 no hard exudates, 1 exudates farther than one diameter of
            the optic disc from the fovea, 2 nearer ones.
        patient: Pseudonym of the patient of a DICOM photograph, 16 hexadecimal digits made from its ``PatientID``;
            ``None`` for any other photograph, and where a list names the patient.
        model: Name and version of the grader file.
        error: Reason why the photograph could not be used.
        seen_before: ``training`` where the networks of the grader file were trained on this very file, ``fit`` where a
            site's thresholds were fitted on it, and ``None`` where neither is known. Such a result flatters the grader.
        digest: SHA-256 digest of the photograph's file; in an object store its ETag and size, where it has one;
            ``None`` for an array, and where the file could not be read.
        grader_digest: SHA-256 digest of the grader file, apart from the times of its export and changes.
        referral: What counts as referable by the grader file: ``retinopathy`` or ``retinopathy-or-oedema``.
        referable_threshold: Least probability of referable retinopathy that is ``referable``; like the following
            thresholds ``None`` where the grader file has none.
        vision_threatening_threshold: Same for ``vision_threatening``.
        oedema_threshold: Same for ``oedema``.
        graded_at: Time of the grading (UTC), to the second; two gradings that differ in it alone are equal.
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
    referral_reasons: tuple[str, ...] = ()
    confidence: float | None = None
    prediction_set: tuple[int, ...] | None = None
    needs_review: bool | None = True
    gradable: bool | None = None
    modality: str | None = None
    centre: str | None = None
    quality: float | None = None
    quality_level: str | None = None
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
    oedema: bool | None = None
    oedema_risk: int | None = None
    patient: str | None = None
    model: str = ""
    error: str | None = None
    seen_before: SeenBefore | None = None
    digest: str | None = None
    grader_digest: str = ""
    referral: str | None = None
    referable_threshold: float | None = None
    vision_threatening_threshold: float | None = None
    oedema_threshold: float | None = None
    graded_at: str | None = field(default=None, compare=False)

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
