"""A folder of DICOM photographs, as a camera or an archive exports it: eyes and patients, no grades."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.datasets.reader import Reader
from retinagrade.errors import ImageError, LayoutError
from retinagrade.images.dicom import DicomFacts, holds_dicom, read_dicom_facts
from retinagrade.images.read import PHOTOGRAPH_SUFFIXES
from retinagrade.manifest import Manifest
from retinagrade.messages import count_and_first_few

_SUFFIX: Final = ".dcm"
_INDEX: Final = "DICOMDIR"
_OTHER_SUFFIXES: Final = PHOTOGRAPH_SUFFIXES - {_SUFFIX}


def is_dicom_folder(source: Path) -> bool:
    """Whether a folder, or one below it, holds a DICOM file under any name. Doesn't need pydicom."""
    return source.is_dir() and any(holds_dicom(path) for path in _candidates(source))


def read_dicom_folder(source: Path) -> Manifest:
    """Reads all DICOM files of a folder and the folders below it.

    Files with the suffix ``.dcm`` are included whatever they hold, so that their preparation reports problems; files
    with different names are included if they are DICOM. ``DICOMDIR``, which is an index, hidden files and other
    photographs are left out.

    Args:
        source: The folder.

    Returns:
        A manifest without grades. Ids are relative paths without the suffix ``.dcm``; no other suffix is removed,
        because files are often named by a UID, whose last part is no suffix. ``patient_id`` is the pseudonym that
        :func:`~retinagrade.images.dicom.read_dicom_facts` makes. It and ``laterality`` are missing where the header
        lacks them or can't be read.

    Raises:
        LayoutError: There are no such files, or files whose names differ in the suffix only.
        ModuleNotFoundError: pydicom isn't installed.
    """
    files = sorted(path for path in _candidates(source) if path.suffix.lower() == _SUFFIX or holds_dicom(path))
    if not files:
        raise LayoutError(f"{source}: no DICOM files in it or in the folders below it")
    relative = [path.relative_to(source) for path in files]
    ids = [_without_suffix(path).as_posix() for path in relative]
    if repeated := [name for name, count in Counter(ids).items() if count > 1]:
        raise LayoutError(
            f"{source}: DICOM files that differ in suffix only ({count_and_first_few(repeated)}): keep one of each"
        )
    facts = [_read_facts(path) for path in files]
    rows = pd.DataFrame(
        {
            "image_id": ids,
            "path": [path.as_posix() for path in relative],
            "patient_id": [fact.patient_key for fact in facts],
            "laterality": [fact.laterality for fact in facts],
            "dataset": "dicom",
        }
    )
    return Manifest.from_table(rows, source, str(source))


DICOM: Final = Reader(
    "dicom",
    "DICOM files in any folders, where nothing else fits",
    is_dicom_folder,
    lambda source, complete: read_dicom_folder(source),
)


def _candidates(source: Path) -> Iterator[Path]:
    """Yields the files that may be DICOM by their names."""
    for path in source.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
        is_candidate = path.name.upper() != _INDEX and path.suffix.lower() not in _OTHER_SUFFIXES
        if not hidden and is_candidate and path.is_file():
            yield path


def _without_suffix(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() == _SUFFIX else path


def _read_facts(path: Path) -> DicomFacts:
    try:
        return read_dicom_facts(path)
    except ImageError:  # the preparation of the photograph reports it
        return DicomFacts()
