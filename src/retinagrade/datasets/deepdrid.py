"""DeepDRiD, regular fundus photographs: two photographs of each eye, and grades in one column an eye.

Source: R. Liu et al., "DeepDRiD: diabetic retinopathy – grading and image quality estimation challenge", Patterns 3(6),
2022; https://github.com/deepdrdoc/DeepDRiD.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.datasets.eye_names import DEEPDRID
from retinagrade.datasets.file_listing import photographs_in
from retinagrade.datasets.labels import index_by_name, join_labels, match_cells, read_labels
from retinagrade.errors import LayoutError
from retinagrade.manifest import Manifest

PART: Final = "regular_fundus_images"
QUALITY: Final = "Overall quality"
_HALVES: Final = {"train": "regular-fundus-training", "val": "regular-fundus-validation"}
_EVALUATION: Final = "Online-Challenge1&2-Evaluation"
_EVALUATION_LABELS: Final = {
    "Challenge1_labels.csv": "DR_Levels",
    "Challenge1_labels.xlsx": "DR_Levels",
    "Challenge1_upload.csv": "DR_Level",
}
_LEFT, _RIGHT = "left_eye_DR_Level", "right_eye_DR_Level"
_COLUMNS: Final = ("image_id", QUALITY, _LEFT, _RIGHT)


def is_deepdrid(source: Path) -> bool:
    """Whether a folder, or its ``regular_fundus_images``, has a label file of any of the three parts."""
    return bool(_label_files(_root(source)))


def read_deepdrid(source: Path, complete: bool = True) -> Manifest:
    """Reads the official tree; parts may be absent.

    Args:
        source: The folder that holds ``regular_fundus_images``, or that folder itself.
        complete: Demand that labels and photographs match one to one; otherwise photographs that are not there stay
            in the manifest.

    Returns:
        A manifest with the splits ``train``, ``val`` and ``test`` (the online evaluation, graded where
        ``Challenge1_labels`` is there as official Excel workbook or as CSV). Column ``Overall quality`` is 1 where
        the photograph is good enough to diagnose, 0 where it is not, and missing in ``test``. In a few official
        rows (56_r3) the grade stands in the other eye's column than the photograph's name says: the grade is taken
        from the column that has one, and laterality is then missing.

    Raises:
        LayoutError: No label file, or labels and photographs that don't match.
        ManifestError: A label file with other columns, an id that tells no patient and eye, or a grade that is none.
    """
    root = _root(source)
    tables = [_part(labels, split, root, complete) for split, labels in _label_files(root).items()]
    if not tables:
        wanted = ", ".join([*(f"{name}/{name}.csv" for name in _HALVES.values()), f"{_EVALUATION}/Challenge1_labels"])
        raise LayoutError(
            f"{source} is not DeepDRiD's tree of regular photographs: looked in {root} for one of {wanted}"
        )
    return Manifest.from_table(pd.concat(tables), root, str(source))


def _root(source: Path) -> Path:
    return source / PART if (source / PART).is_dir() else source


def _label_files(root: Path) -> dict[str, Path]:
    """Label files that are there, by split."""
    wanted = [(split, root / name / f"{name}.csv") for split, name in _HALVES.items()]
    wanted += [("test", root / _EVALUATION / name) for name in reversed(_EVALUATION_LABELS)]  # the last one counts
    return {split: path for split, path in wanted if path.is_file()}


def _part(labels: Path, split: str, root: Path, complete: bool) -> pd.DataFrame:
    table = read_labels(labels, ("image_id", _EVALUATION_LABELS[labels.name]) if split == "test" else _COLUMNS)
    ids = match_cells(table["image_id"], DEEPDRID, "PATIENT_l1, PATIENT_r1 or the like", labels)
    named = [match["side"].upper() for match in ids]
    rows = pd.DataFrame(
        {
            "name": table["image_id"],
            "image_id": table["image_id"],
            "patient_id": [match["patient"] for match in ids],
            "laterality": named,
            "split": split,
            "dataset": "deepdrid",
        }
    )
    if split == "test":
        rows["grade"] = table[_EVALUATION_LABELS[labels.name]]
    else:
        graded = [_grade(*cells) for cells in zip(table[_LEFT], table[_RIGHT], named, strict=True)]
        rows["grade"] = [grade for grade, _ in graded]
        rows["laterality"] = [side for _, side in graded]
        rows[QUALITY] = table[QUALITY]
    folder = labels.parent / "Images"
    return join_labels(rows, _photographs(folder, labels), labels, folder, root, complete)


def _grade(left: str, right: str, named: str) -> tuple[str, str]:
    """The grade of a photograph and its eye, ``""`` where its name and the one column with a grade contradict."""
    own, other = (left, right) if named == "L" else (right, left)
    return (own, named) if own or not other else (other, "")


def _photographs(folder: Path, labels: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise LayoutError(f"{labels} is there, but its photographs are not: looked for the folder {folder}")
    patients = sorted(path for path in folder.iterdir() if path.is_dir())
    return index_by_name(path for patient in patients for path in photographs_in(patient))
