"""A disk that fails: every operation that changes files passes one place, which fails the n-th one.

The wrapper replaces the functions of Python through which files are opened, written, flushed, renamed, deleted and
folders made. Writes of compiled libraries pass it by; :func:`small_files` fails those as well.
"""

from __future__ import annotations

import builtins
import errno
import hashlib
import io
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

_OPEN: Final = io.open
_WRITING: Final = set("wax+")


class FaultyDisk:
    """Counts the operations that change files below a folder, and fails one of them.

    Attributes:
        operations: Kind and path of each operation, in their order: ``open``, ``write``, ``fsync``, ``rename`` or
            ``mkdir``.
        failed: Whether an operation has failed.
        contents: Digests of the files that were renamed: what a whole file may hold.
    """

    def __init__(self, folder: Path, fail_at: int | None = None, stays_full: bool = True) -> None:
        """Makes a disk.

        Args:
            folder: Operations elsewhere neither count nor fail.
            fail_at: Number of the operation that fails, from 0; ``None`` for none.
            stays_full: Whether all later operations fail as well.
        """
        self.operations: list[tuple[str, str]] = []
        self.contents: set[str] = set()
        self.failed = False
        self._folder, self._fail_at, self._stays_full = str(folder.resolve()), fail_at, stays_full

    def fails(self, kind: str, path: object) -> bool:
        """Counts an operation; returns whether it must fail."""
        number = len(self.operations)
        self.operations.append((kind, str(path)))
        fails = self._fail_at is not None and (number >= self._fail_at if self._stays_full else number == self._fail_at)
        self.failed |= fails
        return fails

    def require(self, kind: str, path: object) -> None:
        """Counts an operation, and raises the error of a full disk if it must fail."""
        if self.fails(kind, path):
            raise full(path)

    def holds(self, file: object) -> bool:
        """Whether a path, or an open file by its number, lies on this disk."""
        if isinstance(file, int):
            try:
                file = os.readlink(f"/proc/self/fd/{file}")  # noqa: PTH115  # of a pipe, no path
            except OSError:
                return False
            if not os.path.isabs(file):  # noqa: PTH117
                return False
        return str(os.path.abspath(os.fsdecode(file))).startswith(self._folder)  # type: ignore[arg-type]  # noqa: PTH100


def full(path: object) -> OSError:
    """Makes the error of a full disk; as with a true write, it names no file where only a number is known."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *([path] if isinstance(path, str | os.PathLike) else []))


class _Raw(io.FileIO):
    """A file whose failing write leaves half of its bytes."""

    disk: FaultyDisk

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        if self.disk.fails("write", self.name):
            super().write(view[: len(view) // 2])
            raise full(None)
        return super().write(view)


@contextmanager
def faulty(disk: FaultyDisk) -> Iterator[FaultyDisk]:
    """Puts a disk in place of the true one while the block runs; temporary files of the system lie on it, too."""

    def opened(file: Any, mode: str = "r", buffering: int = -1, *text: Any, **options: Any) -> Any:
        if _WRITING.isdisjoint(mode) or not disk.holds(file):
            return _OPEN(file, mode, buffering, *text, **options)
        if not isinstance(file, int):
            disk.require("open", file)
        names = ("encoding", "errors", "newline", "closefd", "opener")
        given = dict(zip(names, text, strict=False)) | options
        raw = _Raw(file, mode.replace("b", "").replace("t", ""), given.get("closefd", True), given.get("opener"))
        raw.disk = disk
        if buffering == 0:
            return raw
        buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        if "b" in mode:
            return buffered
        encoding, errors, newline = (given.get(name) for name in names[:3])
        return io.TextIOWrapper(buffered, encoding, errors, newline, buffering == 1)

    def watched(kind: str, function: Callable[..., Any], changes: Callable[..., bool] = lambda *_: True) -> Any:
        def call(file: Any, *arguments: Any, **options: Any) -> Any:
            if changes(file, *arguments) and disk.holds(file):
                disk.require(kind, file)
            return function(file, *arguments, **options)

        return call

    def writes(_: object, flags: int, *others: object) -> bool:
        return bool(flags & (os.O_WRONLY | os.O_RDWR))

    def is_new(folder: str | os.PathLike[str], *_: object) -> bool:
        return not os.path.isdir(folder)  # noqa: PTH112

    scratch = Path(disk._folder) / "scratch"
    scratch.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(scratch))
        patch.setattr(io, "open", opened)
        patch.setattr(builtins, "open", opened)
        patch.setattr(os, "open", watched("open", os.open, writes))
        patch.setattr(os, "write", watched("write", os.write))
        patch.setattr(os, "pwrite", watched("write", os.pwrite))
        for name in ("replace", "rename"):
            patch.setattr(os, name, watched("rename", _noting(disk, getattr(os, name))))
        patch.setattr(os, "mkdir", watched("mkdir", os.mkdir, is_new))
        patch.setattr(os, "fsync", watched("fsync", os.fsync))
        yield disk


def _noting(disk: FaultyDisk, rename: Callable[..., None]) -> Callable[..., None]:
    def call(source: Any, target: Any, **options: Any) -> None:
        if os.path.isfile(source):  # noqa: PTH113
            disk.contents.add(hashlib.sha256(Path(source).read_bytes()).hexdigest())
        rename(source, target, **options)

    return call


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Limits the size of every file that this process writes: the system itself fails each longer write.

    This reaches the writes of compiled libraries, too. The standard streams of the process must be no files.
    """
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
