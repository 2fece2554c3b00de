"""Elements that results in DICOM copy from their photograph: patient, study, and references to the photograph."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydicom.uid import UID
from pydicom.valuerep import DA, TM

from retinagrade.errors import ImageError
from retinagrade.gradings.grading import NOTICE as NOTICE
from retinagrade.images.decoding import File
from retinagrade.images.dicom import MAKER, read_elements
from retinagrade.storage.files import write_bytes

if TYPE_CHECKING:
    from pydicom import Dataset

LONG: Final = 64
"""Largest length of a "long string" (LO) of the standard, in characters."""
PATIENT_AND_STUDY: Final = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "ReferringPhysicianName",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)
"""Elements that patient and study must have, and the issuer of the patient's id, without which the id is ambiguous.
Nothing else leaves the photograph: no address, no names of staff, no comments."""
_UIDS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
_IMAGE: Final = ("InstanceNumber", "PatientOrientation", "BurnedInAnnotation", "Modality", "Rows", "Columns")


def read_source_elements(path: File) -> Dataset:
    """Reads the elements of a photograph that its results copy; missing mandatory elements are added, empty.

    Args:
        path: A DICOM file, or its bytes.

    Raises:
        ImageError: The file is not readable, or a UID is missing or invalid, so that nothing can refer to it.
    """
    header = read_elements(path, (*PATIENT_AND_STUDY, *_UIDS, *_IMAGE))
    with silence_patient_names(path):
        for name in _UIDS:
            if not UID(str(header.get(name) or "")).is_valid:
                raise ImageError(f"{path}: its {name} is missing or invalid: export it from its archive again")
        for name in PATIENT_AND_STUDY:
            if name not in header and name != "IssuerOfPatientID":
                setattr(header, name, "")
        if header.PatientSex not in ("M", "F", "O"):
            header.PatientSex = ""
        for name, kind in (("PatientBirthDate", DA), ("StudyDate", DA), ("StudyTime", TM)):
            try:
                kind(header[name].value or "")
            except ValueError:
                setattr(header, name, "")
    return header


def write_dicom(result: Dataset, path: Path) -> None:
    """Writes a DICOM file atomically, unless the same result is already there; equal results have equal UIDs.

    Raises:
        ImageError: A name can't be written in the character set that the header states; or another program's file has
            this path.
    """
    if path.exists():
        earlier = read_elements(path, ("SOPInstanceUID", "Manufacturer"))
        if earlier.get("Manufacturer") != MAKER:
            raise ImageError(f"{path} is no result of retinagrade, and stays unchanged: choose another folder")
        if earlier.get("SOPInstanceUID") == result.SOPInstanceUID:
            return
    write_bytes(path, encode_dicom(result, path))


def encode_dicom(result: Dataset, path: File) -> bytes:
    """Returns a DICOM file; ``path`` is for messages.

    Raises:
        ImageError: A name can't be written in the character set that the header states.
    """
    stream = io.BytesIO()
    with silence_patient_names(path):
        result.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@contextmanager
def silence_patient_names(path: File) -> Iterator[None]:
    """Keeps patient names out of warnings, errors and logs, which may quote them; every failure is an ImageError.

    Args:
        path: The photograph, for error messages.

    Raises:
        ImageError: Any error in the block; its message names the type of the error only.
    """
    log = logging.getLogger("pydicom")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageError:
        raise
    except Exception as error:  # the exceptions of pydicom and highdicom have no common base
        raise ImageError(
            f"{path}: its header can't be copied to a result ({type(error).__name__}): export the photograph again"
        ) from None
    finally:
        log.setLevel(level)
