"""DeepDRiD, regular fundus photographs: two photographs of each eye, and a column of grades for each eye.

Source: R. Liu et al., "DeepDRiD: diabetic retinopathy – grading and image quality estimation challenge", Patterns 3(6),
2022; https://github.com/deepdrdoc/DeepDRiD.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.datasets.eye_names import DEEPDRID_NAME
from retinagrade.datasets.file_listing import photographs_in
from retinagrade.datasets.labels import index_by_name, join_labels, match_cells, read_labels
from retinagrade.datasets.reader import reader
from retinagrade.errors import LayoutError
from retinagrade.manifest import Manifest

DEEPDRID_FOLDER: Final = "regular_fundus_images"
DEEPDRID_QUALITY: Final = "Overall quality"
"""Column of the official labels and of the manifest."""
_HALVES: Final = {"train": "regular-fundus-training", "val": "regular-fundus-validation"}
_EVALUATION: Final = "Online-Challenge1&2-Evaluation"
_EVALUATION_LABELS: Final = {
    "Challenge1_labels.csv": "DR_Levels",
    "Challenge1_labels.xlsx": "DR_Levels",
    "Challenge1_upload.csv": "DR_Level",
}
_LEFT, _RIGHT = "left_eye_DR_Level", "right_eye_DR_Level"
_COLUMNS: Final = ("image_id", DEEPDRID_QUALITY, _LEFT, _RIGHT)


def is_deepdrid(source: Path) -> bool:
    """Whether a folder, or its ``regular_fundus_images``, has a label file of any of the three parts."""
    return bool(_label_files(_root(source)))


@reader("deepdrid", "regular_fundus_images with the label files of its parts", is_deepdrid)
def read_deepdrid(source: Path, complete: bool = True) -> Manifest:
    """Reads the official tree; parts may be absent.

    Args:
        source: The folder that holds ``regular_fundus_images``, or that folder itself.
        complete: True if labels and photographs must match one to one; otherwise photographs without a file stay in
            the manifest.

    Returns:
        A manifest with the splits ``train``, ``val`` and ``test`` (the online evaluation, graded where
        ``Challenge1_labels`` exists as the official Excel workbook or as CSV). Column ``Overall quality`` is 1 for a
        photograph good enough to diagnose, 0 for a worse one, and missing in ``test``. In a few official rows (56_r3)
        the photograph's name says one eye, and the grade stands in the other eye's column: the grade comes from the
        column that has one, and laterality is missing.

    Raises:
        LayoutError: There is no label file, or labels and photographs don't match.
        ManifestError: A label file has different columns, an id without patient and eye, or an invalid grade.
    """
    root = _root(source)
    tables = [_read_part(labels, split, root, complete) for split, labels in _label_files(root).items()]
    if not tables:
        expected = [*(f"{name}/{name}.csv" for name in _HALVES.values()), f"{_EVALUATION}/Challenge1_labels"]
        raise LayoutError(
            f"{source} is not DeepDRiD's tree of regular photographs: looked in {root} for one of {', '.join(expected)}"
        )
    return Manifest.from_table(pd.concat(tables), root, str(source))


def _root(source: Path) -> Path:
    return source / DEEPDRID_FOLDER if (source / DEEPDRID_FOLDER).is_dir() else source


def _label_files(root: Path) -> dict[str, Path]:
    """Returns the existing label files by split."""
    candidates = [(split, root / name / f"{name}.csv") for split, name in _HALVES.items()]
    candidates += [("test", root / _EVALUATION / name) for name in reversed(_EVALUATION_LABELS)]  # the last one counts
    return {split: path for split, path in candidates if path.is_file()}


def _read_part(labels: Path, split: str, root: Path, complete: bool) -> pd.DataFrame:
    table = read_labels(labels, ("image_id", _EVALUATION_LABELS[labels.name]) if split == "test" else _COLUMNS)
    ids = match_cells(table["image_id"], DEEPDRID_NAME, "an id such as PATIENT_l1 or PATIENT_r1", labels)
    sides = [match["side"].upper() for match in ids]
    rows = pd.DataFrame(
        {
            "name": table["image_id"],
            "image_id": table["image_id"],
            "patient_id": [match["patient"] for match in ids],
            "laterality": sides,
            "split": split,
            "dataset": "deepdrid",
        }
    )
    if split == "test":
        rows["grade"] = table[_EVALUATION_LABELS[labels.name]]
    else:
        graded = [_grade_and_side(*cells) for cells in zip(table[_LEFT], table[_RIGHT], sides, strict=True)]
        rows["grade"] = [grade for grade, _ in graded]
        rows["laterality"] = [side for _, side in graded]
        rows[DEEPDRID_QUALITY] = table[DEEPDRID_QUALITY]
    folder = labels.parent / "Images"
    return join_labels(rows, _photographs(folder, labels), labels, folder, root, complete)


def _grade_and_side(left: str, right: str, side: str) -> tuple[str, str]:
    """Returns a photograph's grade and eye; the eye is empty where only the other eye's column has a grade."""
    own, other = (left, right) if side == "L" else (right, left)
    return (own, side) if own or not other else (other, "")


def _photographs(folder: Path, labels: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise LayoutError(f"{labels} exists, but its photographs are missing: looked for the folder {folder}")
    patients = sorted(path for path in folder.iterdir() if path.is_dir())
    return index_by_name(path for patient in patients for path in photographs_in(patient))
