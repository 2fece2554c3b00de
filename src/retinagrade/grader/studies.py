"""Both eyes of a study: one answer for the patient, which says what it does not know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from retinagrade.grader.results import Grading
from retinagrade.grades import Grade

SIDES: Final = {"L": "left", "R": "right"}


@dataclass(frozen=True)
class StudyGrading:
    """What is said of one study.

    A study is referable where any photograph is. It is *not* referable only where each eye has a photograph that was
    good enough, and none is: an eye that nobody could look at is no healthy eye.

    Attributes:
        study: Its id: DICOM's ``StudyInstanceUID``, or the patient.
        grade: The worst of its photographs.
        label: That in words.
        left: The left eye's; ``None`` where none of its photographs was graded.
        right: The right eye's, likewise.
        referable: ``None`` where it can't be said.
        vision_threatening: Likewise.
        refer_to_person: Whether a person should look whatever the grade.
        undecided: What is not known of it: eyes without a photograph that could be graded.
        photographs: Ids of its photographs, also of those that weren't graded.
        model: The file's name and version.
    """

    study: str
    grade: int | None
    label: str | None
    left: int | None
    right: int | None
    referable: bool | None
    vision_threatening: bool | None
    refer_to_person: bool
    undecided: tuple[str, ...]
    photographs: tuple[str, ...]
    model: str

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return asdict(self)


def grade_studies(gradings: Iterable[Grading]) -> list[StudyGrading]:
    """One result for each study, in the order of their first photographs; those of no known study are left out."""
    return [grade_study(study, each) for study, each in group_by_study(gradings).items()]


def group_by_study(gradings: Iterable[Grading]) -> dict[str, list[Grading]]:
    """Gradings by the study that they are of; those of no known study are left out."""
    studies: dict[str, list[Grading]] = {}
    for one in gradings:
        if one.study is not None:
            studies.setdefault(one.study, []).append(one)
    return studies


def describe_study(study: StudyGrading) -> str:
    """The result in a line, for people."""
    grade = "no grade" if study.grade is None else f"grade {study.grade} {study.label}"
    referable = {None: "", True: ", referable", False: ", not referable"}[study.referable]
    unknown = "".join(f"; {each}" for each in study.undecided)
    return f"{grade}{referable}{unknown}{'; a person should look' if study.refer_to_person else ''}"


def grade_study(study: str, gradings: Sequence[Grading]) -> StudyGrading:
    """What is said of one study.

    Args:
        study: Its id.
        gradings: What is said of its photographs, at least one.
    """
    eyes = {side: [one for one in gradings if one.laterality == side] for side in SIDES}
    grade = _worst(gradings)
    undecided = tuple(
        reason for side, name in SIDES.items() if (reason := _unknown(name, eyes[side], gradings)) is not None
    )
    return StudyGrading(
        study,
        grade,
        label=None if grade is None else Grade(grade).label,
        left=_worst(eyes["L"]),
        right=_worst(eyes["R"]),
        referable=_decided("referable", gradings, undecided),
        vision_threatening=_decided("vision_threatening", gradings, undecided),
        refer_to_person=bool(undecided) or any(one.refer_to_person for one in gradings if one.grade is not None),
        undecided=undecided,
        photographs=tuple(one.image_id for one in gradings),
        model=gradings[0].model,
    )


def _worst(gradings: Sequence[Grading]) -> int | None:
    return max((one.grade for one in gradings if one.grade is not None), default=None)


def _unknown(side: str, of_eye: Sequence[Grading], gradings: Sequence[Grading]) -> str | None:
    """Why an eye's state isn't known; ``None`` where it is."""
    if _worst(of_eye) is not None:
        return None
    if not of_eye:
        unsure = any(one.laterality is None for one in gradings)
        return f"no photograph {'known to be ' if unsure else ''}of the {side} eye"
    reasons = sorted({reason for one in of_eye for reason in one.quality_reasons or ("could not be read",)})
    return f"{side} eye not gradable ({', '.join(reasons)})"


def _decided(
    what: Literal["referable", "vision_threatening"], gradings: Sequence[Grading], undecided: Sequence[str]
) -> bool | None:
    said = [getattr(one, what) for one in gradings if one.grade is not None]
    if any(said):
        return True
    return None if undecided or None in said else False
