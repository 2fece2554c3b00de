"""Every tutorial runs from its first cell to its last, on a machine without a network, and is fit for the site."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

FOLDER: Final = Path(__file__).parents[1] / "docs" / "tutorials"
NOTEBOOKS: Final = [pytest.param(path, id=path.stem) for path in sorted(FOLDER.glob("*.ipynb"))]


@pytest.fixture(scope="module")
def runner() -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / "run_notebooks.py"))


@pytest.fixture(autouse=True)
def _unreachable_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends every download to a closed port, but not what stays on this machine."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


@pytest.mark.slow  # `make test-tutorials`
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_tutorial_runs(runner: dict[str, Any], notebook: Path, tmp_path: Path) -> None:
    before = notebook.read_bytes()
    executed = runner["run"](notebook, tmp_path)
    assert notebook.read_bytes() == before
    cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    assert str(tmp_path) not in json.dumps(executed)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [
        f"tutorial-{notebook.name[1]}"
    ]


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_committed_tutorial_shows_what_it_printed_and_drew(notebook: Path) -> None:
    content = nbformat.read(notebook, as_version=4)
    nbformat.validate(content)
    cells = [cell for cell in content.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert len(outputs) >= len(cells) // 2
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert "/home/" not in notebook.read_text(encoding="utf-8")
    assert notebook.stat().st_size < 300_000


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_links_of_a_tutorial_lead_to_files(notebook: Path) -> None:
    cells = nbformat.read(notebook, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert links
    assert [link for link in links if not (FOLDER / link).is_file()] == []


def test_a_command_that_fails_stops_a_tutorial(runner: dict[str, Any], tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("!exit 2"), nbformat.v4.new_code_cell("1")])
    nbformat.write(notebook, tmp_path / "failing.ipynb")
    with pytest.raises(CellExecutionError):
        runner["run"](tmp_path / "failing.ipynb", tmp_path)


def test_progress_bars_and_colours_are_left_out_and_tables_stay(runner: dict[str, Any]) -> None:
    bars = "\x1b[?25l\r\x1b[2Kgrading ━━━━━ 0/2\r\x1b[2Kgrading ━━━━━ 2/2\r\n\x1b[?25h"
    table = "\x1b[32mdone\x1b[0m\r\n┏━━━━━┓\r\n┃ QWK ┃\r\n"
    assert runner["_plain"](bars + table) == "done\n┏━━━━━┓\n┃ QWK ┃\n"
