"""The guard of every command's outputs: it refuses an output among the inputs, and keeps the results of others.

A command makes its :class:`Output` objects and calls :func:`guard_outputs` before any work. A result that may be
replaced by the same command later is recognised by its origin: the command and its inputs, which
:func:`describe_origin` puts into a record. The record of a folder is its first file, so that the same command continues
after an interruption.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Final

from retinagrade.errors import UsageError
from retinagrade.storage.files import is_free_folder, write_json
from retinagrade.storage.paths import is_local, read_bytes, to_path

ORIGIN: Final = "origin"
"""Key of the origin in a record."""
FOLDER_RECORD: Final = "run.json"
"""Record of a folder of results."""


@dataclass(frozen=True)
class Output:
    """A file or a folder that a command is about to write.

    Attributes:
        path: The file or folder.
        is_folder: Whether it is a folder.
        is_earlier_result: Tells whether the existing file or folder is an earlier result of the same command with the
            same inputs, which the command may continue or replace.
        inside: A folder of an input in which this output has its usual place, such as ``predictions`` of a run.
        is_left_out: Whether the command leaves these files out where they lie in an input folder, because it recognises
            them; they may then lie there.
    """

    path: Path
    is_folder: bool
    is_earlier_result: Callable[[], bool] = lambda: False
    inside: Path | None = None
    is_left_out: bool = False


def guard_outputs(outputs: Iterable[Output], inputs: Iterable[Path], overwrite: bool = False) -> None:
    """Checks the outputs of a command before any work. It creates and changes nothing.

    Args:
        outputs: The outputs.
        inputs: The files and folders that the command reads; missing ones are ignored.
        overwrite: Whether the command may replace files that are no earlier result of the same inputs. Even then no
            input is replaced.

    Raises:
        UsageError: An output is an input, holds one or lies in one; two outputs are the same; a file stands where a
            folder should be, or the reverse; a folder is read-only; or an output exists and is no earlier result of
            the same command with the same inputs. The message names both and a remedy.
    """
    places = _Places([path for path in inputs if _exists(path)])
    named: list[Output] = []
    for output in outputs:
        places.require_apart(output)
        for other in named:
            if _same(output.path, other.path):
                raise UsageError(f"{output.path}: two outputs have this place: give each its own")
        _require_kind(output)
        if not overwrite and not _is_free(output) and not output.is_earlier_result():
            state = "is not empty" if output.is_folder else "exists"
            raise UsageError(
                f"{output.path} {state}, and is no earlier result of this command with the same inputs: choose another "
                "place, or replace what is there with --overwrite"
            )
        named.append(output)


def folder_output(
    folder: Path, command: str, inputs: Sequence[Path], record: str = FOLDER_RECORD, inside: Path | None = None
) -> Output:
    """Returns the output for a folder of results, whose record names its origin.

    Args:
        folder: The folder.
        command: Name of the command.
        inputs: The inputs that identify the result; a result of data in memory has none, and is never recognised.
        record: Name of the record in the folder.
        inside: As in :class:`Output`.
    """
    return Output(folder, True, lambda: bool(inputs) and has_origin(folder / record, command, inputs), inside)


def continued_folder(folder: Path) -> Output:
    """Returns the output for a folder that the command itself recognises, as ``train`` recognises its run."""
    return Output(folder, True, lambda: True)


def file_output(file: Path, command: str, inputs: Sequence[Path], inside: Path | None = None) -> Output:
    """Returns the output for a file whose origin :func:`write_origin` writes beside it; arguments as above."""
    return Output(file, False, lambda: has_origin(origin_file(file), command, inputs), inside)


def describe_origin(command: str, inputs: Iterable[Path], folder: Path) -> dict[str, Any]:
    """Returns the origin of a result, for its record.

    Args:
        command: Name of the command.
        inputs: The inputs that identify the result.
        folder: The folder of the record. Paths start there, so that results and inputs can be moved together.
    """
    return {ORIGIN: {"command": command, "inputs": [relative_to_folder(path, folder) for path in inputs]}}


def has_origin(record: Path, command: str, inputs: Iterable[Path]) -> bool:
    """Whether a record names this command and these inputs as the origin of its result."""
    earlier, now = read_origin(record, command), list(inputs)
    return earlier is not None and len(earlier) == len(now) and all(map(_same, earlier, now))


def read_origin(record: Path, command: str) -> list[Path] | None:
    """Returns the inputs that a record names, which may be gone; ``None`` where it names no result of this command."""
    try:
        origin = json.loads(read_bytes(record))[ORIGIN]
        inputs = [path_from_folder(path, record.parent) for path in origin["inputs"]]
        return inputs if origin["command"] == command else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def origin_file(file: Path) -> Path:
    """Returns the file beside a result that names its origin."""
    return file.with_name(f"{file.name}.origin.json")


def write_origin(file: Path, command: str, inputs: Iterable[Path]) -> None:
    """Writes the origin of a result beside it, before the result itself."""
    write_json(origin_file(file), describe_origin(command, inputs, file.parent))


def relative_to_folder(path: Path, folder: Path) -> str:
    """Returns the path from a folder to a file, with ``/``; a URL, or a path of another drive, stays whole."""
    if not is_local(path) or not is_local(folder):
        return str(path)
    try:
        return os.path.relpath(path.resolve(), folder.resolve()).replace(os.sep, "/")
    except ValueError:  # another drive
        return str(path.resolve())


def path_from_folder(path: str, folder: Path) -> Path:
    """Returns the file that :func:`relative_to_folder` described."""
    named = to_path(path)
    return (folder / named).resolve() if is_local(named) and is_local(folder) else named


def _require_kind(output: Output) -> None:
    """Requires a folder where a folder will be written, a file where a file will be, and a folder above it."""
    path = output.path
    if not is_local(path):
        return
    if _exists(path):
        mode = path.stat().st_mode if path.exists() else stat.S_IFREG  # a link to nothing is replaced like a file
        if output.is_folder and not stat.S_ISDIR(mode):
            raise UsageError(f"{path} is a file, and the output is a folder: choose another place")
        if not output.is_folder and not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise UsageError(f"{path} is {kind}, and the output is a file: choose another name")
    above = path if output.is_folder and path.is_dir() else path.absolute().parent
    while not _exists(above) and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise UsageError(f"{path} can't be made, because {above} is a file: choose another place")
    if not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"{path} can't be written, because {above} is read-only: choose another place")


def _is_free(output: Output) -> bool:
    return is_free_folder(output.path) if output.is_folder else not _exists(output.path)


def _exists(path: Path) -> bool:
    """Whether a path exists; a link to nothing does. An impossible name doesn't."""
    try:
        return os.path.lexists(path) if is_local(path) else path.exists()
    except (OSError, ValueError):
        return False


_Place = PurePath | tuple[int, int]
"""A resolved path, or device and number of an existing file: a file may have several paths."""


class _Places:
    """The places of a command's inputs. Thousands of photographs cost one look at the disk each."""

    def __init__(self, inputs: Sequence[Path]) -> None:
        self._inputs: dict[_Place, Path] = {place: path for path in inputs for place in _places(path)}
        self._folders: dict[_Place, Path] = {place: path for place, path in self._inputs.items() if path.is_dir()}
        above = {parent: path for path in inputs for parent in _resolve(path).parents}
        self._above: dict[_Place, Path] = {
            place: path for parent, path in above.items() for place in (parent, *_numbers(parent))
        }

    def require_apart(self, output: Output) -> None:
        """Requires that an output is none of the inputs, holds none and lies in none.

        Raises:
            UsageError: It is, does or lies.
        """
        path, places = output.path, _places(output.path)
        if any(place in self._inputs for place in places):
            raise UsageError(f"{path} is an input of this command: choose another place for the output")
        if output.is_folder and (held := [self._above[place] for place in places if place in self._above]):
            raise UsageError(f"{path} holds {held[0]}, an input of this command: choose another place for the output")
        around = [each for parent in _resolve(path).parents for each in (parent, *_numbers(parent))]
        if output.is_left_out or (
            output.inside is not None and any(place in around for place in _places(output.inside))
        ):
            return
        if lying := [self._folders[place] for place in around if place in self._folders]:
            raise UsageError(f"{path} lies in {lying[0]}, an input of this command: choose a place outside it")


def _resolve(path: Path) -> PurePath:
    """Returns the path without links and relative parts; for a URL, its text as a path."""
    return path.resolve() if is_local(path) else PurePosixPath(str(path))


def _numbers(path: PurePath) -> list[_Place]:
    """Returns device and number of an existing local file or folder, else nothing."""
    if not isinstance(path, Path):
        return []
    try:
        found = path.stat()
    except (OSError, ValueError):
        return []
    return [(found.st_dev, found.st_ino)]


def _places(path: Path) -> list[_Place]:
    resolved = _resolve(path)
    return [resolved, *_numbers(resolved)]


def _same(one: Path, other: Path) -> bool:
    return not set(_places(one)).isdisjoint(_places(other))
