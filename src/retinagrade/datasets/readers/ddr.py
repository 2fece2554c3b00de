"""DDR, disease grading: a list of names and grades, and a folder of photographs, for each of three splits.

Source: T. Li et al., "Diagnostic assessment of deep learning algorithms for diabetic retinopathy screening",
Information Sciences 501, 2019; https://github.com/nkicsl/DDR-dataset.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Final

import pandas as pd

from retinagrade.datasets.labels import join_labels, photographs_by_name
from retinagrade.datasets.reader import reader
from retinagrade.errors import LayoutError, ManifestError
from retinagrade.manifest import Manifest
from retinagrade.storage.system_errors import reason

DDR_FOLDER: Final = "DR_grading"
_UNGRADABLE: Final = "5"
_SPLITS: Final = {"train": "train", "valid": "val", "test": "test"}
_LINE: Final = re.compile(r"(?P<name>.+\.\w+)\s+(?P<grade>\S+)")


def is_ddr(source: Path) -> bool:
    """Whether a folder, or its ``DR_grading``, has a list of names and grades beside the folder of its photographs."""
    root = _root(source)
    return any((root / name).is_dir() and _is_list(root / f"{name}.txt") for name in _SPLITS)


@reader("ddr", "DR_grading with train.txt, valid.txt or test.txt beside folders of the same names", is_ddr)
def read_ddr(source: Path, complete: bool = True) -> Manifest:
    """Reads the official tree; splits may be absent.

    Args:
        source: The folder that holds ``DR_grading``, or that folder itself.
        complete: True if labels and photographs must match one to one; otherwise photographs without a file stay in
            the manifest.

    Returns:
        A manifest with the official splits, which also begin the ids (``train-007-0004-000``). Column ``gradable`` is
        ``0`` for photographs that the list calls ungradable with a 5 instead of a grade, and ``1`` otherwise.

    Raises:
        LayoutError: There is no list, or lists and photographs don't match.
        ManifestError: A line is not a name and a grade, or a grade is invalid.
    """
    root = _root(source)
    tables = [
        _read_split(root / f"{name}.txt", root / name, split, complete)
        for name, split in _SPLITS.items()
        if (root / f"{name}.txt").is_file()
    ]
    if not tables:
        expected = ", ".join(f"{name}.txt" for name in _SPLITS)
        raise LayoutError(f"{source} is not DDR's disease-grading tree: looked in {root} for one of {expected}")
    return Manifest.from_table(pd.concat(tables), root, str(source))


def _root(source: Path) -> Path:
    return source / DDR_FOLDER if (source / DDR_FOLDER).is_dir() else source


def _is_list(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        match = _LINE.fullmatch(stream.readline().strip())
    return match is not None and match["grade"] in set("012345")


def _read_split(labels: Path, folder: Path, split: str, complete: bool) -> pd.DataFrame:
    lines = _read_lines(labels)
    grades = pd.Series([line["grade"] for line in lines], dtype=str)
    stems = [PurePath(line["name"]).stem for line in lines]
    rows = pd.DataFrame(
        {
            "name": stems,
            "image_id": [f"{split}-{stem}" for stem in stems],
            "grade": grades.mask(grades == _UNGRADABLE, ""),
            "split": split,
            "dataset": "ddr",
            "gradable": (grades != _UNGRADABLE).astype(int).astype(str),
        }
    )
    return join_labels(rows, photographs_by_name(folder, labels), labels, folder, labels.parent, complete, first_line=1)


def _read_lines(labels: Path) -> list[re.Match[str]]:
    try:
        lines = labels.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{labels}: not a readable list: {reason(error)}") from error
    matches = []
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ManifestError(f"{labels}, line {number}: {line!r} is not a photograph's name and its grade")
        matches.append(match)
    return matches
