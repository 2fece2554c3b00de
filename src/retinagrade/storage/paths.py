"""Paths of files: local paths, and URLs of object stores such as ``s3://bucket/folder``, which act like paths.

A local path remains a :class:`pathlib.Path` without any cost. A URL becomes a path of universal-pathlib, which has the
same methods on top of fsspec; annotations call both ``Path``. This module has the operations that are not atomic in an
object store, or need a request for each file. The store's own package finds credentials: in the environment, in files
or by roles.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from retinagrade.errors import UsageError

if TYPE_CHECKING:
    from upath import UPath

_SCHEME: Final = "://"
_CHAIN: Final = "::"
_STORES: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "r2", "memory"})
"""Schemes of object stores: a table may name photographs there."""
_WITHOUT_WAITING: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


def user_path(path: str | os.PathLike[str]) -> Path:
    """Returns the path that a user named.

    Args:
        path: A path, or a URL with a scheme that fsspec knows.

    Raises:
        UsageError: The scheme is unknown, its package is missing, or the store doesn't answer.
        ModuleNotFoundError: The path is a URL, and the extra ``scale`` isn't installed.
    """
    text = os.fspath(path) if hasattr(path, "__fspath__") else str(path)
    if _SCHEME not in text:
        return Path(text)
    import upath  # noqa: F401  # a missing package is reported like that of other extras

    try:
        remote = _remote(to_path(text))
        remote.fs.invalidate_cache()  # forget listings of earlier calls
        remote.exists()
    except ImportError as error:
        raise UsageError(f"{text}: {error}") from error
    except Exception as error:  # each store's package has its own exceptions
        raise UsageError(f"{text} can't be reached ({error}): check address, credentials and network") from error
    return cast(Path, remote)


def to_path(text: str) -> Path:
    """Returns the path for a cell of a table or an argument of a program, without a check that it can be reached."""
    if _SCHEME not in text:
        return Path(text)
    from upath import UPath

    return cast(Path, UPath(text))


def as_path(path: str | os.PathLike[str]) -> Path:
    """Returns the path for an argument of a function, unchecked; the path of a URL is unchanged."""
    return to_path(os.fspath(path)) if isinstance(path, str) or hasattr(path, "__fspath__") else cast(Path, path)


def join_path(root: Path, path: str) -> Path:
    """Returns the path for ``path``, which is relative to ``root``, absolute, or a URL."""
    return to_path(path) if _SCHEME in path else root / path


def table_path_problem(cell: str, root: Path) -> str | None:
    """Returns the reason why a table must not name a photograph by this text; ``None`` where it may.

    A table comes from elsewhere, and must not send this machine to any address: a URL has the scheme of an object
    store, or begins like the table's own URL, and is never a chain of several file systems.

    Args:
        cell: The text: a path or a URL.
        root: The table's folder.
    """
    if _SCHEME not in cell:
        return None
    scheme, _, rest = cell.partition(_SCHEME)
    if _CHAIN in cell or not scheme.isalnum():
        return "is a chain of file systems: name the photograph's own path or URL"
    same_place = not is_local(root) and str(root).startswith(f"{scheme}{_SCHEME}{rest.split('/', 1)[0]}/")
    if scheme not in _STORES and not same_place:
        return f"has the scheme {scheme!r}: download the photograph, and name its path"
    return None


def is_local(path: Path) -> bool:
    """Whether a path is in a file system of this machine."""
    return hasattr(path, "__fspath__")


def open_regular(path: Path) -> BinaryIO:
    """Opens a regular file for reading; it never waits for a pipe, and never reads from a device.

    Raises:
        OSError: The file is missing, unreadable, or no regular file.
        ValueError: The path can't be one of a file.
    """
    if not is_local(path):
        return cast(BinaryIO, path.open("rb"))
    _require_regular(path.stat(), path)  # before it is opened: to open a device may already have an effect
    stream = os.fdopen(os.open(path, os.O_RDONLY | _WITHOUT_WAITING), "rb")
    try:
        _require_regular(os.fstat(stream.fileno()), path)
    except OSError:
        stream.close()
        raise
    return stream


def _require_regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file, but a pipe, a socket or a device", str(path))


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """Reads a whole file; from an object store in one download.

    Args:
        path: The file.
        limit: Largest size of the file, in bytes; ``None`` for any size.

    Raises:
        OSError: The file is missing, unreadable, no regular file or larger than the limit, or the store can't be
            reached.
    """
    if is_local(path):
        with open_regular(path) as stream:
            if limit is None:
                return stream.read()
            if os.fstat(stream.fileno()).st_size > limit:
                raise _too_large(path, limit)
            data = stream.read(limit + 1)
    else:
        data = _download(path, limit)
    if limit is not None and len(data) > limit:
        raise _too_large(path, limit)
    return data


def read_head(path: Path, count: int) -> bytes:
    """Reads the first bytes of a regular file.

    Raises:
        OSError: The file is missing, unreadable, or no regular file.
        ValueError: The path can't be one of a file.
    """
    with open_regular(path) as stream:
        return stream.read(count)


def _too_large(path: Path, limit: int) -> OSError:
    return OSError(errno.EFBIG, f"too large (more than {limit >> 20} MB)", str(path))


def _download(path: Path, limit: int | None) -> bytes:
    """Downloads a file, or one byte more than the limit."""
    remote = _remote(path)
    try:
        if limit is not None and remote.fs.info(remote.path).get("size", 0) > limit:
            raise _too_large(path, limit)
        data: bytes = remote.fs.cat_file(remote.path)
    except FileNotFoundError as error:
        raise FileNotFoundError(2, "No such file or directory", str(path)) from error
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    return data


def store_tag(path: Path) -> str | None:
    """Returns ETag and size of a file in an object store, which change with its content; ``None`` where none is known.

    Args:
        path: Any path. A file of this machine has no ETag.
    """
    if is_local(path):
        return None
    try:
        info = _remote(path).fs.info(_remote(path).path)
    except Exception:  # each store's package has its own exceptions
        return None
    tag = info.get("ETag") or info.get("etag")
    return tag and f"etag {str(tag).strip(chr(34))}, {info.get('size')} bytes"


def upload_bytes(path: Path, data: bytes) -> None:
    """Writes a file to an object store in one request, which makes it whole or absent."""
    _remote(path).fs.pipe_file(_remote(path).path, data)


def list_files(folder: Path) -> Iterator[Path]:
    """Yields all files below a folder, hidden ones included, in any order; a store is listed anew."""
    if is_local(folder):
        yield from (path for path in folder.rglob("*") if path.is_file())
        return
    remote = _remote(folder)
    remote.fs.invalidate_cache()
    root = remote.path.rstrip("/")
    for name in remote.fs.find(root):
        yield folder / name.removeprefix(root).lstrip("/")


def file_stats(files: Collection[Path]) -> dict[Path, os.stat_result]:
    """Returns size and time of the files that exist; a store needs one request for each folder, not for each file."""
    for folder in {file.parent for file in files if not is_local(file)}:
        if folder.is_dir():
            list(folder.iterdir())  # fsspec then answers from this listing
    stats = {}
    for file in files:
        with suppress(OSError, ValueError):  # ValueError: an impossible file name
            stats[file] = file.stat()
    return stats


def entity_tags(files: Collection[Path]) -> dict[Path, str]:
    """Returns the entity tags (ETag) and sizes of files in object stores that have them, as one text for each file.

    A store gives every content of a file another tag. Local files have none.
    """
    far = [file for file in files if not is_local(file)]
    stats = file_stats(far)  # lists each folder once
    tags = {}
    for file in stats:
        with suppress(OSError):
            info = _remote(file).fs.info(_remote(file).path)
            if tag := info.get("ETag") or info.get("etag"):
                tags[file] = f"{str(tag).strip(chr(34))} {info.get('size')}"
    return tags


def _remote(path: Path) -> UPath:
    return cast("UPath", path)
