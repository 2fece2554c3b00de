"""Every command of retinagrade in the documentation exists, with its options and as many arguments as it takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from retinagrade.cli import app
from tests.docs.pages import PAGES, ROOT, commands

PROGRAM: Any = typer.main.get_command(app)
SHELL = re.compile(r"\s(?:[|>]|&&|\|\||&$).*|;.*")
"""What follows a command in a line of a shell."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_exists(page: Path) -> None:
    for line in commands(page):
        words = shlex.split(SHELL.sub("", line).replace("…", "MORE"))[1:]
        command = PROGRAM
        while hasattr(command, "commands") and words and not words[0].startswith("-"):
            assert words[0] in command.commands, f"{page.name}: {line}: no such command"
            command, words = command.commands[words[0]], words[1:]
        try:
            context = command.context_class(command, info_name="retinagrade")
            command.make_parser(context).parse_args(args=words)
        except Exception as error:
            pytest.fail(f"{page.name}: {line}: {error}")


def test_commands_are_found() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 100
