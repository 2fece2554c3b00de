"""Reading and writing of files. Results are written under a temporary name and renamed: they are whole or absent."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from retinagrade.errors import RetinagradeError, UsageError, describe_validation_error
from retinagrade.storage.paths import is_local, upload_bytes
from retinagrade.storage.system_errors import naming, reason

if TYPE_CHECKING:
    from pydantic import BaseModel

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
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:20]}-", suffix=path.suffix[:20], dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with naming(path):
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; results get the usual permissions
            _flush_to_disk(temporary)
            temporary.replace(path)
            _flush_to_disk(path.parent)
    finally:
        with suppress(OSError):  # a disk that fails here has failed before, and its first error counts
            temporary.unlink(missing_ok=True)


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
    with atomic_path(path) as temporary, naming(path):
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` to ``path`` atomically, as UTF-8 with Unix line ends."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` to ``path`` atomically as indented JSON; NaN and infinity are errors."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


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
        message = f"{path} is not {name} that this version reads:\n  {describe_validation_error(error)}"
        raise error_type(f"{message}\n{remedy}" if remedy else message) from None


def is_temporary(path: Path) -> bool:
    """Whether a file has the name of a temporary file of :func:`atomic_path`, which a killed command may have left."""
    return re.fullmatch(r"\..{0,20}-[a-z0-9_]{8}", path.name.removesuffix(path.suffix)) is not None


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
