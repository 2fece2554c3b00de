"""The programs that make the generated pages of the site: complete, with meanings, and with links that hold."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import command_pages
import experiment_page
import format_pages
import griffe
import hooks
import nbformat
import notebook_pages
import pytest
import python_pages
import typer
from diagrams import draw_diagrams
from docstring_roles import DocstringRoles, to_markdown
from mkdocs.exceptions import PluginError
from repository_links import DOCS, ROOT, link_pages, resolve_links
from schema_words import describe_values, schema_of

import retinagrade
from retinagrade.cli import app
from retinagrade.experiments.experiment import AugmentationSettings, Experiment, TrainingSettings, experiment_names
from retinagrade.models.settings import NetworkSettings

ADDRESS = "https://example.org/project"


def test_every_public_name_has_an_entry() -> None:
    pages = "\n".join(python_pages.python_pages().values())
    for name in set(retinagrade.__all__) - {"__version__"}:
        assert f"::: retinagrade.{name}\n" in pages, name


def test_every_command_has_an_entry_with_its_options() -> None:
    pages = "\n".join(command_pages.command_pages().values())
    program: Any = typer.main.get_command(app)
    for name, command in program.commands.items():
        for sub, each in getattr(command, "commands", {"": command}).items():
            section = pages.partition(f"## {name} {sub}".rstrip() + "\n")[2].partition("\n## ")[0]
            for option in (option for parameter in each.params for option in parameter.opts if option[:2] == "--"):
                assert f"<code>{option}" in section, (name, sub, option)


def test_every_field_of_an_experiment_has_values_default_and_meaning() -> None:
    page = experiment_page.experiment_page()
    for model in (Experiment, NetworkSettings, AugmentationSettings, TrainingSettings):
        heading = "## The file\n" if model is Experiment else f"{{ #{model.__name__.lower()} }}\n"
        section = page.partition(heading)[2].partition("\n## ")[0]
        rows = {line.split("`")[1]: line.split(" | ") for line in section.splitlines() if line.startswith("| `")}
        for name, field in model.model_fields.items():
            _, values, default, meaning = rows[name]
            assert values.strip(), name
            assert meaning.strip(" |"), name
            assert (default == "—") == field.is_required(), name
    assert all(f"| `{name}` |" in page for name in experiment_names())


def test_ranges_are_those_of_the_fields() -> None:
    rows = {line.split("`")[1]: line for line in experiment_page.experiment_page().splitlines() if "| `" in line}
    assert "| number, at least 0, below 1 | `0.0` |" in rows["label_smoothing"]
    assert "| whole number, at least 1 | `12` |" in rows["epochs"]
    assert "| whole number, at least 32 | `256` |" in rows["image_size"]
    choices = get_args(TrainingSettings.model_fields["optimizer"].annotation)
    assert all(f"`{choice}`" in rows["optimizer"].split(" | ")[1] for choice in choices)


@pytest.mark.parametrize("each", format_pages.FORMATS, ids=lambda each: each.name)
def test_every_field_of_a_format_has_a_meaning(each: format_pages.Format) -> None:
    if isinstance(each.model, str):
        assert (DOCS / each.model).is_file()
        return
    schema = schema_of(each.model)
    parts = [schema, *schema.get("$defs", {}).values()]
    fields = [field for part in parts for field in part.get("properties", {}).items()]
    assert not [name for name, field in fields if not field.get("description")]


def test_every_json_file_that_the_program_names_has_a_format_or_is_listed_as_its_own() -> None:
    index = format_pages.format_pages()["reference/formats/index.md"]
    listed = re.findall(r"`([\w.-]+\.json)`", index)
    for module in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            name = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if re.fullmatch(r"[\w-]+\.json", name):
                assert name in listed, f"{module.name}: {name} is neither in FORMATS nor in the list of internal files"
            if further := re.fullmatch(r"[\w.-]*(\.\w+\.json)", name):  # such as NAME.origin.json
                assert any(each.endswith(further[1]) for each in listed), (module.name, name)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "exclusiveMinimum": 0, "minimum": 32}, "whole number, at least 32"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number, above 0, at most 1"),
        ({"enum": ["a", "b", "c"]}, "`a`, `b` or `c`"),
        ({"const": 4}, "`4`"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text or null"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, "list of at least 2 (whole number)"),
        ({"$ref": "#/$defs/Part"}, "[Part](#part)"),
        ({"$ref": "#/$defs/Choice"}, "`x` or `y`"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "names with values: number"),
    ],
)
def test_schemas_become_words(schema: dict[str, Any], words: str) -> None:
    definitions: dict[str, dict[str, Any]] = {"Part": {"properties": {"a": {}}}, "Choice": {"enum": ["x", "y"]}}
    assert describe_values(schema, definitions) == words


def test_roles_become_markdown() -> None:
    text = "Like :func:`~retinagrade.datasets.prepare.prepare`, :class:`Run` and :data:`OTHER` of ``x``."
    assert to_markdown(text) == "Like [`prepare`][retinagrade.prepare], [`Run`][retinagrade.Run] and `OTHER` of `x`."
    assert to_markdown(text, link=False) == "Like `prepare`, `Run` and `OTHER` of `x`."


def test_links_of_pages_hold_on_the_site() -> None:
    page = DOCS / "node.md"
    text = "[a](service.md#limits) [`b`](../src/retinagrade/cells.py) [c](https://x.org/y) [d](#e) `[f](gone.py)`"
    assert resolve_links(text, page, page, ADDRESS) == (
        f"[a](service.md#limits) [`b`]({ADDRESS}/blob/main/src/retinagrade/cells.py) [c](https://x.org/y) [d](#e) "
        "`[f](gone.py)`"
    )


def test_links_to_notebooks_lead_to_their_pages() -> None:
    page = DOCS / "tutorials" / "01-first.md"
    text = "[a](01-first.ipynb) [b](02-second.ipynb#cells)"
    assert resolve_links(text, page, page, ADDRESS) == "[a](01-first.ipynb) [b](02-second.md#cells)"


def test_links_of_files_in_the_root_hold_on_the_site() -> None:
    text = "[a](docs/node.md#limits) [b](docs/decisions/README.md) [c](deploy) [d](CONTRIBUTING.md)"
    page = DOCS / "project" / "changelog.md"
    assert resolve_links(text, ROOT / "CHANGELOG.md", page, ADDRESS) == (
        f"[a](../node.md#limits) [b](../decisions/README.md) [c]({ADDRESS}/tree/main/deploy) "
        f"[d]({ADDRESS}/blob/main/CONTRIBUTING.md)"
    )


def test_a_link_to_a_missing_file_of_the_repository_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.py"):
        resolve_links("[a](../src/gone.py)", DOCS / "node.md", DOCS / "node.md", ADDRESS)


def test_pages_that_a_docstring_names_become_links() -> None:
    linked = link_pages("See ``docs/gate.md`` (docs/gate.md).", "../")
    assert linked == "See [The gate](../gate.md) ([The gate](../gate.md))."
    assert link_pages("`docs/gate.md`", "../../") == "[The gate](../../gate.md)"
    assert link_pages("[a](docs/gate.md) mydocs/gate.md", "../") == "[a](docs/gate.md) mydocs/gate.md"
    with pytest.raises(FileNotFoundError):
        link_pages("docs/gone.md", "../")


def test_defaults_of_the_reference_are_values() -> None:
    extensions = griffe.load_extensions(DocstringRoles)
    loaded = griffe.load("retinagrade.runs.compare", search_paths=[ROOT / "src"], extensions=extensions)
    assert str(loaded["compare"].parameters["resamples"].default) == "2000"


def test_diagrams_become_pictures() -> None:
    drawn = draw_diagrams("Before\n\n```mermaid\nflowchart LR\n    a[one box] --> b[another]\n```\n\nAfter\n")
    assert drawn.startswith('Before\n\n<div class="diagram"><svg')
    assert "one box" in drawn
    assert "<script" not in drawn


def test_a_notebook_becomes_a_page_with_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = nbformat.v4.new_code_cell("print(6 * 7)")
    cell.outputs = [
        nbformat.v4.new_output("stream", text="42\n"),
        nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo="}),
        nbformat.v4.new_output("display_data", {"text/html": '<a href="work/page.html">the page</a>'}),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# First\n\nText."), cell])
    nbformat.write(notebook, tmp_path / "01-first.ipynb")
    monkeypatch.setattr(notebook_pages, "FOLDER", tmp_path)
    files = notebook_pages.notebook_pages()
    page = str(files.pop("tutorials/01-first.md"))
    assert page.startswith("# First\n")
    assert all(part in page for part in ("print(6 * 7)", "42", "(01-first.ipynb)", "Text."))
    assert "the page" in page
    assert "work/page.html" not in page
    ((picture, content),) = files.items()
    assert isinstance(content, bytes)
    assert f"({picture.removeprefix('tutorials/')})" in page


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://x.org/a.js">',
        '<link rel="stylesheet" href="//x.org/a.css">',
        "<img alt='' src=http://x.org/a.png>",
    ],
)
def test_a_page_that_loads_from_another_server_is_refused(tag: str) -> None:
    page: Any = SimpleNamespace(file=SimpleNamespace(src_uri="a.md"))
    allowed = '<link rel="canonical" href="https://x.org/"><a href="https://x.org/">x</a><img src="../a.png">'
    assert hooks.on_post_page(allowed, page=page) == allowed
    with pytest.raises(PluginError, match="another server"):
        hooks.on_post_page(allowed + tag, page=page)
