"""IDRiD, disease grading: the official folder tree and its label files.

Source: P. Porwal et al., "Indian Diabetic Retinopathy Image Dataset (IDRiD)", Data 3(3), 2018.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.datasets.labels import join_labels, match_cells, photographs_by_name, read_labels
from retinagrade.datasets.reader import reader
from retinagrade.errors import LayoutError
from retinagrade.manifest import OEDEMA_RISK, Manifest

IDRID_FOLDER: Final = "B. Disease Grading"
_HALVES: Final = {
    "train": ("a. Training Set", "a. IDRiD_Disease Grading_Training Labels.csv"),
    "test": ("b. Testing Set", "b. IDRiD_Disease Grading_Testing Labels.csv"),
}
_RISK: Final = "Risk of macular edema"
_IMAGES, _LABELS = "1. Original Images", "2. Groundtruths"


def is_idrid(source: Path) -> bool:
    """Whether a folder is the official tree, or its part on disease grading."""
    return any((_root(source) / _LABELS / labels).is_file() for _, labels in _HALVES.values())


@reader("idrid", "IDRiD's 'B. Disease Grading' with its label files", is_idrid)
def read_idrid(source: Path, complete: bool = True) -> Manifest:
    """Reads the official tree; either half may be absent.

    Args:
        source: The folder that holds ``B. Disease Grading``, or that folder itself.
        complete: True if labels and photographs must match one to one; otherwise photographs without a file stay in
            the manifest.

    Returns:
        A manifest with the risk of macular oedema and with the official splits, which also begin the ids
        (``train-IDRiD_001``), because file names of the two halves collide in the official release.

    Raises:
        LayoutError: There is no label file, or labels and photographs don't match.
        ManifestError: A label file has different columns or an invalid grade.
    """
    root = _root(source)
    tables = []
    for split, (folder_name, labels_name) in _HALVES.items():
        labels, folder = root / _LABELS / labels_name, root / _IMAGES / folder_name
        if labels.is_file():
            tables.append(_read_half(labels, folder, split, root, complete))
    if not tables:
        expected = " or ".join(repr(f"{_LABELS}/{labels}") for _, labels in _HALVES.values())
        raise LayoutError(f"{source} is not IDRiD's disease-grading tree: looked in {root} for {expected}")
    return Manifest.from_table(pd.concat(tables), root, str(source))


def _root(source: Path) -> Path:
    return source / IDRID_FOLDER if (source / IDRID_FOLDER).is_dir() else source


def _read_half(labels: Path, folder: Path, split: str, root: Path, complete: bool) -> pd.DataFrame:
    table = read_labels(labels, ("Image name", "Retinopathy grade"))
    rows = pd.DataFrame(
        {
            "name": table["Image name"],
            "image_id": split + "-" + table["Image name"],
            "grade": table["Retinopathy grade"],
            "split": split,
            "dataset": "idrid",
        }
    )
    risk = next((column for column in table if str(column).strip() == _RISK), None)
    if risk is not None:
        match_cells(table[risk], re.compile("[012]?"), "a risk of macular oedema, 0 to 2", labels)
        rows[OEDEMA_RISK] = table[risk]
    return join_labels(rows, photographs_by_name(folder, labels), labels, folder, root, complete)
