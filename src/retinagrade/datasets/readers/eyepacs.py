"""EyePACS, Kaggle's "Diabetic Retinopathy Detection" of 2015: label files and photographs named by patient and eye.

Source: https://www.kaggle.com/c/diabetic-retinopathy-detection; the labels of the test half were published later.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.datasets.labels import has_columns, join_labels, match_cells, photographs_by_name, read_labels
from retinagrade.datasets.reader import reader
from retinagrade.errors import LayoutError, ManifestError
from retinagrade.manifest import Manifest
from retinagrade.messages import count_and_first_few

OFFICIAL_HALVES: Final = {"train": 35_126, "test": 53_576}
"""Numbers of photographs in the official halves."""
OFFICIAL_TEST_PARTS: Final = {"test-public": 10_906, "test-private": 42_670}
"""Numbers of photographs in the official test half, by the leaderboard that they counted for."""
_LABELS: Final = {"train": ("trainLabels.csv",), "test": ("retinopathy_solution.csv", "testLabels.csv")}
"""Names of the label files by half; the first existing file counts."""
_COLUMNS: Final = ("image", "level")
_EYE: Final = re.compile(r"\d+_(left|right)")
_USAGE: Final = re.compile("Public|Private")


def is_eyepacs(source: Path) -> bool:
    """Whether a folder has a label file of either half."""
    return any(has_columns(source / name, _COLUMNS) for names in _LABELS.values() for name in names)


@reader("eyepacs", "trainLabels.csv, retinopathy_solution.csv or testLabels.csv with image and level", is_eyepacs)
def read_eyepacs(source: Path, complete: bool = True) -> Manifest:
    """Reads the official set, or a part of it; either half may be absent.

    Args:
        source: The folder with ``trainLabels.csv`` or the test labels. The photographs are beside them, or in
            ``train`` and ``test``.
        complete: True if labels and photographs must match one to one; otherwise photographs without a file stay in
            the manifest.

    Returns:
        A manifest with patients and eyes. Splits are ``train``, and ``test-public`` and ``test-private`` where the
        test labels name the leaderboard, else ``test``.

    Raises:
        LayoutError: There is no label file, or labels and photographs don't match. As many labels as the official half
            has stand for the whole half, so all its photographs must exist.
        ManifestError: A label file has different columns, a name without patient and eye, or an invalid grade.
    """
    paths = {split: path for split, names in _LABELS.items() if (path := _first_file(source, names))}
    if not paths:
        expected = ", ".join(name for names in _LABELS.values() for name in names)
        raise LayoutError(f"{source} is not EyePACS: looked for one of {expected}")
    halves = {split: _read_half(path, split) for split, path in paths.items()}
    listed = {split: set(rows["name"]) for split, rows in halves.items()}
    tables = []
    for split, rows in halves.items():
        folder = source / split if (source / split).is_dir() else source
        files = photographs_by_name(folder, paths[split])
        if folder == source:
            elsewhere = set().union(*listed.values()) - listed[split]
            files = {name: file for name, file in files.items() if name not in elsewhere}
        if complete:
            _require_whole_half(listed[split] - set(files), len(rows), split, paths[split], folder)
        tables.append(join_labels(rows, files, paths[split], folder, source, complete))
    return Manifest.from_table(pd.concat(tables), source, str(source))


def _first_file(source: Path, names: tuple[str, ...]) -> Path | None:
    return next((source / name for name in names if (source / name).is_file()), None)


def _read_half(labels: Path, split: str) -> pd.DataFrame:
    table = read_labels(labels, _COLUMNS)
    match_cells(table["image"], _EYE, "PATIENT_left or PATIENT_right", labels)
    rows = pd.DataFrame(
        {
            "name": table["image"],
            "image_id": table["image"],
            "grade": table["level"],
            "split": split,
            "dataset": "eyepacs",
        }
    )
    if split == "test" and "Usage" in table.columns:
        usage = match_cells(table["Usage"], _USAGE, "Public or Private", labels)
        rows["split"] = [f"test-{match[0].lower()}" for match in usage]
        counts = rows["split"].value_counts().to_dict()
        if len(rows) == OFFICIAL_HALVES[split] and counts != OFFICIAL_TEST_PARTS:
            raise ManifestError(
                f"{labels} has as many rows as the official file, but different parts: {counts} instead of "
                f"{OFFICIAL_TEST_PARTS}; copy it again from its source"
            )
    return rows


def _require_whole_half(missing: set[str], rows: int, split: str, labels: Path, folder: Path) -> None:
    if rows == OFFICIAL_HALVES[split] and missing:
        raise LayoutError(
            f"{labels} lists the whole official half of {rows:,} photographs, but {len(missing):,} of them are not in "
            f"{folder} ({count_and_first_few(missing)}): complete the download, or keep only the labels of a part"
        )
