"""Places of files: local paths, and URLs of object stores, such as ``s3://bucket/folder``, that act like paths.

A local path stays what it is and pays nothing. A URL becomes a path of universal-pathlib, which has the methods of
:class:`pathlib.Path` on top of fsspec, and passes for one in annotations; what costs a request a file there, or is not
atomic, is in this module. Credentials are found by the store's own package, as everywhere: environment, files, roles.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from retinagrade.errors import UsageError

if TYPE_CHECKING:
    from upath import UPath

_SCHEME: Final = "://"


def user_path(path: str | os.PathLike[str]) -> Path:
    """Returns the path that a user named.

    Args:
        path: A path, or a URL with a scheme that fsspec knows.

    Raises:
        UsageError: No such scheme, a package for it is missing, or the store doesn't answer.
        ModuleNotFoundError: A URL, and the extra ``scale`` isn't installed.
    """
    text = os.fspath(path) if hasattr(path, "__fspath__") else str(path)
    if _SCHEME not in text:
        return Path(text)
    import upath  # noqa: F401  # what is missing is said as for any other extra

    try:
        remote = _remote(to_path(text))
        remote.fs.invalidate_cache()  # an earlier call's listings
        remote.exists()
    except ImportError as error:
        raise UsageError(f"{text}: {error}") from error
    except Exception as error:  # every store's package raises its own
        raise UsageError(f"{text} can't be reached ({error}): check address, credentials and network") from error
    return cast(Path, remote)


def to_path(text: str) -> Path:
    """The place that a table or a program names; nobody asks whether it can be reached."""
    if _SCHEME not in text:
        return Path(text)
    from upath import UPath

    return cast(Path, UPath(text))


def join_path(root: Path, path: str) -> Path:
    """The place of ``path``, which is relative to ``root``, absolute, or a URL."""
    return to_path(path) if _SCHEME in path else root / path


def is_local(path: Path) -> bool:
    """Whether a place is in a file system of this machine."""
    return hasattr(path, "__fspath__")


def read_bytes(path: Path) -> bytes:
    """Reads a file whole; of a store, by one download.

    Raises:
        OSError: Whatever is wrong with it, or with the way to it.
    """
    if is_local(path):
        return path.read_bytes()
    try:
        data: bytes = _remote(path).fs.cat_file(_remote(path).path)
    except FileNotFoundError as error:
        raise FileNotFoundError(2, "No such file or directory", str(path)) from error
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    return data


def upload_bytes(path: Path, data: bytes) -> None:
    """Writes a file of an object store, where a file is whole or absent by itself, by one request."""
    _remote(path).fs.pipe_file(_remote(path).path, data)


def list_files(folder: Path) -> Iterator[Path]:
    """All files below a folder, hidden ones included, in no order; of a store, by listing it as it is now."""
    if is_local(folder):
        yield from (path for path in folder.rglob("*") if path.is_file())
        return
    remote = _remote(folder)
    remote.fs.invalidate_cache()
    root = remote.path.rstrip("/")
    for name in remote.fs.find(root):
        yield folder / name.removeprefix(root).lstrip("/")


def file_stats(files: Collection[Path]) -> dict[Path, os.stat_result]:
    """Size and time of those files that are there; of a store, by listing their folders instead of asking for each."""
    for folder in {file.parent for file in files if not is_local(file)}:
        if folder.is_dir():
            list(folder.iterdir())  # fsspec answers from the listing then
    found = {}
    for file in files:
        with suppress(OSError, ValueError):  # ValueError: a name that no file can have
            found[file] = file.stat()
    return found


def _remote(path: Path) -> UPath:
    return cast("UPath", path)
