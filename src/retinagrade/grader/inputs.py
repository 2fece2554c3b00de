"""Photographs to grade: files, folders, patterns and lists become ids, paths and, from a list, eyes."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from glob import glob, has_magic
from pathlib import Path

from retinagrade.cells import decode_table, decode_text, parse_side, split_table, unprotect
from retinagrade.errors import UsageError
from retinagrade.grader.eyes import UNKNOWN, EyeIdentity, without_patient_of_name
from retinagrade.images.formats import without_photograph_suffix
from retinagrade.images.listing import OWN_PICTURE, LeftOutFile, describe_left_out, list_folder
from retinagrade.images.own_pictures import is_own_picture
from retinagrade.storage.paths import is_local, join_path, table_path_problem, to_path, user_path


@dataclass(frozen=True)
class PhotographFile:
    """A file to grade.

    Attributes:
        image_id: Id of the photograph.
        path: Path or URL of the file.
        eye: Study and laterality from a list; the grader reads missing facts from the file.
        problem: Reason why the file can't be named in a table, so that it isn't read; ``None`` for all others.
        name_has_patient: Whether the name of the file may tell the patient. Where a list names patients, none does: a
            number in a name may be another numbering than that of the list.
    """

    image_id: str
    path: str
    eye: EyeIdentity = UNKNOWN
    problem: str | None = None
    name_has_patient: bool = True

    def complete_eye(self, seen: EyeIdentity) -> EyeIdentity:
        """Returns the eye from the list, with the missing facts from the file.

        Where the list names the patient, the patient of a DICOM header counts for nothing.

        Args:
            seen: The eye of the file, from :func:`~retinagrade.grader.eyes.identify_eye`.
        """
        if not self.name_has_patient:
            seen = without_patient_of_name(seen, to_path(self.path))
        patient = None if self.eye.study else seen.patient
        return EyeIdentity(self.eye.study or seen.study, self.eye.laterality or seen.laterality, patient)


@dataclass(frozen=True)
class FoundPhotographs:
    """Photographs to grade, and the files of their folders that are left out.

    Attributes:
        photographs: The photographs.
        left_out: All other files of the folders, with reasons.
    """

    photographs: tuple[PhotographFile, ...]
    left_out: tuple[LeftOutFile, ...] = ()


def find_photographs(inputs: Sequence[str], listed: Path | None = None) -> FoundPhotographs:
    """Finds photographs; a file that is found several times is returned once.

    Args:
        inputs: Files, folders and patterns such as ``*.jpg``. A folder stands for every file below it whose first
            bytes or suffix are those of a photograph.
        listed: A list of files, see :func:`read_list`.

    Where the list has a column ``patient_id``, no file name tells a patient, neither that of a listed photograph nor
    that of another one.

    Returns:
        The photographs. The id of a file from a folder is its path below that folder without suffix; the id of any
        other file is its name without suffix. Files that would share an id get their whole path as id.

    Raises:
        UsageError: An input has no photographs, the list can't be read, or there is nothing to grade.
    """
    photographs: dict[str, PhotographFile] = {}
    left_out: dict[str, LeftOutFile] = {}
    found = [_expand(each) for each in inputs]
    from_list = [] if listed is None else read_list(listed)
    names_have_patients = all(each.name_has_patient for each in from_list)
    for each in [*from_list, *(file for files, _ in found for file in files)]:
        photographs.setdefault(each.path, replace(each, name_has_patient=names_have_patients))
    for file in (file for _, files in found for file in files):
        if file.file not in photographs:
            left_out.setdefault(file.file, file)
    if not photographs:
        raise UsageError("nothing to grade: name photographs, folders or patterns, or a list with --list")
    count = Counter(each.image_id for each in photographs.values())
    named = (each if count[each.image_id] == 1 else replace(each, image_id=each.path) for each in photographs.values())
    return FoundPhotographs(tuple(map(_as_text, named)), tuple(left_out.values()))


def _as_text(file: PhotographFile) -> PhotographFile:
    """Escapes the bytes of a name that are no text, as from an old archive; no table could hold such a name."""
    image_id, path = (text.encode("utf-8", "backslashreplace").decode("utf-8") for text in (file.image_id, file.path))
    if (image_id, path) == (file.image_id, file.path):
        return file
    return replace(file, image_id=image_id, path=path, problem=f"{path}: its name is no text in UTF-8: rename it")


def read_list(path: Path) -> list[PhotographFile]:
    """Reads a list of photographs; relative paths start from its folder.

    Args:
        path: A text file with one path per line; or a ``.csv`` file, such as a manifest, with a column ``path`` and,
            where known, ``image_id``, ``patient_id``, which identifies the study, and ``laterality`` (L, R, left,
            right, OS, OD). An empty ``patient_id`` is an unknown patient, unless a DICOM header tells the study; an
            empty ``laterality`` is read from the header or the name of the file.

    Raises:
        UsageError: The list is not readable, has no column ``path``, or a cell is wrong.
        ManifestError: The list is no text, or no table.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: not a readable list: {error.strerror or error}") from error
    if path.suffix.lower() != ".csv":
        try:
            text = decode_text(data, str(path))
        except UnicodeDecodeError as error:
            raise UsageError(f"{path}: not a readable list: {error}; save it as UTF-8") from error
        lines = [(line.strip(), number) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
        return [PhotographFile(_default_id(Path(name)), _listed_path(path, name, line)) for name, line in lines]
    table = split_table(decode_table(data, str(path)), str(path))
    if "path" not in table.header:
        raise UsageError(
            f"{path}, line {table.first_line - 1}: no column 'path'; found {', '.join(map(repr, table.header))}"
        )
    blank = dict.fromkeys(table.header, "")
    rows = (blank | dict(zip(table.header, map(unprotect, row), strict=False)) for row in table.rows)
    return [_read_row(row, path, line) for row, line in zip(rows, table.lines, strict=True) if any(row.values())]


def _read_row(row: dict[str, str], source: Path, line: int) -> PhotographFile:
    cells = {column: row.get(column, "").strip() for column in ("image_id", "path", "patient_id", "laterality")}
    if not cells["path"]:
        raise UsageError(f"{source}, line {line}: no path")
    try:
        side = parse_side(cells["laterality"]) if cells["laterality"] else None
    except ValueError as error:
        raise UsageError(f"{source}, line {line}, column 'laterality': {error}") from error
    image_id = cells["image_id"] or _default_id(Path(cells["path"]))
    path = _listed_path(source, cells["path"], line)
    eye = EyeIdentity(cells["patient_id"] or None, side)
    return PhotographFile(image_id, path, eye, name_has_patient="patient_id" not in row)


def _listed_path(source: Path, name: str, line: int) -> str:
    if problem := table_path_problem(name, source.parent):
        raise UsageError(f"{source}, line {line}: {name!r} {problem}")
    try:
        return str(join_path(source.parent, name))
    except (ValueError, ImportError) as error:  # an unknown scheme, or a missing package of a store
        raise UsageError(f"{source}, line {line}: {name} is no path or URL that can be read: {error}") from error


def _expand(each: str) -> tuple[list[PhotographFile], list[LeftOutFile]]:
    """Returns the photographs that one argument stands for, and the other files of its folders."""
    path = user_path(each)
    paths = [path] if path.exists() else [to_path(name) for name in sorted(glob(each, recursive=True))]  # noqa: PTH207  # Path.glob refuses absolute patterns
    if not paths and not has_magic(each):
        raise UsageError(f"{each}: no such file or folder")
    folders = [path for path in paths if path.is_dir()]
    own = [path for path in paths if path not in folders and is_local(path) and is_own_picture(path)]
    files = [PhotographFile(_default_id(path), str(path)) for path in paths if path not in (*folders, *own)]
    left_out = [LeftOutFile(str(path), OWN_PICTURE, may_be_photograph=False) for path in own]
    for folder in folders:
        listing = list_folder(folder)
        files += [PhotographFile(_default_id(path, folder), str(path)) for path in listing.photographs]
        left_out += [replace(file, file=str(folder / file.file)) for file in listing.left_out]
    if not files:
        reasons = "".join(f"\n  {line}" for line in describe_left_out(left_out))
        raise UsageError(f"{each}: no photographs: name files, folders or patterns{reasons}")
    return files, left_out


def _default_id(path: Path, folder: Path | None = None) -> str:
    """Returns the id of a file, without the suffix of a photograph; names that look alike have equal ids (NFC)."""
    bare = without_photograph_suffix(path)
    return unicodedata.normalize("NFC", bare.name if folder is None else bare.relative_to(folder).as_posix())
