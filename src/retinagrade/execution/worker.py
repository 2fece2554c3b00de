"""Starts worker processes: each has a pipe, a limit of memory where one is set, and no life without its parent."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from threading import Lock, Thread
from types import ModuleType
from typing import Any, Final

import cv2

RESULT: Final = "result"
"""A message of a worker: the result of the oldest item that it has."""
ERROR: Final = "error"
"""A message of a worker: the exception that ended the oldest item."""
READY: Final = "ready"
"""The first message of a worker: it has started."""
_STARTING: Final = Lock()
"""Held while the main module is hidden: several threads may start processes."""


def start_worker(
    work: Callable[[Any], Any], memory: int | None = None, ignored: tuple[signal.Signals, ...] = ()
) -> tuple[BaseProcess, Connection]:
    """Starts a process that applies a function to the items that a pipe brings.

    The process sends pairs: ``READY`` once, then ``RESULT`` or ``ERROR`` with a value for each item, in their order. It
    ends when this end of the pipe is closed, and dies at once with this process, whatever ends it.

    Args:
        work: A picklable function.
        memory: Bytes of address space that the process may add to those that it has after the start; ``None`` for no
            limit. Only Linux sets it.
        ignored: Signals that the process ignores, besides that of Ctrl-C. With SIGTERM among them, the caller must kill
            the process, since Python waits at its end for processes that it has terminated.

    Returns:
        The process, and this end of the pipe, which takes pickled items.
    """
    context = get_context("spawn")  # never fork: threads of OpenCV and of frameworks don't survive it
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work, memory, ignored), daemon=True)
    with _without_main_module(work):
        process.start()
    theirs.close()
    return process, ours


def start_process(work: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Starts a process that calls a function once, and dies at once with this process, whatever ends it.

    Unlike a worker of :func:`start_worker`, it hears every signal, and may start processes of its own.

    Args:
        work: A picklable function.
        arguments: Its arguments: picklable, or sockets or ends of pipes.
    """
    process = get_context("spawn").Process(target=_call, args=(work, arguments))
    with _without_main_module(work):
        process.start()
    return process


def _call(work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    Thread(target=_die_with_parent, daemon=True).start()
    work(*arguments)


@contextmanager
def _without_main_module(work: Callable[..., Any]) -> Iterator[None]:
    """Hides the main module while a process starts, so that the process doesn't run the user's script a second time.

    A script therefore needs no ``if __name__ == "__main__":``, unless ``work`` is a function of the script itself.
    """
    function = work
    while isinstance(function, partial):
        function = function.func
    if getattr(function, "__module__", None) == "__main__":
        yield
        return
    with _STARTING:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _serve(
    connection: Connection, work: Callable[[Any], Any], memory: int | None, ignored: tuple[signal.Signals, ...]
) -> None:
    """Applies ``work`` to the items that a pipe brings, until its other end is closed."""
    for each in (signal.SIGINT, *ignored):  # Ctrl-C reaches all processes; the first one closes the pipes
        signal.signal(each, signal.SIG_IGN)
    Thread(target=_die_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    if memory is not None:
        _limit_memory(memory)
    with suppress(EOFError, OSError):
        connection.send((READY, None))
        while True:
            message = connection.recv_bytes()
            try:
                reply = ForkingPickler.dumps((RESULT, work(ForkingPickler.loads(message))))
            except Exception as error:
                reply = _encode_error(error)
            connection.send_bytes(reply)


def _die_with_parent() -> None:
    """Waits until the parent is gone, and then kills this process: an item may take minutes, and has no reader now."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def _limit_memory(extra: int) -> None:
    """Limits the address space of this process to what it has and ``extra`` bytes."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123  # a path object would be no simpler
            now = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # no Linux: the address space is unknown
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = now + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _encode_error(error: Exception) -> Any:
    """Pickles an exception, with its traceback as a note; or one that says the same, where it can't be pickled."""
    error.add_note(f"in a worker process:\n{traceback.format_exc()}")
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        error = RuntimeError("".join(traceback.format_exception(error)))
    return ForkingPickler.dumps((ERROR, error))
