"""Messidor-2 with adjudicated grades; Messidor-1 is recognised, and refused.

Source: E. Decencière et al., "Feedback on a publicly distributed image database: the Messidor database", Image
Analysis & Stereology 33(3), 2014; the grades: J. Krause et al., "Grader variability and the importance of reference
standards for evaluating machine learning models for diabetic retinopathy", Ophthalmology 125(8), 2018.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Final

import pandas as pd

from retinagrade.datasets.labels import has_columns, join_labels, photographs_by_name, read_labels
from retinagrade.datasets.reader import reader
from retinagrade.errors import LayoutError
from retinagrade.manifest import Manifest, read_csv_text

_LABELS: Final = "messidor_data.csv"
_EYE_PAIRS: Final = "messidor-2.csv"
_COLUMNS: Final = ("image_id", "adjudicated_dr_grade", "adjudicated_gradable")
_MESSIDOR1: Final = re.compile(r"Annotation_Base\d.*\.(xlsx?|csv)", re.IGNORECASE)
_MESSIDOR1_COLUMNS: Final = (
    "Image name",
    "Ophthalmologic department",
    "Retinopathy grade",
    "Risk of macular edema",
)


def is_messidor2(source: Path) -> bool:
    """Whether a folder has the file of adjudicated grades."""
    return (source / _LABELS).is_file()


@reader("messidor2", "messidor_data.csv with adjudicated grades", is_messidor2)
def read_messidor2(source: Path, complete: bool = True) -> Manifest:
    """Reads photographs and adjudicated grades, whose names differ in case.

    Args:
        source: The folder with ``messidor_data.csv``. The photographs are beside it or in ``IMAGES``, in any case.
        complete: True if labels and photographs must match one to one; otherwise photographs without a file stay in
            the manifest.

    Returns:
        A manifest without splits. Column ``gradable`` is the table's ``adjudicated_gradable``; ungradable photographs
        stay, without a grade. Where the official ``messidor-2.csv`` of left and right eyes exists, the two photographs
        of an examination have one patient, and laterality is known.

    Raises:
        LayoutError: The grades are missing or Messidor-1's, labels and photographs don't match, or names of
            photographs differ in case or suffix only.
        ManifestError: A table has different columns or an invalid grade.
    """
    labels = source / _LABELS
    if not labels.is_file():
        refuse_messidor1(source)
        raise LayoutError(f"{source} is not Messidor-2 with adjudicated grades: looked for {_LABELS}")
    table = read_labels(labels, _COLUMNS)
    folder = next(
        (path for path in sorted(source.iterdir()) if path.name.lower() == "images" and path.is_dir()), source
    )
    stems = [PurePath(name).stem for name in table["image_id"]]
    rows = pd.DataFrame(
        {
            "name": [stem.lower() for stem in stems],
            "image_id": stems,
            "grade": table["adjudicated_dr_grade"].mask(table["adjudicated_gradable"] == "0", ""),
            "dataset": "messidor2",
            "gradable": table["adjudicated_gradable"],
        }
    )
    if (source / _EYE_PAIRS).is_file():
        eyes = _read_eyes(source / _EYE_PAIRS)
        rows["patient_id"] = [eyes.get(name, ("", ""))[0] for name in rows["name"]]
        rows["laterality"] = [eyes.get(name, ("", ""))[1] for name in rows["name"]]
    files = photographs_by_name(folder, labels, ignore_case=True)
    return Manifest(join_labels(rows, files, labels, folder, source, complete), source)


def is_messidor1(source: Path) -> bool:
    """Whether a table, or a folder with one in it or one level below, has Messidor-1's annotations."""
    if source.is_file():
        return _is_annotation(source)
    folders = [source, *(path for path in source.iterdir() if path.is_dir())]
    return any(_is_annotation(path) for folder in folders for path in folder.iterdir())


def refuse_messidor1(source: Path) -> None:
    """Refuses Messidor-1, with the reason.

    Raises:
        LayoutError: The source has Messidor-1's annotations.
    """
    if is_messidor1(source):
        raise LayoutError(
            f"{source} has Messidor-1's annotations, which are not ICDR grades: their scale goes from 0 to 3 and has "
            "different criteria. Use Messidor-2, which has most of the same photographs, with its adjudicated grades "
            f"({_LABELS})"
        )


def _is_annotation(path: Path) -> bool:
    if _MESSIDOR1.fullmatch(path.name):
        return True
    return path.suffix.lower() == ".csv" and has_columns(path, _MESSIDOR1_COLUMNS)


def _read_eyes(pairs: Path) -> dict[str, tuple[str, str]]:
    """Returns examination and laterality by photograph, from lines such as ``left.png;right.png``."""
    eyes: dict[str, tuple[str, str]] = {}
    for number, cells in enumerate(read_csv_text(pairs).itertuples(index=False), start=1):
        for side, name in zip("LR", ";".join(cells).split(";"), strict=False):
            eyes.setdefault(PurePath(name.strip()).stem.lower(), (str(number), side))
    return eyes
