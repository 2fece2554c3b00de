"""IDRiD, disease grading: the official folder tree and its odd label files.

Source: P. Porwal et al., "Indian Diabetic Retinopathy Image Dataset (IDRiD)", Data 3(3), 2018.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.datasets.found import photographs_in, require_pairs
from retinagrade.errors import LayoutError, ManifestError
from retinagrade.manifest import Manifest, read_csv_text

PART: Final = "B. Disease Grading"
_HALVES: Final = {
    "train": ("a. Training Set", "a. IDRiD_Disease Grading_Training Labels.csv"),
    "test": ("b. Testing Set", "b. IDRiD_Disease Grading_Testing Labels.csv"),
}
_IMAGES, _LABELS = "1. Original Images", "2. Groundtruths"


def is_idrid(source: Path) -> bool:
    """Whether a folder is the official tree, or its part on disease grading."""
    return any((_root(source) / _LABELS / labels).is_file() for _, labels in _HALVES.values())


def read_idrid(source: Path) -> Manifest:
    """Reads the official tree; either half may be absent.

    Args:
        source: The folder that holds ``B. Disease Grading``, or that folder itself.

    Returns:
        A manifest with the official split. Ids start with the half (``train-IDRiD_001``), because file names of the
        two halves collide in the official release.

    Raises:
        LayoutError: No label file, or labels and photographs that don't match.
        ManifestError: A label file with other columns, or a grade that is none.
    """
    root = _root(source)
    tables = []
    for split, (folder_name, labels_name) in _HALVES.items():
        labels, folder = root / _LABELS / labels_name, root / _IMAGES / folder_name
        if labels.is_file():
            tables.append(_half(labels, folder, split, root))
    if not tables:
        wanted = " or ".join(repr(f"{_LABELS}/{labels}") for _, labels in _HALVES.values())
        raise LayoutError(f"{source} is not IDRiD's disease-grading tree: looked in {root} for {wanted}")
    return Manifest.from_table(pd.concat(tables), root, str(source))


def _root(source: Path) -> Path:
    return source / PART if (source / PART).is_dir() else source


def _half(labels: Path, folder: Path, split: str, root: Path) -> pd.DataFrame:
    table = read_csv_text(labels)
    for column in ("Image name", "Retinopathy grade"):
        if column not in table.columns:
            raise ManifestError(f"{labels}, line 1: no column {column!r}; found {', '.join(map(repr, table.columns))}")
    if not folder.is_dir():
        raise LayoutError(f"{labels} is there, but its photographs are not: looked for the folder {folder}")
    names = table["Image name"].str.strip()
    files = {path.stem: path for path in photographs_in(folder)}
    require_pairs(set(names), set(files), labels, folder)
    rows = pd.DataFrame(
        {
            "image_id": [f"{split}-{name}" for name in names],
            "path": [str(files[name].relative_to(root)) for name in names],
            "grade": table["Retinopathy grade"],
            "split": split,
            "dataset": "idrid",
        }
    )
    # Validated half by half, so that an error names the half's own file and line.
    return Manifest.from_table(rows, root, str(labels)).table
