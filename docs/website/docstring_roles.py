"""Docstrings as the site shows them: the roles of reStructuredText become Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

import retinagrade

_ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod|uuid):`~?([^`]+)`")

_EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)
"""Heading of a doctest. Griffe's name for the section has an s."""


def to_markdown(text: str, link: bool = True) -> str:
    """Writes roles as code in Markdown: ``:func:`~retinagrade.runs.run.Run``` becomes `` `Run` ``.

    Args:
        text: A docstring.
        link: True to link the names of the public interface to their entries in the reference.
    """
    return _ROLE.sub(lambda match: _code(match[1], link), text).replace("``", "`")


def _code(target: str, link: bool) -> str:
    name = target.rpartition(".")[2] if target.startswith("retinagrade.") else target
    return f"[`{name}`][retinagrade.{name}]" if link and name in retinagrade.__all__ else f"`{name}`"


class DocstringRoles(griffe.Extension):
    """Changes the docstrings that mkdocstrings reads."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Changes the docstring of one object, when it has been read with all its members."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", to_markdown(obj.docstring.value))
