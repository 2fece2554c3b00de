"""A folder of DICOM photographs, as a camera or an archive exports it: eyes and patients, no grades."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.errors import ImageError, LayoutError
from retinagrade.images.dicom import DicomFacts, holds_dicom, read_dicom_facts
from retinagrade.images.read import PHOTOGRAPH_SUFFIXES
from retinagrade.manifest import Manifest
from retinagrade.messages import count_and_first_few

_SUFFIX: Final = ".dcm"
_INDEX: Final = "DICOMDIR"
_OTHERS: Final = PHOTOGRAPH_SUFFIXES - {_SUFFIX}


def is_dicom_folder(source: Path) -> bool:
    """Whether a folder, or one below it, holds a DICOM file under whatever name. Doesn't need pydicom."""
    return source.is_dir() and any(holds_dicom(path) for path in _candidates(source))


def read_dicom_folder(source: Path) -> Manifest:
    """Reads all DICOM files of a folder and the folders below it.

    Files named ``.dcm`` are taken whatever they hold, so that preparing them says what is wrong; others only if they
    are DICOM. ``DICOMDIR``, which is an index, hidden files and other photographs are left out.

    Args:
        source: The folder.

    Returns:
        A manifest without grades. Ids are relative paths without the suffix ``.dcm``; no other suffix is taken off,
        because files are often named by a UID, whose last part is no suffix. ``patient_id`` is the pseudonym that
        :func:`~retinagrade.images.dicom.read_dicom_facts` makes; it and ``laterality`` are missing where the header
        doesn't say them or can't be read.

    Raises:
        LayoutError: No such files, or files whose names differ in the suffix only.
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
    facts = [_facts(path) for path in files]
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


def _candidates(source: Path) -> Iterator[Path]:
    """Files that may be DICOM, without a look into them."""
    for path in source.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
        if not hidden and path.name.upper() != _INDEX and path.suffix.lower() not in _OTHERS and path.is_file():
            yield path


def _without_suffix(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() == _SUFFIX else path


def _facts(path: Path) -> DicomFacts:
    try:
        return read_dicom_facts(path)
    except ImageError:  # preparing the photograph reports it
        return DicomFacts()
