"""All files of a folder: the photographs to read, and every other file with the reason why it is left out."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Final

from retinagrade.images.formats import HEAD, PHOTOGRAPH_SUFFIXES, recognise_file, recognise_suffix
from retinagrade.images.own_pictures import is_own_picture
from retinagrade.messages import counted, first_few
from retinagrade.storage.files import is_temporary
from retinagrade.storage.paths import is_local, list_files, read_head

_SYSTEM_FOLDERS: Final = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
)
"""Folders that systems write, in lower case; they may hold small copies of photographs."""
_SYSTEM_FILES: Final = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
_INDEX: Final = "DICOMDIR"

OWN_PICTURE: Final = "a result that retinagrade made, such as outlines or a report"
"""Reason to leave out a picture that has retinagrade's mark."""


@dataclass(frozen=True)
class LeftOutFile:
    """A file that was found, and is not read as a photograph.

    Attributes:
        file: The file's path; from a folder, its path below that folder.
        reason: The reason, with a remedy where one is needed.
        may_be_photograph: True if a person should look at it.
    """

    file: str
    reason: str
    may_be_photograph: bool


@dataclass(frozen=True)
class FolderListing:
    """All files of a folder; each is either a photograph or left out.

    Attributes:
        photographs: The files to read, sorted by path.
        left_out: All other files, sorted by path.
    """

    photographs: tuple[Path, ...]
    left_out: tuple[LeftOutFile, ...]


def list_folder(folder: Path, *, nested: bool = True) -> FolderListing:
    """Lists all files of a folder, each with its place.

    A file is a photograph if its first bytes or its suffix say so; whether it is whole, its reader finds out. Links to
    folders are followed, and each folder is read once.

    Args:
        folder: The folder, or the URL of one.
        nested: True to list the folders below it as well.

    Raises:
        OSError: The folder can't be read.
    """
    photographs, left_out = [], []
    for path, problem in _entries(folder, nested):
        if problem is None:
            problem = _judge(path, path.relative_to(folder).parts)
        if problem is None:
            photographs.append(path)
        else:
            left_out.append(LeftOutFile(relative_name(folder, path), problem.reason, problem.may_be_photograph))
    return FolderListing(tuple(sorted(photographs)), tuple(sorted(left_out, key=lambda each: each.file)))


def is_hidden_folder(name: str) -> bool:
    """Whether a folder of this name is hidden, or belongs to a system, so that its files are no photographs."""
    return name.startswith(".") or name.lower() in _SYSTEM_FOLDERS


def describe_left_out(left_out: Iterable[LeftOutFile]) -> list[str]:
    """Describes files that are left out: one line for each reason, those that need attention first.

    Example:
        >>> describe_left_out([LeftOutFile("a.csv", "not a picture", False)])
        ['left out: 1 file (not a picture): a.csv']
    """
    by_reason: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for each in left_out:
        by_reason[not each.may_be_photograph, each.reason].append(each.file)
    return [
        f"left out: {counted(len(files), 'file')} ({reason}): {first_few(files)}"
        for (_, reason), files in sorted(by_reason.items())
    ]


def relative_name(folder: Path, path: Path) -> str:
    """Returns a file's path below a folder for a message or record; bytes that are no text become escapes."""
    name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True)
class _Problem:
    reason: str
    may_be_photograph: bool


def _entries(folder: Path, nested: bool) -> Iterator[tuple[Path, _Problem | None]]:
    """Yields all entries that are not folders, with the problems that their kind has, and folders with problems."""
    if not is_local(folder):
        files = list_files(folder)
        yield from ((path, None) for path in files if nested or path.parent == folder)
        return
    above = {os.path.realpath(parent) for parent in (folder.resolve(), *folder.resolve().parents)}
    seen: set[str] = set()
    linked: list[Path] = []  # followed last, so that a file has the path without a link
    waiting = [folder]
    while waiting or linked:
        current = waiting.pop() if waiting else linked.pop(0)
        real = os.path.realpath(current)
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            if current == folder:
                raise
            yield current, _Problem(f"a folder that can't be read ({error.strerror}): check its permissions", True)
            continue
        for entry in entries:
            path = current / entry.name
            if not _is_folder(entry):
                yield path, _kind_problem(entry)
            elif not nested:
                continue
            elif not entry.is_symlink():
                waiting.append(path)
            elif os.path.realpath(path) not in above:
                linked.append(path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _kind_problem(entry: os.DirEntry[str]) -> _Problem | None:
    """Returns the problem of an entry that is no regular file."""
    try:
        status = entry.stat()
    except OSError as error:
        if not entry.is_symlink():
            return _Problem(f"can't be read ({error.strerror}): check its permissions", True)
        is_loop = error.errno == errno.ELOOP
        reason = "a link that leads to itself" if is_loop else "a link to a file that doesn't exist"
        return _Problem(f"{reason}: copy the file", _may_be_photograph(entry.name))
    if S_ISREG(status.st_mode):
        return None
    return _Problem("not a regular file, but a pipe, a socket or a device", _may_be_photograph(entry.name))


def _judge(path: Path, parts: tuple[str, ...]) -> _Problem | None:
    """Returns the reason to leave out a regular file, given the parts of its path; ``None`` for a photograph."""
    name = parts[-1]
    if any(map(is_hidden_folder, parts[:-1])):
        return _Problem("in a hidden folder or a folder of the system", False)
    if name == _INDEX:
        return _Problem("an index of DICOM files", False)
    if name.lower() in _SYSTEM_FILES:
        return _Problem("a file of the system", False)
    if is_temporary(path):
        return _Problem("a temporary file of a command that was stopped", False)
    if is_local(path) and is_own_picture(path):
        return _Problem(OWN_PICTURE, False)
    hidden = name.startswith(".")
    if not hidden and path.suffix.lower() in PHOTOGRAPH_SUFFIXES:
        return None  # its reader reports any problem
    try:
        head = read_head(path, HEAD)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return _Problem(f"can't be read ({reason}): check its permissions", _may_be_photograph(name))
    known = recognise_file(name, head) if head else None
    if hidden:
        is_picture = known is not None and known.remedy is None
        remedy = ", but a picture: rename it if it is a photograph, or delete it" if is_picture else ""
        return _Problem(f"hidden (its name begins with a dot){remedy}", is_picture)
    if known is None:
        return _Problem("not a picture" if head else "an empty file", False)
    return None if known.remedy is None else _Problem(f"{known.name}: {known.remedy}", True)


def _may_be_photograph(name: str) -> bool:
    """Whether a file that can't be read may be a photograph by its name."""
    suffix = Path(name).suffix.lower()
    return suffix in PHOTOGRAPH_SUFFIXES or suffix in ("", ".") or recognise_suffix(name) is not None
