"""Output of commands: text for people on standard output, or one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars

from retinagrade.execution.progress import Progress

if TYPE_CHECKING:
    from retinagrade.images.listing import LeftOutFile

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
"""``--json``, spelled and explained the same in every command that a program may read."""

ATTENTION = 1
"""Exit code when the work is done, but something in the data needs a person's attention."""

_LINES: Final = 10
"""Plain lines for each stage."""

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C has stopped."""


def console() -> Console:
    """Returns a console for standard output; without a terminal, it doesn't fold lines."""
    output = Console()
    return output if output.is_terminal else Console(width=120, soft_wrap=True)


def print_json(value: Any) -> None:
    """Prints ``value`` as JSON on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_left_out(left_out: Sequence[LeftOutFile], *, stderr: bool = False) -> None:
    """Prints the files that a command has left out: a line for each reason."""
    from retinagrade.images.listing import describe_left_out

    output = Console(stderr=True, soft_wrap=True) if stderr else console()
    for line in describe_left_out(left_out):
        output.print(line, markup=False, highlight=False)


@contextmanager
def terminal_progress() -> Iterator[Progress]:
    """Shows progress on standard error: bars on a terminal, a plain line every tenth of a stage elsewhere.

    A stage without a number of steps is a line on both. A finished bar is removed when the next stage begins.

    Yields:
        The callback to hand to a function.
    """
    output = Console(stderr=True)
    if not output.is_terminal:
        yield _PlainLines(output)
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with ProgressBars(*columns, console=output) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int | None) -> None:
            if total is None:
                if done == 0:
                    bars.console.print(stage, highlight=False)
                return
            if tasks.get(stage) not in bars.task_ids:
                for task in bars.tasks:
                    if task.finished:
                        bars.remove_task(task.id)
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show


class _PlainLines:
    """Prints a line when a stage begins without steps, and after every tenth of its steps."""

    def __init__(self, output: Console) -> None:
        self._output = output

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if not total:
            if done == 0:
                self._output.print(stage, highlight=False, soft_wrap=True)
        elif done and (done == total or done * _LINES // total > (done - 1) * _LINES // total):
            self._output.print(f"{stage}: {done} of {total}", highlight=False, soft_wrap=True)
