"""Photographs to grade: files, folders, patterns and lists become ids, paths and, where a list says so, eyes."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path
from typing import Final

from retinagrade.errors import UsageError
from retinagrade.grader.eyes import UNKNOWN, EyeIdentity
from retinagrade.images.dicom import holds_dicom
from retinagrade.images.read import SUFFIXES
from retinagrade.paths import join_path, list_files, to_path
from retinagrade.paths import user_path as reached

_SIDES: Final = {"": None, "l": "L", "left": "L", "r": "R", "right": "R"}


@dataclass(frozen=True)
class PhotographFile:
    """A file to grade.

    Attributes:
        image_id: Its id.
        path: Its file.
        eye: What a list says of it: what it leaves open is found out from the file.
    """

    image_id: str
    path: str
    eye: EyeIdentity = UNKNOWN


def find_photographs(
    places: Sequence[str], listed: Path | None = None, besides: Collection[Path] = ()
) -> list[PhotographFile]:
    """Files of photographs, each once.

    Args:
        places: Files, folders (all below them that have a photograph's suffix or hold DICOM) and patterns such as
            ``*.jpg``.
        listed: A list of files, see :func:`read_list`.
        besides: Folders that results are written to, and that hold no photographs.

    Returns:
        Ids are below a folder the path from there, without its suffix; else the file's name without it. Files that
        would share an id have their whole path for one.

    Raises:
        UsageError: A place with nothing in it, a list that can't be read, or nothing to grade.
    """
    found: dict[str, PhotographFile] = {}
    for each in [*([] if listed is None else read_list(listed)), *_in_places(places, besides)]:
        found.setdefault(each.path, each)
    if not found:
        raise UsageError("nothing to grade: name photographs, folders or patterns, or a list with --list")
    count = Counter(each.image_id for each in found.values())
    return [each if count[each.image_id] == 1 else replace(each, image_id=each.path) for each in found.values()]


def read_list(path: Path) -> list[PhotographFile]:
    """Reads a list of photographs; relative paths start from its folder.

    Args:
        path: A text file with a path a line; or a ``.csv``, such as a manifest, with a column ``path`` and, where
            known, ``image_id``, ``patient_id``, by which studies are told, and ``laterality`` (L, R, left, right).

    Raises:
        UsageError: Not readable, without that column, or a cell is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a readable list: {error}") from error
    if path.suffix.lower() != ".csv":
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return [PhotographFile(_name(Path(line)), str(join_path(path.parent, line))) for line in lines]
    reader = csv.DictReader(io.StringIO(text))
    if "path" not in (reader.fieldnames or ()):
        raise UsageError(f"{path}, line 1: no column 'path'")
    return [_listed(row, path, reader.line_num) for row in reader]


def _listed(row: dict[str, str | None], source: Path, line: int) -> PhotographFile:
    cells = {column: (row.get(column) or "").strip() for column in ("image_id", "path", "patient_id", "laterality")}
    side = cells["laterality"].lower()
    if not cells["path"] or side not in _SIDES:
        raise UsageError(f"{source}, line {line}: " + ("no path" if side in _SIDES else f"{side!r} is no eye: L or R"))
    image_id = cells["image_id"] or _name(Path(cells["path"]))
    path = str(join_path(source.parent, cells["path"]))
    return PhotographFile(image_id, path, EyeIdentity(cells["patient_id"] or None, _SIDES[side]))


def _in_places(places: Sequence[str], besides: Collection[Path]) -> Iterator[PhotographFile]:
    for place in places:
        folder = reached(place)
        if folder.is_dir():
            found = [PhotographFile(_name(path, folder), str(path)) for path in _below(folder, besides)]
        else:
            matched = [place] if folder.exists() else sorted(glob(place, recursive=True))  # noqa: PTH207  # absolute, too
            found = [PhotographFile(_name(to_path(each)), each) for each in matched]
        if not found:
            raise UsageError(f"{place}: no photograph there: give files, folders or patterns")
        yield from found


def _below(folder: Path, besides: Collection[Path]) -> list[Path]:
    """Photographs in a folder and those below it; hidden files, and DICOM's index, are left out."""
    results = {each.resolve() for each in besides}
    return sorted(
        path
        for path in list_files(folder)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and results.isdisjoint(path.resolve().parents)
        and (path.suffix.lower() in SUFFIXES or (path.name != "DICOMDIR" and holds_dicom(path)))
    )


def _name(path: Path, folder: Path | None = None) -> str:
    """A file's id. Only a photograph's suffix is taken off: archives name files by UIDs, whose last part is none."""
    bare = path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
    return bare.name if folder is None else bare.relative_to(folder).as_posix()
