"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

import html
from typing import Any

import typer
from docstring_roles import to_markdown

from retinagrade.cli import app
from retinagrade.cli.plain_help import describe_parameters

Commands = dict[str, dict[str, Any]]


def commands_by_heading() -> Commands:
    """Returns all commands by the heading of their group in ``retinagrade --help``, by name."""
    found: Commands = {}
    program: Any = typer.main.get_command(app)
    for name, command in program.commands.items():
        heading = found.setdefault(str(command.rich_help_panel), {})
        for sub, each in getattr(command, "commands", {"": command}).items():
            heading[f"{name} {sub}".strip()] = each
    return found


def command_pages() -> dict[str, str]:
    """Writes one page for each heading.

    Returns:
        Markdown by the path of the page below ``docs``.
    """
    return {
        f"reference/commands/{heading.lower()}.md": f"# {heading}\n\n"
        + "\n".join(_section(name, command) for name, command in commands.items())
        for heading, commands in commands_by_heading().items()
    }


def _section(name: str, command: Any) -> str:
    context = command.context_class(command, info_name=f"retinagrade {name}")
    usage = " ".join(["retinagrade", name, *command.collect_usage_pieces(context)])
    text = [f"## {name}", f"```text\n{usage}\n```", _paragraphs(command.help or "")]
    for heading, rows in describe_parameters(command, context).items():
        text += [f"**{heading}**", _table(rows)]
    return "\n\n".join(text) + "\n"


def _paragraphs(text: str) -> str:
    return to_markdown("\n\n".join(" ".join(part.split()) for part in text.split("\n\n")))


def _table(rows: list[tuple[str, str]]) -> str:
    lines = ["| | |", "|---|---|"]
    lines += [f"| {_code(name)} | {_escaped(' '.join(text.split()))} |" for name, text in rows]
    return "\n".join(lines)


def _code(text: str) -> str:
    """Returns code whose bars don't end a cell of a table."""
    return f"<code>{html.escape(text).replace('|', '&#124;')}</code>"


def _escaped(text: str) -> str:
    for sign in "|*<[":
        text = text.replace(sign, f"\\{sign}")
    return text
