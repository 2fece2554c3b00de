"""Progress of long work: a bar on a terminal, a plain line every tenth of the way elsewhere; on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LINES = 10


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Shows how far a loop is.

    Args:
        what: The work, in one word or two.
        total: Steps that it takes.

    Yields:
        A function to call after every step.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(what, total=total)
            yield lambda: bar.advance(task)
        return
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == total or (count * _LINES) // total > ((count - 1) * _LINES) // total:
            console.print(f"{what}: {count} of {total}", highlight=False)

    yield step


@contextmanager
def open_progress_bar(what: str) -> Iterator[tuple[Callable[[int], None], Callable[[], None]]]:
    """Like :func:`progress_bar`, for work that learns its number of steps when it begins.

    Args:
        what: The work, in one word or two.

    Yields:
        A function to call with the number of steps, and one to call after every step.
    """
    with ExitStack() as stack:
        steps: list[Callable[[], None]] = []
        yield lambda total: steps.append(stack.enter_context(progress_bar(what, total))), lambda: steps[0]()
