"""Locks on results that one command writes at a time. The system releases them when their process dies."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from retinagrade.errors import UsageError
from retinagrade.storage.paths import is_local


@contextmanager
def locked(path: Path, in_use: str | None = None) -> Iterator[None]:
    """Keeps other commands from writing a file while the block runs.

    A hidden file beside it carries the lock, because the file itself is replaced. An object store has no locks.

    Args:
        path: The file; a missing folder is made, and removed if it stays empty.
        in_use: Message for the case that another command is writing the file; ``None`` for a general one.

    Raises:
        UsageError: Another command is writing the file, or nothing can be written in its folder.
        OSError: The lock can't be made.
    """
    if not is_local(path):
        yield
        return
    from filelock import FileLock, Timeout  # loaded here, because most commands write no such file

    is_new = not path.parent.exists()
    make_folder(path.parent)
    lock_file = path.with_name(f".{path.name[:200]}.lock")
    lock = FileLock(lock_file, mode=0o644)  # with write permission for others, it would pass over a failed open
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _require_writable(path.parent)  # where nothing can be written, the lock fails as well
        message = in_use or f"{path}: another command is writing it: wait for its end, or choose another file"
        raise UsageError(message) from None
    try:
        yield
    finally:
        lock_file.unlink(missing_ok=True)  # before the release: after it, the file may be another command's lock
        lock.release()
        if is_new:
            with suppress(OSError):  # it is no longer empty
                path.parent.rmdir()


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Makes a folder with the folders above it, unless it exists.

    Args:
        folder: The folder.
        mode: Permissions of a new folder.

    Raises:
        UsageError: The place takes no folders, as the system's own ``/proc``.
        OSError: The folder can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
    except FileNotFoundError as error:  # no folder above it is missing: it would have been made
        raise _unwritable(next(each for each in folder.absolute().parents if each.exists())) from error


def _require_writable(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise _unwritable(folder) from error


def _unwritable(folder: Path) -> UsageError:
    return UsageError(f"{folder}: nothing can be written there: change its permissions, or choose another folder")
