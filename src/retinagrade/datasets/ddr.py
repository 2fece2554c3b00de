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
from retinagrade.errors import LayoutError, ManifestError
from retinagrade.manifest import Manifest

PART: Final = "DR_grading"
UNGRADABLE: Final = "5"
"""What the lists say instead of a grade where a photograph can't be graded."""
_SPLITS: Final = {"train": "train", "valid": "val", "test": "test"}
_LINE: Final = re.compile(r"(?P<name>.+\.\w+)\s+(?P<grade>\S+)")


def is_ddr(source: Path) -> bool:
    """Whether a folder, or its ``DR_grading``, has a list of names and grades beside the folder of its photographs."""
    root = _root(source)
    return any((root / name).is_dir() and _is_list(root / f"{name}.txt") for name in _SPLITS)


def read_ddr(source: Path, complete: bool = True) -> Manifest:
    """Reads the official tree; splits may be absent.

    Args:
        source: The folder that holds ``DR_grading``, or that folder itself.
        complete: Demand that labels and photographs match one to one; otherwise photographs that are not there stay
            in the manifest.

    Returns:
        A manifest with the official split. Ids start with it (``train-007-0004-000``). Column ``gradable`` is ``0``
        for photographs that the list calls ungradable with a 5, which stay without a grade, and ``1`` for others.

    Raises:
        LayoutError: No list, or lists and photographs that don't match.
        ManifestError: A line that is not a name and a grade, or a grade that is none.
    """
    root = _root(source)
    tables = [
        _split(root / f"{name}.txt", root / name, split, complete)
        for name, split in _SPLITS.items()
        if (root / f"{name}.txt").is_file()
    ]
    if not tables:
        wanted = ", ".join(f"{name}.txt" for name in _SPLITS)
        raise LayoutError(f"{source} is not DDR's disease-grading tree: looked in {root} for one of {wanted}")
    return Manifest.from_table(pd.concat(tables), root, str(source))


def _root(source: Path) -> Path:
    return source / PART if (source / PART).is_dir() else source


def _is_list(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        match = _LINE.fullmatch(stream.readline().strip())
    return match is not None and match["grade"] in set("012345")


def _split(labels: Path, folder: Path, split: str, complete: bool) -> pd.DataFrame:
    found = _lines(labels)
    grades = pd.Series([match["grade"] for match in found], dtype=str)
    stems = [PurePath(match["name"]).stem for match in found]
    rows = pd.DataFrame(
        {
            "name": stems,
            "image_id": [f"{split}-{stem}" for stem in stems],
            "grade": grades.mask(grades == UNGRADABLE, ""),
            "split": split,
            "dataset": "ddr",
            "gradable": (grades != UNGRADABLE).astype(int).astype(str),
        }
    )
    return join_labels(rows, photographs_by_name(folder, labels), labels, folder, labels.parent, complete, first_line=1)


def _lines(labels: Path) -> list[re.Match[str]]:
    try:
        lines = labels.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{labels}: not a readable list: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ManifestError(f"{labels}, line {number}: {line!r} is not a photograph's name and its grade")
        found.append(match)
    return found
