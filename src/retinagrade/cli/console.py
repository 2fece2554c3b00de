"""What commands print: text for people on standard output, or one JSON document for programs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
"""``--json``, spelled and explained the same in every command that a program may read."""

ATTENTION = 1
"""Exit code when the work is done, but something in the data needs a person's attention."""

INTERRUPTED = 130
"""Exit code of what Ctrl-C has stopped."""


def console() -> Console:
    """Standard output; lines are not folded where nobody watches."""
    output = Console()
    return output if output.is_terminal else Console(width=120, soft_wrap=True)


def print_json(value: Any) -> None:
    """Prints ``value`` as JSON on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
