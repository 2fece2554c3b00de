"""Locks on results that one command writes at a time. The system releases them when their process dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from retinagrade.errors import UsageError
from retinagrade.storage.paths import is_local


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps other commands from writing a file while the block runs.

    A hidden file beside it carries the lock, because the file itself is replaced. An object store has no locks.

    Args:
        path: The file; a missing folder is made, and removed if it stays empty.

    Raises:
        UsageError: Another command is writing the file.
        OSError: The lock can't be made.
    """
    if not is_local(path):
        yield
        return
    from filelock import FileLock, Timeout  # loaded here, because most commands write no such file

    is_new = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock_file = path.with_name(f".{path.name[:200]}.lock")
    lock = FileLock(lock_file, mode=0o644)  # with write permission for others, it would pass over a failed open
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"{path}: another command is writing it: wait for its end, or choose another file") from None
    try:
        yield
    finally:
        lock_file.unlink(missing_ok=True)  # before the release: after it, the file may be another command's lock
        lock.release()
        if is_new:
            with suppress(OSError):  # it is no longer empty
                path.parent.rmdir()
