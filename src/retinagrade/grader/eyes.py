"""Study, laterality and patient of a photograph: from its DICOM header, else from an unambiguous file name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from retinagrade.datasets.eye_names import parse_eye_name
from retinagrade.errors import ImageError
from retinagrade.images.decoding import File
from retinagrade.images.dicom import holds_dicom, read_dicom_facts


@dataclass(frozen=True)
class EyeIdentity:
    """The study, the side and the patient of an eye, as far as they are known.

    Attributes:
        study: Id that the photographs of both eyes of a patient share.
        laterality: ``L`` or ``R``.
        patient: Pseudonym of the patient of a DICOM file; ``None`` for any other file.
    """

    study: str | None = None
    laterality: str | None = None
    patient: str | None = None


UNKNOWN: Final = EyeIdentity()


def identify_eye(path: File) -> EyeIdentity:
    """Identifies the eye that a file shows.

    A DICOM file belongs to its ``StudyInstanceUID``, or else to the pseudonym of its patient; its file name counts for
    nothing. Any other file belongs to the patient in its name (see
    :func:`~retinagrade.datasets.eye_names.parse_eye_name`) and in its folder, since patients of two clinics may have
    the same number.

    Returns:
        The known facts; none for a file that can't be read, whose grading states the error.
    """
    if holds_dicom(path):
        try:
            facts = read_dicom_facts(path)
        except (ImageError, ModuleNotFoundError):
            return UNKNOWN
        return EyeIdentity(facts.study_instance_uid or facts.patient_key, facts.laterality, facts.patient_key)
    return _eye_in_name(path)


def without_patient_of_name(eye: EyeIdentity, path: File) -> EyeIdentity:
    """Returns what :func:`identify_eye` found, without a study that stands in the name of the file only."""
    return replace(eye, study=None) if eye.study == _eye_in_name(path).study else eye


def _eye_in_name(path: File) -> EyeIdentity:
    named = parse_eye_name(path.stem)
    return UNKNOWN if named is None else EyeIdentity((path.parent / named[0]).as_posix(), named[1])
