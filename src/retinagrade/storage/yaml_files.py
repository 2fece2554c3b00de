"""Reading of YAML: plain values only, of bounded size and depth, with the line of every problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from retinagrade.errors import RetinagradeError
from retinagrade.storage.system_errors import reason

_LARGEST: Final = 1 << 20
"""Size of a file in bytes; the largest experiment has 2 kB."""
_DEEPEST: Final = 20
"""Depth of mappings and lists within each other; an experiment has 3."""


class _Refused(yaml.YAMLError):
    """YAML that is valid, but isn't read."""

    def __init__(self, advice: str, mark: Any) -> None:
        super().__init__(advice)
        self.problem_mark = mark


class _PlainLoader(yaml.SafeLoader):
    """Refuses aliases, of which a few make millions of values, and deep nesting, which exhausts Python's stack."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _Refused("write the values out, because aliases (*name) aren't read", event.start_mark)
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _Refused("its keys and lists are nested too deeply", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_yaml(path: Path, name: str, error_type: type[RetinagradeError]) -> Any:
    """Reads a YAML file.

    Args:
        path: The file.
        name: Name of the file's kind with its article, such as ``an experiment``, for error messages.
        error_type: The error to raise.

    Raises:
        RetinagradeError: An ``error_type``: the file is missing, unreadable, or not valid YAML.
    """
    try:
        with path.open(encoding="utf-8-sig") as stream:
            text = stream.read(_LARGEST + 1)
    except (OSError, UnicodeError) as error:
        raise error_type(f"{path} can't be read as {name}: {reason(error)}") from error
    if len(text) > _LARGEST:
        raise error_type(f"{path} is too large for {name}: name another file")
    return parse_yaml(text, str(path), error_type)


def parse_yaml(text: str, name: str, error_type: type[RetinagradeError]) -> Any:
    """Parses YAML.

    Args:
        text: The text.
        name: Name of its file, for error messages.
        error_type: The error to raise.

    Raises:
        RetinagradeError: An ``error_type``: the text is not valid YAML; the message names the line.
    """
    try:
        return yaml.load(text, _PlainLoader)  # it is a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date such as 2026-99-99
        mark = getattr(error, "problem_mark", None)
        place = name if mark is None else f"{name}, line {mark.line + 1}"
        advice = str(error) if isinstance(error, _Refused) else "check indentation, colons, brackets and quotes"
        raise error_type(f"{place}: not valid YAML: {advice}") from error
