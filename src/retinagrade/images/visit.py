"""The visit that a photograph belongs to: the patient's id and the date, for people who look at its result."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from PIL.JpegImagePlugin import JpegImageFile

from retinagrade.errors import ImageError
from retinagrade.images.decoding import File, as_image_errors, read_photograph_bytes
from retinagrade.images.dicom import read_elements
from retinagrade.images.formats import DICOM, HEAD, JPEG, recognise_file

_DATES: Final = ("StudyDate", "AcquisitionDate", "AcquisitionDateTime", "ContentDate")
"""Dates of a DICOM file, the most fitting one first."""
_EXIF_IFD: Final = 0x8769
_DATE_TIME_ORIGINAL: Final = 36867
_LONGEST: Final = 64
"""Largest length of a patient's id in DICOM."""


@dataclass(frozen=True)
class Visit:
    """The patient and the date of a photograph, as far as its file states them.

    A patient's id is personal data. It is for the person who sent the file, and for no table, log or message.

    Attributes:
        patient_id: Id of the patient, as the clinic wrote it.
        examined_on: Date of the examination, as ``YYYY-MM-DD``.
    """

    patient_id: str | None = None
    examined_on: str | None = None


UNKNOWN_VISIT: Final = Visit()


def read_visit(path: File) -> Visit:
    """Reads the visit from a DICOM header, or the date from the EXIF block of any other photograph.

    Returns:
        What the file states; nothing for a file that can't be read, whose grading states the error.
    """
    try:
        data = read_photograph_bytes(path)
        known = recognise_file(str(path), data[:HEAD])
        if known is DICOM:
            return _dicom_visit(path)
        opener = JpegImageFile if known is JPEG else None if known is None or known.opener is None else known.opener()
        if opener is None:
            return UNKNOWN_VISIT
        with as_image_errors(path, "EXIF"), opener(io.BytesIO(data)) as image:
            written = str(image.getexif().get_ifd(_EXIF_IFD).get(_DATE_TIME_ORIGINAL) or "")
        return Visit(examined_on=_date(written[:10].replace(":", "")))
    except (ImageError, ModuleNotFoundError):
        return UNKNOWN_VISIT


def _dicom_visit(path: File) -> Visit:
    header = read_elements(path, ("PatientID", *_DATES))
    with as_image_errors(path, "DICOM"):
        patient = str(header.get("PatientID") or "").strip()[:_LONGEST]
        dates = (_date(str(header.get(name) or "")[:8]) for name in _DATES)
        return Visit(patient or None, next((each for each in dates if each is not None), None))


def _date(digits: str) -> str | None:
    """Returns a date of eight digits as ``YYYY-MM-DD``; ``None`` where there is none."""
    try:
        return datetime.strptime(digits, "%Y%m%d").date().isoformat()
    except ValueError:
        return None
