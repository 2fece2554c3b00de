"""The public interface of the package: complete, lazy, and free of frameworks until one is needed."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import typing
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy.typing
import pytest
import typer

import retinagrade
from retinagrade.cli import app


def test_every_public_name_loads_and_is_documented() -> None:
    for name in set(retinagrade.__all__) - {"__version__"}:
        value = getattr(retinagrade, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__.startswith("retinagrade.")
            assert inspect.getdoc(value), name
    assert set(dir(retinagrade)) == set(retinagrade.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        retinagrade.no_such_name  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, json, retinagrade; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout))
    assert not loaded & {"torch", "numpy", "pandas", "cv2", "onnxruntime", "pydantic", "matplotlib", "typer"}


def test_public_functions_name_their_types() -> None:
    for name in set(retinagrade.__all__) - {"__version__"}:
        value = getattr(retinagrade, name)
        if inspect.isfunction(value):
            signature = inspect.signature(value)
            assert signature.return_annotation is not inspect.Signature.empty, name
            assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values()), name


def test_public_functions_name_public_types_only() -> None:
    for function in _public_functions():
        for annotation in function.__annotations__.values():
            names = re.findall(r"(?<![\w.])[A-Z]\w+", annotation)
            named = {name: function.__globals__.get(name) for name in names}
            own = {name for name, value in named.items() if _is_own(name, value)}
            assert own <= set(retinagrade.__all__), function.__name__


def _public_functions() -> list[FunctionType]:
    values = [getattr(retinagrade, name) for name in retinagrade.__all__]
    return [inspect.unwrap(value) for value in values if inspect.isfunction(value)]


def _is_own(name: str, value: object) -> bool:
    """Whether a type, or an alias of a union or of choices, is this package's own."""
    if any(hasattr(library, name) for library in (typing, numpy.typing)):
        return False
    return getattr(value, "__module__", "").startswith(("retinagrade", "types", "typing"))


def test_public_functions_document_arguments_results_and_errors() -> None:
    for function in _public_functions():
        documentation, signature = inspect.getdoc(function) or "", inspect.signature(function)
        sections = {"Args:"} if signature.parameters else set()
        sections |= {"Raises:"} if signature.parameters else set()
        sections |= set() if signature.return_annotation == "None" else {"Returns:"}
        lines = set(documentation.splitlines())
        assert sections <= lines, f"{function.__name__} documents no {', '.join(sections - lines)}"
        for parameter in signature.parameters:
            assert re.search(rf"^    {parameter}: ", documentation, re.MULTILINE), (function.__name__, parameter)


def test_the_table_of_commands_and_functions_is_complete() -> None:
    page = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z -]+)` \| (.*) \|$", page.partition("| command |")[2], re.MULTILINE)
    listed = {command: re.findall(r"`([a-z_]+)`", functions) for command, functions in rows}
    program = typer.main.get_command(app)
    assert set(listed) == set(_commands(program, ""))
    named = {function for functions in listed.values() for function in functions}
    assert named == {function.__name__ for function in _public_functions()}


def test_names_of_choices_are_listed_with_their_values() -> None:
    page = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([A-Z]\w+)` \| (.*) \|$", page, re.MULTILINE))
    values = {name: getattr(retinagrade, name) for name in retinagrade.__all__}
    aliases = {name: value for name, value in values.items() if typing.get_origin(value) or "Union" in str(type(value))}
    assert set(rows) == set(aliases)
    for name, value in aliases.items():
        if typing.get_origin(value) is typing.Literal:
            assert {f"`{choice}`" for choice in typing.get_args(value)} <= set(re.findall(r"`[\w-]+`", rows[name])), (
                name
            )


def test_options_without_an_argument_of_their_name_are_listed() -> None:
    page = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text("utf-8")
    options, _, commands = page.partition("## Commands and functions")[2].partition("| command |")
    rows = dict(re.findall(r"^\| `([a-z -]+)` \| (.*) \|$", commands, re.MULTILINE))
    listed = set(re.findall(r"`--([a-z-]+)`", options)) - {"grade-names"}
    differing = set()
    for name, command in _commands(typer.main.get_command(app), "").items():
        functions = [getattr(retinagrade, each) for each in re.findall(r"`([a-z_]+)`", rows[name])]
        arguments = {parameter for function in functions for parameter in inspect.signature(function).parameters}
        names = [option[2:] for each in command.params for option in each.opts if option.startswith("--")]
        differing |= {option for option in names if option.replace("-", "_") not in arguments and arguments}
    assert listed == differing


def _commands(group: Any, prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, command in getattr(group, "commands", {}).items():
        found |= _commands(command, f"{prefix}{name} ") or {f"{prefix}{name}": command}
    return found


@pytest.mark.parametrize(
    "order", [("explain", "retinagrade.explanations.cam"), ("export", "retinagrade.exporting.graph")]
)
def test_no_room_hides_a_function_of_its_name(order: tuple[str, str]) -> None:
    name, module = order
    code = f"import {module}, retinagrade; print(callable(retinagrade.{name}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "True"
