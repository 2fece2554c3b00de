"""Output of commands: text for people on standard output, or one JSON document for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars
from rich.text import Text

from retinagrade.execution.progress import Progress
from retinagrade.messages import printable

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


class PlainConsole(Console):
    """A console that prints text as it is: no markup, no colours of its own, and no characters that terminals obey."""

    def __init__(self, **options: Any) -> None:
        """Opens the console; ``options`` are rich's."""
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Returns printable text, from which rich makes cells, titles and lines."""
        return super().render_str(printable(text), **options)

    def on_broken_pipe(self) -> None:
        """Goes on without output, because the reader, such as ``head``, has closed the pipe."""
        discard_output(self.file)


def discard_output(stream: IO[str]) -> None:
    """Sends all further output of a stream to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def console() -> Console:
    """Returns a console for standard output; without a terminal, it doesn't fold lines."""
    output = PlainConsole()
    return output if output.is_terminal else PlainConsole(width=120, soft_wrap=True)


def error_console() -> Console:
    """Returns a console for standard error; it doesn't fold lines."""
    return PlainConsole(stderr=True, soft_wrap=True)


def print_text(text: str) -> None:
    """Prints text for programs on standard output, unchanged."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output(sys.stdout)


def print_json(value: Any) -> None:
    """Prints ``value`` as JSON on standard output, in ASCII where its encoding can't hold every text."""
    in_unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    try:
        text = json.dumps(value, indent=2, ensure_ascii=not in_unicode, allow_nan=False)
        text.encode("utf-8")
    except UnicodeEncodeError:  # bytes of a file's name that are no text
        text = json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False)
    print_text(f"{text}\n")


def print_left_out(left_out: Sequence[LeftOutFile], *, stderr: bool = False) -> None:
    """Prints the files that a command has left out: a line for each reason."""
    from retinagrade.images.listing import describe_left_out

    output = error_console() if stderr else console()
    for line in describe_left_out(left_out):
        output.print(line)


@contextmanager
def terminal_progress() -> Iterator[Progress]:
    """Shows progress on standard error: bars on a terminal, a plain line every tenth of a stage elsewhere.

    A stage without a number of steps is a line on both. A finished bar is removed when the next stage begins.

    Yields:
        The callback to hand to a function.
    """
    output = PlainConsole(stderr=True)
    if not output.is_terminal:
        yield _PlainLines(output)
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with ProgressBars(*columns, console=output) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int | None) -> None:
            stage = printable(stage)
            if total is None:
                if done == 0:
                    bars.console.print(stage)
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
                self._output.print(stage, soft_wrap=True)
        elif done and (done == total or done * _LINES // total > (done - 1) * _LINES // total):
            self._output.print(f"{stage}: {done} of {total}", soft_wrap=True)
