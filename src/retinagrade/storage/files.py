"""Reading and writing of files. Results are written under a temporary name and renamed: they are whole or absent."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from retinagrade.errors import RetinagradeError, UsageError, describe_validation_error
from retinagrade.storage.paths import is_local, upload_bytes
from retinagrade.storage.system_errors import reason

fcntl: ModuleType | None
try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None

if TYPE_CHECKING:
    from pydantic import BaseModel

_PREFIX: Final = ".retinagrade-"
"""Start of the name of a temporary file; nobody else's file begins so."""
_CLEAN: Final[set[Path]] = set()
"""Folders from which this process has deleted the temporary files of killed ones."""
Model = TypeVar("Model", bound="BaseModel")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that becomes ``path`` when the block ends without an error.

    Args:
        path: The file to make or replace; a missing folder is made.

    Yields:
        A path with the same suffix in the same folder, so that the rename can't cross file systems.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _delete_leftovers(path.parent.resolve())
        prefix, suffix = f"{_PREFIX}{path.stem[:20]}-", path.suffix[:20]
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=path.parent)
        temporary = Path(name)
        try:
            with _held(handle):
                yield temporary
                umask = os.umask(0)
                os.umask(umask)
                temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; results get the usual permissions
                _flush_to_disk(temporary)
                temporary.replace(path)
                _flush_to_disk(path.parent)
        finally:
            with suppress(OSError):  # a disk that fails here has failed before, and its first error counts
                temporary.unlink(missing_ok=True)


@contextmanager
def _held(handle: int) -> Iterator[None]:
    """Marks a temporary file as in use, and closes it at the end. The system removes the mark of a killed process."""
    if fcntl is None:  # Windows can't rename an open file
        os.close(handle)
        yield
        return
    try:
        with suppress(OSError):  # some network drives have no locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _delete_leftovers(folder: Path) -> None:
    """Deletes the temporary files that killed commands have left in a folder; once for each folder and process."""
    if fcntl is None or folder in _CLEAN:
        return
    _CLEAN.add(folder)
    leftovers: list[Path] = []
    with suppress(OSError):  # a folder may take files and show none
        leftovers += filter(is_temporary, folder.iterdir())
    for path in leftovers:
        with suppress(OSError):  # it is in use, or another process has deleted it
            handle = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(handle)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Names a path in those errors of the block that name none, as on a full disk, or only a temporary file."""
    try:
        yield
    except OSError as error:
        if error.filename is None or is_temporary(Path(os.fsdecode(error.filename))):
            error.filename, error.filename2 = str(path), None
        raise


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yields a temporary folder of the system, and deletes it at the end of the block.

    Errors at its files name the system's folder of temporary files: only that one has a name which a person knows.
    """
    with tempfile.TemporaryDirectory(prefix="retinagrade-") as name:
        folder = Path(name).resolve()
        try:
            yield folder
        except OSError as error:
            place = error.filename2 or error.filename
            if isinstance(place, str | bytes) and Path(os.fsdecode(place)).is_relative_to(folder):
                error.filename, error.filename2 = tempfile.gettempdir(), None
            raise


def _flush_to_disk(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk: a power cut then leaves no empty file."""
    if os.name == "nt" and path.is_dir():
        return  # Windows can't open folders
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network drives can't flush
            raise
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes ``data`` to ``path`` atomically."""
    if not is_local(path):
        upload_bytes(path, data)
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` to ``path`` atomically, as UTF-8 with Unix line ends."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` to ``path`` atomically as indented JSON; NaN and infinity are errors."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


class GrowingFile:
    """A text file that grows by whole lines. A line that can't be written, as on a full disk, leaves no part behind."""

    def __init__(self, path: Path) -> None:
        """Opens or creates the file. Args: ``path`` of the file, in an existing folder."""
        self._path = path
        with naming(path):
            self._stream = path.open("ab", buffering=0)  # a buffer would write a failed line again when it is closed
            self._size = self._stream.seek(0, os.SEEK_END)

    def append(self, lines: str) -> None:
        """Writes whole lines, with their line breaks, to disk at once.

        Raises:
            OSError: They can't be written. The error names the file, which is as it was before.
        """
        rest = memoryview(lines.encode("utf-8"))
        size = self._size + len(rest)
        try:
            with naming(self._path):
                while rest:
                    rest = rest[self._stream.write(rest) :]
        except BaseException:
            with suppress(OSError):  # the first error counts
                self._stream.truncate(self._size)
            raise
        self._size = size

    def close(self) -> None:
        """Closes the file."""
        with naming(self._path):
            self._stream.close()


def read_json_model(
    path: Path, model: type[Model], name: str, error_type: type[RetinagradeError], remedy: str = ""
) -> Model:
    """Reads a JSON file and validates it.

    Args:
        path: The file.
        model: The pydantic model that describes the file.
        name: Name of the file's kind with its article, such as ``a calibration``, for error messages.
        error_type: The error to raise.
        remedy: Advice that ends the message about an invalid file.

    Returns:
        The content of the file.

    Raises:
        RetinagradeError: An ``error_type``: the file is unreadable, or a key is missing, unknown or invalid; the
            message names file and key.
    """
    from pydantic import ValidationError  # here, because most users of this module need no pydantic

    try:
        return model.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise error_type(f"{path} can't be read as {name}: {reason(error)}") from error
    except ValidationError as error:
        message = f"{path} is not {name} that this version reads:\n  {describe_validation_error(error, model)}"
        raise error_type(f"{message}\n{remedy}" if remedy else message) from None


def is_temporary(path: Path) -> bool:
    """Whether a file has the name of a temporary file of :func:`atomic_path`, which a killed command may have left."""
    return path.name.startswith(_PREFIX)


def is_free_folder(folder: Path, besides: Collection[str] = ()) -> bool:
    """Whether a folder is absent, or empty except for hidden files, which killed runs leave.

    Args:
        folder: The folder.
        besides: Names of further files that the folder may contain.
    """
    if not folder.exists():
        return True
    return folder.is_dir() and all(path.name.startswith(".") or path.name in besides for path in folder.iterdir())


def short_names(paths: Sequence[Path]) -> list[str]:
    """Returns the names of files or folders, with as many parent folders as distinguish them.

    Args:
        paths: At least one file or folder.

    Raises:
        UsageError: A file or folder occurs twice.

    Example:
        >>> short_names([Path("a/runs/first"), Path("b/runs/first")])
        ['a/runs/first', 'b/runs/first']
    """
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    repeated = next(path for row, path in enumerate(paths) if parts[row] in parts[:row])
    raise UsageError(f"{repeated} occurs twice: name each once")


def sha256(path: Path) -> str:
    """Returns the SHA-256 digest of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_digests(paths: Sequence[Path]) -> dict[str, str]:
    """Returns the SHA-256 digests of files, by their paths."""
    return {str(path): sha256(path) for path in paths}
