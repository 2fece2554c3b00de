"""APTOS 2019, Kaggle's "Blindness Detection": graded training photographs and ungraded test photographs.

Source: https://www.kaggle.com/c/aptos2019-blindness-detection.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.datasets.labels import has_columns, join_labels, photographs_by_name, read_labels
from retinagrade.datasets.reader import reader
from retinagrade.errors import LayoutError
from retinagrade.manifest import Manifest

_LABELS, _UNGRADED = "train.csv", "test.csv"
_COLUMNS: Final = ("id_code", "diagnosis")


def is_aptos(source: Path) -> bool:
    """Whether a folder has ``train.csv`` with the official columns."""
    return has_columns(source / _LABELS, _COLUMNS)


@reader("aptos", "train.csv with id_code and diagnosis, beside train_images", is_aptos)
def read_aptos(source: Path, complete: bool = True) -> Manifest:
    """Reads the official folder.

    Args:
        source: The folder with ``train.csv`` and ``train_images``.
        complete: True if labels and photographs must match one to one; otherwise photographs without a file stay in
            the manifest.

    Returns:
        A manifest with the split ``train``. Where ``test.csv`` and ``test_images`` exist, it has the split ``test`` as
        well, whose grades were never published.

    Raises:
        LayoutError: ``train.csv`` is missing, or tables and photographs don't match.
        ManifestError: A table has different columns or an invalid grade.
    """
    labels, ungraded = source / _LABELS, source / _UNGRADED
    if not labels.is_file():
        raise LayoutError(f"{source} is not APTOS 2019: looked for {_LABELS}")
    table = read_labels(labels, _COLUMNS)
    tables = [_read_half(table["id_code"], table["diagnosis"], labels, "train", complete)]
    if ungraded.is_file() and (source / "test_images").is_dir():
        names = read_labels(ungraded, ["id_code"])["id_code"]
        tables.append(_read_half(names, pd.Series("", names.index), ungraded, "test", complete))
    return Manifest.from_table(pd.concat(tables), source, str(source))


def _read_half(names: pd.Series, grades: pd.Series, labels: Path, split: str, complete: bool) -> pd.DataFrame:
    folder = labels.parent / f"{split}_images"
    rows = pd.DataFrame({"name": names, "image_id": names, "grade": grades, "split": split, "dataset": "aptos"})
    return join_labels(rows, photographs_by_name(folder, labels), labels, folder, labels.parent, complete)
