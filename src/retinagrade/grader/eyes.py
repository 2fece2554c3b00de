"""Which eye of which study a photograph shows: by its DICOM header, else by its name where that is unambiguous."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from retinagrade.datasets.eye_names import parse_eye_name
from retinagrade.errors import ImageError
from retinagrade.images.decoding import File
from retinagrade.images.dicom import dicom_facts, holds_dicom


@dataclass(frozen=True)
class EyeIdentity:
    """An eye, as far as it is known.

    Attributes:
        study: What photographs of both eyes share.
        laterality: ``L`` or ``R``.
    """

    study: str | None = None
    laterality: str | None = None


UNKNOWN: Final = EyeIdentity()


def identify_eye(path: File) -> EyeIdentity:
    """The eye that a file shows.

    A DICOM file belongs to its ``StudyInstanceUID``, or else to its patient's pseudonym, and its name says nothing. Any
    other belongs to the patient that its name tells (see :func:`~retinagrade.datasets.eye_names.parse_eye_name`), in its
    folder: patients of two clinics may have one number.

    Returns:
        What is known; nothing of files that can't be read: grading says what is wrong with them.
    """
    if holds_dicom(path):
        try:
            facts = dicom_facts(path)
        except (ImageError, ModuleNotFoundError):
            return UNKNOWN
        return EyeIdentity(facts.study_instance_uid or facts.patient_key, facts.laterality)
    named = parse_eye_name(path.stem)
    return UNKNOWN if named is None else EyeIdentity((path.parent / named[0]).as_posix(), named[1])
