"""A folder for each grade: ``<root>/<grade>/…`` or ``<root>/<split>/<grade>/…``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.datasets.left_out import real_place, with_safe_names
from retinagrade.datasets.reader import reader
from retinagrade.errors import LayoutError
from retinagrade.grades import grade_from_name
from retinagrade.images.formats import without_photograph_suffix
from retinagrade.images.listing import is_hidden_folder, list_folder
from retinagrade.manifest import Manifest
from retinagrade.messages import count_and_first_few, counted, describe_alike
from retinagrade.storage.file_names import file_key

_SPLITS: Final = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_GRADE_NAMES: Final = "0 to 4, or names such as No_DR, Mild, Moderate, Severe, Proliferate_DR in any case"


def is_folders(source: Path) -> bool:
    """Whether at least two sub-folders, below split folders or not, are named by a grade and hold photographs."""
    if not source.is_dir():
        return False
    grades = {
        grade_from_name(folder.name)
        for _, folder in _grade_folders(source)
        if grade_from_name(folder.name) is not None and list_folder(folder).photographs
    }
    return len(grades) >= 2


@reader(
    "folders",
    f"at least two folders of photographs named by grade ({_GRADE_NAMES}), also below train, val, test",
    is_folders,
    labelled=False,
)
def read_folders(source: Path, grade_names: Mapping[str, int] | None = None) -> Manifest:
    """Reads photographs whose grade is their folder's name. The order of names never decides a grade.

    Photographs in folders below, such as one for each clinic, have the grade of the folder above. Photographs above
    the folders of grades are left out.

    Args:
        source: The folder above the grades, or above split folders (``train``, ``val``, ``test``) of grades.
        grade_names: Folder names, in any case, and their grades 0 to 4; ``None`` reads the usual names, such as
            ``Mild``.

    Returns:
        A manifest. Ids are file names without suffix where these are unique in the whole tree, else relative
        paths without suffix. Where all names tell the eye, such as ``10_left`` or ``P1-OD``, patient and laterality are
        known as well.

    Raises:
        LayoutError: A folder of photographs names no grade, a folder is a link to one above it, two folders have one
            grade without an explanation in ``grade_names``, photographs differ in their suffix only, or lie in two
            folders of grades by links.
    """
    mapping = None if grade_names is None else {name.lower(): grade for name, grade in grade_names.items()}
    rows = []
    every_file: list[Path] = []
    folders: dict[tuple[str | None, int], Path] = {}
    around = {source.resolve(), *source.resolve().parents}
    for split, folder in _grade_folders(source):
        if folder.resolve() in around:
            raise LayoutError(f"{folder} is a link to a folder above it, so that the two are a loop: delete the link")
        listing = list_folder(folder)
        files = with_safe_names(listing, source)
        if not listing.photographs:
            continue
        grade = _grade_of(folder.name, mapping)
        if grade is None:
            known = _GRADE_NAMES if mapping is None else ", ".join(map(repr, mapping))
            count = counted(len(listing.photographs), "photograph")
            raise LayoutError(
                f"{folder} holds {count}, but its name is no known grade ({known}): rename "
                f"it, or name the grade of every folder with --grade-names '{folder.name}=GRADE,…'"
            )
        other = folders.setdefault((split, int(grade)), folder)
        if other != folder and mapping is None:
            raise LayoutError(f"{other} and {folder} both mean grade {int(grade)}: merge them, or use --grade-names")
        _require_one_grade(files, folder, grade, mapping)
        every_file += listing.photographs
        rows += [{"file": file, "grade": int(grade), "split": split} for file in files]
    if not rows:
        raise LayoutError(
            f"{source}: no photographs in folders named by grade ({_GRADE_NAMES}), nor below train, val or test"
        )
    _require_one_place(every_file)
    return Manifest.from_table(_identify(pd.DataFrame(rows), source), source, str(source))


def _grade_of(name: str, mapping: Mapping[str, int] | None) -> int | None:
    return grade_from_name(name) if mapping is None else mapping.get(name.lower())


def _require_one_grade(files: Sequence[Path], folder: Path, grade: int, mapping: Mapping[str, int] | None) -> None:
    """Refuses folders below a folder of one grade that are named by another grade."""
    for inner in {parent for file in files for parent in file.relative_to(folder).parents}:
        other = _grade_of(inner.name, mapping) if inner.name else None
        if other not in (None, grade):
            raise LayoutError(
                f"{folder / inner} lies in a folder of grade {int(grade)}, but its name means grade {int(other or 0)}: "
                "rename it, or move it"
            )


def _require_one_place(files: Iterable[Path]) -> None:
    """Refuses links by which one photograph lies in two folders of grades."""
    places: dict[Path, Path] = {}
    for file in files:
        other = places.setdefault(real_place(file), file)
        if other != file:
            raise LayoutError(f"{other} and {file} are one file, by links to a folder: keep one of them")


def _grade_folders(source: Path) -> list[tuple[str | None, Path]]:
    """Lists all folders that may be named by a grade, with the split of the folder above."""
    folders: list[tuple[str | None, Path]] = []
    for folder in sorted(path for path in source.iterdir() if path.is_dir() and not is_hidden_folder(path.name)):
        split = _SPLITS.get(folder.name.lower())
        if split is None:
            folders.append((None, folder))
        else:
            inner_folders = (inner for inner in sorted(folder.iterdir()) if inner.is_dir())
            folders += [(split, inner) for inner in inner_folders if not is_hidden_folder(inner.name)]
    return folders


def _identify(rows: pd.DataFrame, source: Path) -> pd.DataFrame:
    """Gives files their ids."""
    relative = [file.relative_to(source) for file in rows["file"]]
    bare = [without_photograph_suffix(path) for path in relative]
    stems = [path.name for path in bare]
    ids = stems if len({*map(file_key, stems)}) == len(stems) else [path.as_posix() for path in bare]
    count = Counter(map(file_key, ids))
    if repeated := [name for name in ids if count[file_key(name)] > 1]:
        raise LayoutError(
            f"{source}: names that differ in suffix or case only ({count_and_first_few(repeated)})"
            f"{describe_alike(repeated)}: keep or rename one"
        )
    table = pd.DataFrame({"image_id": ids, "path": [path.as_posix() for path in relative]})
    table[["grade", "split"]] = rows[["grade", "split"]].to_numpy()
    table["dataset"] = source.name
    return table
