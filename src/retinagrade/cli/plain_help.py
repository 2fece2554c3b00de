"""Help of commands and groups of commands, in plain text."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

_SHORT_HELP: Final = 100
"""Most characters of a command's summary; all of ours are shorter, so none is cut."""

_WORDS: Final = {r"([\d.]+)<=x<=([\d.]+)": r"\1 to \2", r"x>=([\d.]+)": r"at least \1", r"  \[": " ["}
"""Typer's signs in the help of a parameter, and what takes their place."""


class GroupedCommands(TyperGroup):
    """A group whose help lists its commands under their headings, in plain text."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the commands under the heading of their help panel, in the order of registration."""
        panels: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                heading = str(getattr(command, "rich_help_panel", None) or "Commands")
                panels[heading].append((name, command.get_short_help_str(limit=_SHORT_HELP)))
        for heading, rows in panels.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


class PlainCommand(TyperCommand):
    """A command whose help has words in place of Typer's signs: ``RUN`` for ``{RUN}``, ``at least 1`` for ``x>=1``."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Returns the parts of the usage line."""
        return [re.sub(r"[{}]", "", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the arguments without the names of their types, then the options."""
        for heading, rows in describe_parameters(self, ctx).items():
            with formatter.section(heading):
                formatter.write_dl(rows)


def describe_parameters(command: TyperCommand, ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """Describes the arguments and options of a command in words.

    Args:
        command: The command.
        ctx: Its context.

    Returns:
        Name and help of each, by ``Arguments`` and ``Options``.
    """
    sections: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        name, text = record
        for sign, words in _WORDS.items():
            text = re.sub(sign, words, text)
        if parameter.param_type_name == "argument":
            sections["Arguments"].append((name.split(" ")[0], text))
        else:
            sections["Options"].append((name, text))
    return sections
