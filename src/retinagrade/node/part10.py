"""DICOM files: their header, and the data set after it.

Source: DICOM PS3.10 7.1 (DICOM File Meta Information).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from pydicom.config import IGNORE
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import UID

from retinagrade.errors import ImageError
from retinagrade.grader.dicom_source import silence_patient_names


@dataclass(frozen=True)
class FileHeader:
    """The header of a DICOM file.

    Attributes:
        sop_class: SOP Class UID.
        uid: SOP Instance UID.
        syntax: UID of the transfer syntax of the data set.
        size: Size of the header with its preamble, in bytes.
    """

    sop_class: str
    uid: str
    syntax: str
    size: int


def read_header(data: bytes) -> FileHeader | None:
    """Reads the header of a DICOM file; ``None`` where it is missing or damaged.

    Args:
        data: The file, or its beginning.
    """
    stream = io.BytesIO(data)
    try:
        with silence_patient_names(Path("photograph")):
            read_preamble(stream, force=False)
            meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
            names = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")
            sop_class, uid, syntax = (str(meta.get(name) or "") for name in names)
    except ImageError:
        return None
    header = FileHeader(sop_class, uid, syntax, stream.tell())
    return header if all(UID(each, IGNORE).is_valid for each in (sop_class, uid, syntax)) else None
