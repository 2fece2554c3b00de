"""Runs the tutorials, and writes their outputs into them.

``make tutorials``, or ``python docs/tutorials/run_notebooks.py [NOTEBOOK…]``, runs each notebook in a temporary folder,
without a network, and replaces the outputs in the notebook. A reader of the site, which runs nothing, then sees what
the notebook printed and drew. Photographs are drawn by programs, so that no output shows a person.
"""

from __future__ import annotations

import base64
import copy
import io
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

FOLDER: Final = Path(__file__).parent
LARGEST_PICTURE: Final = 30_000
"""Bytes of a picture from which on it becomes a smaller JPEG."""
WIDEST_PICTURE: Final = 800
"""Width to which such a picture is reduced, in pixels; a page of the site shows no more."""

_CELL_SECONDS: Final = 600
_COMMAND = re.compile(r"^!", re.MULTILINE)
_CHECK: Final = "\nif _exit_code not in (0, 1): raise SystemError('the command above failed')"
"""Jupyter goes on after a command that failed; a tutorial must not."""
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PROGRESS: Final = re.compile(r"^[^┏┡]*━━━.*")


def notebooks() -> list[Path]:
    """Lists the tutorials in their order."""
    return sorted(FOLDER.glob("*.ipynb"))


def run(notebook: Path, folder: Path) -> NotebookNode:
    """Runs all cells of a tutorial.

    Args:
        notebook: The tutorial.
        folder: An empty folder in which the cells run, and to which they write.

    Returns:
        The tutorial with its outputs, without traces of this machine.

    Raises:
        CellExecutionError: A cell raised an error, or one of its commands ended with an exit code other than 0 and 1.
    """
    content: NotebookNode = nbformat.read(notebook, as_version=4)
    running = copy.deepcopy(content)
    for cell in running.cells:
        if cell.cell_type == "code" and _COMMAND.search(cell.source):
            cell.source += _CHECK
    NotebookClient(
        running, timeout=_CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute(env=_environment(folder))
    for cell, ran in zip(content.cells, running.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs = _tidy(ran.outputs, folder)
            cell.execution_count = ran.execution_count
    return content


def _environment(folder: Path) -> dict[str, str]:
    """Returns the environment of the kernel: narrow lines, a history of its own, and no advice about widgets."""
    return {
        **os.environ,
        "COLUMNS": "100",
        "IPYTHONDIR": str(folder / ".ipython"),
        "PYTHONWARNINGS": "ignore:IProgress not found",
    }


def _tidy(outputs: list[NotebookNode], folder: Path) -> list[NotebookNode]:
    """Joins the text of each stream, and leaves out progress bars, colours and the name of the temporary folder."""
    tidied: list[NotebookNode] = []
    for output in outputs:
        if output.output_type != "stream":
            output.data = dict(_smaller(kind, content, folder) for kind, content in output.data.items())
            output.metadata = {}
            tidied.append(output)
        elif tidied and tidied[-1].output_type == "stream" and tidied[-1].name == output.name:
            tidied[-1].text += output.text
        else:
            tidied.append(output)
    for output in tidied:
        if output.output_type == "stream":
            output.text = _plain(output.text).replace(f"{folder}{os.sep}", "")
    return [output for output in tidied if output.output_type != "stream" or output.text.strip()]


def _plain(text: str) -> str:
    """Returns what a terminal shows in the end."""
    lines = (line.rstrip("\r").rpartition("\r")[2].rstrip() for line in _ESCAPE.sub("", text).split("\n"))
    return "\n".join(line for line in lines if not _PROGRESS.match(line))


def _smaller(kind: str, content: Any, folder: Path) -> tuple[str, Any]:
    """Returns kind and content of an output: a large picture as a small JPEG, text without the temporary folder."""
    if kind.startswith("image/") and len(data := base64.b64decode(content)) > LARGEST_PICTURE:
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        picture.thumbnail((WIDEST_PICTURE, WIDEST_PICTURE))
        jpeg = io.BytesIO()
        picture.save(jpeg, "JPEG", quality=75, optimize=True)
        return "image/jpeg", base64.b64encode(jpeg.getvalue()).decode()
    if isinstance(content, str):
        return kind, content.replace(f"{folder}{os.sep}", "")
    return kind, content


def main(names: list[str]) -> None:
    """Runs the named tutorials, by default all, and writes them again."""
    for path in [Path(name) for name in names] or notebooks():
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(run(path, Path(folder)), path)
        print(f"{path.name}: {time.monotonic() - begin:.0f} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
