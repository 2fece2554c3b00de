"""Studies: the photographs of both eyes of a patient become one result, which states every unknown eye."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from retinagrade.grades import Grade
from retinagrade.gradings.grading import SEVERAL_PATIENTS, Grading, describe_grade

SIDES: Final = {"L": "left", "R": "right"}
_MIXED: Final = "photographs of several patients (PatientID)"
"""Reason why a study has no grade."""


@dataclass(frozen=True)
class StudyGrading:
    """The result for one study.

    A study is referable where any of its photographs is. It is *not* referable only where each eye has a graded
    photograph and none of them is referable: an eye without a gradable photograph does not count as healthy.

    A study whose photographs name several patients has no grade: a patient would get the result of another one.

    Attributes:
        study: Id of the study: DICOM's ``StudyInstanceUID``, or the patient.
        predicted_grade: Highest grade of its photographs.
        label: Name of the grade.
        left: Grade of the left eye; ``None`` where none of its photographs was graded.
        right: Grade of the right eye; ``None`` where none of its photographs was graded.
        referable: ``None`` where it is undecided.
        vision_threatening: ``None`` where it is undecided.
        oedema: Macular oedema; ``None`` where it is undecided, and where the grader file doesn't decide it.
        needs_review: True where a person should review the study, whatever its grade.
        undecided: Reasons why an eye has no grade, one for each such eye; or the reason why the study has none.
        photographs: Ids of all its photographs, ungraded ones included.
        model: Name and version of the grader file.
        grader_digest: Digest of the grader file, as in :class:`~retinagrade.gradings.grading.Grading`; so are the
            fields that follow.
        referral: What counts as referable.
        referable_threshold: Threshold of referable retinopathy.
        vision_threatening_threshold: Threshold of vision-threatening retinopathy.
        oedema_threshold: Threshold of macular oedema.
        graded_at: Time of the latest grading of its photographs (UTC).
    """

    study: str
    predicted_grade: int | None
    label: str | None
    left: int | None
    right: int | None
    referable: bool | None
    vision_threatening: bool | None
    oedema: bool | None
    needs_review: bool
    undecided: tuple[str, ...]
    photographs: tuple[str, ...]
    model: str
    grader_digest: str
    referral: str | None
    referable_threshold: float | None
    vision_threatening_threshold: float | None
    oedema_threshold: float | None
    graded_at: str | None = field(compare=False)

    def to_json(self) -> dict[str, Any]:
        """Returns the fields by name."""
        return asdict(self)


def grade_studies(gradings: Iterable[Grading]) -> list[StudyGrading]:
    """Grades every study, in the order of their first photographs; photographs without a study are left out."""
    return [grade_study(study, members) for study, members in group_by_study(gradings).items()]


def group_by_study(gradings: Iterable[Grading]) -> dict[str, list[Grading]]:
    """Groups gradings by their study; photographs without a study are left out."""
    studies: dict[str, list[Grading]] = {}
    for grading in gradings:
        if grading.study is not None:
            studies.setdefault(grading.study, []).append(grading)
    return studies


def has_several_patients(gradings: Iterable[Grading]) -> bool:
    """Returns whether photographs of a study name several patients, such as after a mistake at the camera."""
    return len({each.patient for each in gradings if each.patient is not None}) > 1


def mark_mixed_studies(gradings: Sequence[Grading]) -> list[Grading]:
    """Returns gradings of which each with a grade needs review if its study names several patients.

    Somebody has made a mistake, so that nobody knows whose eye a photograph shows, whatever its own header says.
    """
    mixed = {study for study, members in group_by_study(gradings).items() if has_several_patients(members)}
    return [_mark(each) if each.study in mixed else each for each in gradings]


def _mark(grading: Grading) -> Grading:
    if grading.predicted_grade is None or SEVERAL_PATIENTS in grading.review_reasons:
        return grading
    return replace(grading, needs_review=True, review_reasons=(*grading.review_reasons, SEVERAL_PATIENTS))


def describe_study(study: StudyGrading) -> str:
    """Describes a study in one line.

    Example:
        >>> fields = {"predicted_grade": 2, "label": "moderate", "referable": True}
        >>> left, right = (Grading(side, None, "7", side, **fields) for side in "LR")
        >>> describe_study(grade_study("7", [left, right]))
        'grade 2, moderate non-proliferative diabetic retinopathy, referable; needs review by a person'
    """
    grade = "no grade" if study.predicted_grade is None else describe_grade(study.predicted_grade)
    referable = {None: "", True: ", referable", False: ", not referable"}[study.referable]
    threatening = ", may threaten vision" if study.vision_threatening else ""
    oedema = ", signs of macular oedema" if study.oedema else ""
    unknown = "".join(f"; {reason}" for reason in study.undecided)
    return (
        f"{grade}{referable}{threatening}{oedema}{unknown}{'; needs review by a person' if study.needs_review else ''}"
    )


def grade_study(study: str, gradings: Sequence[Grading]) -> StudyGrading:
    """Grades one study.

    Args:
        study: Id of the study.
        gradings: Gradings of its photographs, at least one.
    """
    first, of_one_patient = gradings[0], [] if has_several_patients(gradings) else gradings
    eyes = {side: [grading for grading in of_one_patient if grading.laterality == side] for side in SIDES}
    unknown = [_unknown(name, eyes[side], gradings) for side, name in SIDES.items()] if of_one_patient else [_MIXED]
    undecided = tuple(reason for reason in unknown if reason is not None)
    grade = _highest(of_one_patient)
    return StudyGrading(
        study,
        grade,
        label=None if grade is None else Grade(grade).label,
        left=_highest(eyes["L"]),
        right=_highest(eyes["R"]),
        referable=_decide("referable", of_one_patient, undecided),
        vision_threatening=_decide("vision_threatening", of_one_patient, undecided),
        oedema=_decide("oedema", of_one_patient, undecided),
        needs_review=bool(undecided) or any(each.needs_review for each in gradings if each.predicted_grade is not None),
        undecided=undecided,
        photographs=tuple(each.image_id for each in gradings),
        model=first.model,
        grader_digest=first.grader_digest,
        referral=first.referral,
        referable_threshold=first.referable_threshold,
        vision_threatening_threshold=first.vision_threatening_threshold,
        oedema_threshold=first.oedema_threshold,
        graded_at=max(filter(None, (each.graded_at for each in gradings)), default=None),
    )


def _highest(gradings: Sequence[Grading]) -> int | None:
    return max((grading.predicted_grade for grading in gradings if grading.predicted_grade is not None), default=None)


def _unknown(side: str, of_eye: Sequence[Grading], gradings: Sequence[Grading]) -> str | None:
    """Returns the reason why an eye has no grade; ``None`` where it has one."""
    if _highest(of_eye) is not None:
        return None
    if not of_eye:
        unsure = any(grading.laterality is None for grading in gradings)
        return f"no photograph {'known to be ' if unsure else ''}of the {side} eye"
    reasons = sorted({reason for each in of_eye for reason in each.quality_reasons or ("could not be read",)})
    return f"{side} eye ungradable ({', '.join(reasons)})"


def _decide(
    decision: Literal["referable", "vision_threatening", "oedema"],
    gradings: Sequence[Grading],
    undecided: Sequence[str],
) -> bool | None:
    answers = [getattr(grading, decision) for grading in gradings if grading.predicted_grade is not None]
    if any(answers):
        return True
    return None if undecided or None in answers else False
