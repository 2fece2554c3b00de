"""Groups of commands whose help lists the commands under headings."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from typer.core import TyperGroup

_SHORT_HELP: Final = 100
"""Most characters of a command's summary; all of ours are shorter, so none is cut."""


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
