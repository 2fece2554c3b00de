"""Layouts of sources: detected, or named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from retinagrade.datasets.aptos import is_aptos, read_aptos
from retinagrade.datasets.ddr import is_ddr, read_ddr
from retinagrade.datasets.deepdrid import is_deepdrid, read_deepdrid
from retinagrade.datasets.dicom import is_dicom_folder, read_dicom_folder
from retinagrade.datasets.eyepacs import is_eyepacs, read_eyepacs
from retinagrade.datasets.folders import KNOWN, is_folders, read_folders
from retinagrade.datasets.idrid import is_idrid, read_idrid
from retinagrade.datasets.messidor2 import is_messidor2, read_messidor2, refuse_messidor1
from retinagrade.datasets.retinamnist import is_retinamnist, read_retinamnist
from retinagrade.datasets.table import NAMES, is_table, read_table
from retinagrade.errors import LayoutError, UsageError
from retinagrade.manifest import Manifest

_DETECT: Final = {
    "idrid": (is_idrid, "IDRiD's 'B. Disease Grading' with its label files"),
    "eyepacs": (is_eyepacs, "trainLabels.csv, retinopathy_solution.csv or testLabels.csv with image and level"),
    "aptos": (is_aptos, "train.csv with id_code and diagnosis, beside train_images"),
    "messidor2": (is_messidor2, "messidor_data.csv with adjudicated grades"),
    "ddr": (is_ddr, "DR_grading with train.txt, valid.txt or test.txt beside folders of the same names"),
    "deepdrid": (is_deepdrid, "regular_fundus_images with the label files of its parts"),
    "retinamnist": (is_retinamnist, "a file such as retinamnist.npz"),
    "folders": (
        is_folders,
        f"at least two folders of photographs named by grade ({KNOWN}), also below train, val, test",
    ),
    "table": (
        is_table,
        f"a manifest CSV or Parquet file, or a folder with {' or '.join(NAMES)} that has columns image_id and path",
    ),
    "dicom": (is_dicom_folder, "DICOM files in any folders, where nothing else fits"),
}
_READ: Final[Mapping[str, Callable[[Path, bool], Manifest]]] = {
    "idrid": read_idrid,
    "eyepacs": read_eyepacs,
    "aptos": read_aptos,
    "messidor2": read_messidor2,
    "ddr": read_ddr,
    "deepdrid": read_deepdrid,
    "table": read_table,
    "dicom": lambda source, complete: read_dicom_folder(source),
}
LAYOUTS: Final = tuple(_DETECT)
"""Names of the known layouts."""


def read_dataset(
    source: Path,
    layout: str | None = None,
    grade_map: Mapping[str, int] | None = None,
    unpack: Path | None = None,
    complete: bool = True,
) -> Manifest:
    """Reads a data set as it was downloaded.

    Args:
        source: Its folder, or a file: a manifest, or RetinaMNIST's archive.
        layout: One of :data:`LAYOUTS`, or ``None`` to detect it.
        grade_map: For the layout ``folders``: folder names and their grades.
        unpack: For the layout ``retinamnist``: the folder to put its photographs in.
        complete: Demand that labels and photographs match one to one; otherwise photographs that are not there stay in
            the manifest, and those without a label are left to the caller.

    Raises:
        LayoutError: Nothing there, no layout fits, or several do; the message says what was looked for.
        UsageError: Unknown layout, a grade map with a layout that has no use for it, or no folder to unpack to.
    """
    if not source.exists():
        raise LayoutError(f"{source}: no such file or folder")
    if layout is None:
        layout = "folders" if grade_map is not None else _detect(source)
    if layout not in LAYOUTS:
        raise UsageError(f"no layout {layout!r}: one of {', '.join(LAYOUTS)}")
    if layout == "folders":
        return read_folders(source, grade_map)
    if grade_map is not None:
        raise UsageError(f"a map of folder names has no meaning for the layout {layout!r}")
    if layout == "retinamnist":
        if unpack is None:
            raise UsageError(f"{source} is an archive: name a folder to unpack its photographs to")
        return read_retinamnist(source, unpack)
    return _READ[layout](source, complete)


def _detect(source: Path) -> str:
    fitting = [name for name, (fits, _) in _DETECT.items() if name != "dicom" and fits(source)]
    if not fitting and is_dicom_folder(source):
        return "dicom"  # labels beside DICOM files make them another layout's
    if source.is_file() or fitting in ([], ["folders"]):
        refuse_messidor1(source)
    if not fitting:
        wanted = "\n".join(f"  {name}: {what}" for name, (_, what) in _DETECT.items())
        raise LayoutError(
            f"{source} is in no known layout. Looked for:\n{wanted}\n"
            "Name it with --layout, or name folders' grades with --grades"
        )
    if len(fitting) > 1:
        raise LayoutError(f"{source} fits several layouts: choose one with --layout {' or --layout '.join(fitting)}")
    return fitting[0]
