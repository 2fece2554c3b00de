"""The upgrade page: every new name on it exists, and every old one is gone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer

from retinagrade.cli import app
from retinagrade.experiments.experiment import experiment_names

PAGE = (Path(__file__).parents[2] / "docs" / "upgrading.md").read_text(encoding="utf-8")
COMMANDS, OPTIONS = re.findall(r"(?m)(?:^\| `.*\|\n)+", PAGE.partition("## Exit codes")[0])


def commands(group: Any, prefix: str = "") -> dict[str, set[str]]:
    """Returns the options of every command, by the command's name."""
    found: dict[str, set[str]] = {}
    for name, command in getattr(group, "commands", {}).items():
        own = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        found |= commands(command, f"{prefix}{name} ") or {f"{prefix}{name}": own}
    return found


KNOWN = commands(typer.main.get_command(app))


def named(text: str) -> tuple[str, set[str]]:
    """Returns the command that a line begins with, and its options."""
    (command,) = (name for name in KNOWN if re.match(rf"{name}\b(?!-)", text))
    return command, set(re.findall(r"--[a-z-]+", text))


def test_the_new_commands_exist_with_their_options() -> None:
    lines = re.findall(r"\| `([^`]+)` \|$", COMMANDS, re.MULTILINE)
    assert len(lines) == 7
    for line in lines:
        command, options = named(line)
        assert options <= KNOWN[command], line


def test_the_old_options_are_gone_and_the_new_ones_exist() -> None:
    rows = re.findall(r"^\| (.+) \| (.+) \|$", OPTIONS, re.MULTILINE)
    assert len(rows) == 6
    for old, new in rows:
        (option,) = re.findall(r"--[a-z-]+", new)
        for text in re.findall(r"`([^`]+)`", old):
            command, gone = named(text)
            assert option in KNOWN[command], new
            assert not gone & KNOWN[command], old


def test_the_old_names_of_experiment_and_command_are_gone() -> None:
    assert "lesions" not in KNOWN
    assert "`default-grader` is called `frozen-lite0`" in PAGE
    assert "frozen-lite0" in experiment_names()
    assert "default-grader" not in experiment_names()
