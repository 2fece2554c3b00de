"""Docstrings as the site shows them: the roles of reStructuredText become Markdown."""

from __future__ import annotations

import re
from dataclasses import is_dataclass
from importlib import import_module
from typing import Any

import griffe
from repository_links import link_pages

import retinagrade

_ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod|uuid):`~?([^`]+)`")

_TO_DOCS = "../../"
"""The way to ``docs`` from the folder of a page with docstrings, such as ``reference/python/data.md``."""
_LONGEST_DEFAULT = 40
"""Characters of the value of a constant that stands in a signature; a longer one has its name there."""
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
        """Changes the docstring and the defaults of one object, when it has been read with all its members."""
        if obj.docstring is not None:
            text = link_pages(to_markdown(obj.docstring.value), _TO_DOCS)
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", text)
        if isinstance(obj, griffe.Function):
            for parameter in obj.parameters:
                if isinstance(parameter.default, griffe.ExprName):
                    parameter.default = _value(obj.module.path, parameter.default)


def _value(module: str, name: griffe.ExprName) -> griffe.Expr | str:
    """Returns the value of a constant that is a default, if it is plain or a short object, else its name."""
    value = getattr(import_module(module), name.name, None)
    if isinstance(value, bool | int | float | str | tuple) or is_dataclass(value):
        return text if len(text := repr(value)) <= _LONGEST_DEFAULT else name
    return name
