"""A folder of DICOM photographs, as a camera or an archive exports it: eyes and patients, no grades."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.datasets.left_out import with_safe_names
from retinagrade.datasets.reader import reader
from retinagrade.errors import ImageError, LayoutError
from retinagrade.images.dicom import DicomFacts, holds_dicom, read_dicom_facts
from retinagrade.images.listing import list_folder
from retinagrade.manifest import Manifest
from retinagrade.messages import count_and_first_few, describe_alike
from retinagrade.storage.file_names import file_key

_SUFFIXES: Final = (".dcm", ".dicom")


def is_dicom_folder(source: Path) -> bool:
    """Whether a folder, or one below it, holds a DICOM file under any name. Doesn't need pydicom."""
    return source.is_dir() and any(map(holds_dicom, list_folder(source).photographs))


# DICOM files beside labels belong to the layout of the labels.
@reader(
    "dicom",
    "DICOM files in any folders, where nothing else fits",
    is_dicom_folder,
    labelled=False,
    last_resort=True,
)
def read_dicom_folder(source: Path) -> Manifest:
    """Reads all DICOM files of a folder and the folders below it.

    Files with the suffix ``.dcm`` or ``.dicom`` are included whatever they hold, so that their preparation reports
    problems; files with different names are included if they are DICOM. ``DICOMDIR``, which is an index, hidden files
    and other photographs are left out.

    Args:
        source: The folder.

    Returns:
        A manifest without grades. Ids are relative paths without these suffixes; no other suffix is removed,
        because files are often named by a UID, whose last part is no suffix. ``patient_id`` is the pseudonym that
        :func:`~retinagrade.images.dicom.read_dicom_facts` makes. It and ``laterality`` are missing where the header
        lacks them or can't be read.

    Raises:
        LayoutError: There are no such files, or files whose names differ in the suffix only.
        ModuleNotFoundError: pydicom isn't installed.
    """
    photographs = with_safe_names(list_folder(source), source)
    files = [path for path in photographs if path.suffix.lower() in _SUFFIXES or holds_dicom(path)]
    if not files:
        raise LayoutError(f"{source}: no DICOM files in it or in the folders below it")
    relative = [path.relative_to(source) for path in files]
    ids = [_without_suffix(path).as_posix() for path in relative]
    count = Counter(map(file_key, ids))
    if repeated := [name for name in ids if count[file_key(name)] > 1]:
        raise LayoutError(
            f"{source}: files that differ in suffix or case only ({count_and_first_few(repeated)})"
            f"{describe_alike(repeated)}: keep or rename one"
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


def _without_suffix(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() in _SUFFIXES else path


def _read_facts(path: Path) -> DicomFacts:
    try:
        return read_dicom_facts(path)
    except ImageError:  # the preparation of the photograph reports it
        return DicomFacts()
