"""What results in DICOM take over from the photograph that they are of: whose it is, and what it is called."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydicom.uid import UID
from pydicom.valuerep import DA, TM

from retinagrade.errors import ImageError
from retinagrade.files import atomic_path
from retinagrade.images.dicom import read_elements

if TYPE_CHECKING:
    from pydicom import Dataset

NOTICE: Final = "Research software, not a medical device. Not to be used to diagnose or treat anybody."
LONG: Final = 64
"""Characters that a "long string" of the standard may have."""
_WHOSE: Final = (
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
"""What patient and study must carry, and who issued the patient's id, without which it may be another's. No more of it
leaves the photograph: no address, no names of staff, no comments."""
_UIDS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
_IMAGE: Final = ("InstanceNumber", "PatientOrientation", "BurnedInAnnotation")


def read_source_elements(path: Path) -> Dataset:
    """The elements of a photograph that its results take over; those that must be there are, perhaps empty.

    Args:
        path: A DICOM file.

    Raises:
        ImageError: Not readable, or its ids are missing or not valid: nothing could refer to it.
    """
    header = read_elements(path, (*_WHOSE, *_UIDS, *_IMAGE))
    with silence_patient_names(path):
        for name in _UIDS:
            if not UID(str(header.get(name) or "")).is_valid:
                raise ImageError(f"{path}: its {name} is missing or not valid: export it from its archive again")
        for name in _WHOSE:
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
    """Writes a DICOM file atomically, unless it is there: a result has the same id when it is made again.

    Raises:
        ImageError: A name can't be written in the character set that its header says.
    """
    if path.is_file() and read_elements(path, ("SOPInstanceUID",)).get("SOPInstanceUID") == result.SOPInstanceUID:
        return
    with silence_patient_names(path), atomic_path(path) as temporary:
        result.save_as(temporary, enforce_file_format=True)


@contextmanager
def silence_patient_names(path: Path) -> Iterator[None]:
    """Keeps a patient's name off screen and logs, which warnings and errors may quote: what fails is an ImageError."""
    log = logging.getLogger("pydicom")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageError:
        raise
    except Exception as error:  # pydicom's and highdicom's have no common base
        raise ImageError(
            f"{path}: its header can't be carried over to a result ({type(error).__name__}): export it again"
        ) from None
    finally:
        log.setLevel(level)
