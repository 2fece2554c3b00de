"""Tutorials: notebooks as pages, with the results that they were saved with. Nothing runs when the site is built."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from repository_links import DOCS

FOLDER = DOCS / "tutorials"
_LINK = re.compile(r'<a href="(?![a-z]+:|#)([^"]+)">(.*?)</a>', re.DOTALL)


def notebook_pages() -> dict[str, str | bytes]:
    """Writes a page for each notebook, and its pictures.

    Returns:
        Markdown, or a picture, by its path below ``docs``.
    """
    files: dict[str, str | bytes] = {}
    for path in sorted(FOLDER.glob("*.ipynb")):
        files |= _convert(path)
    return files


def _convert(path: Path) -> dict[str, str | bytes]:
    notebook = nbformat.read(path, as_version=4)
    folder = f"{path.stem}_files"
    markdown, resources = MarkdownExporter().from_notebook_node(
        notebook, resources={"output_files_dir": folder, "unique_key": "picture"}
    )
    note = f"\n\n[:material-notebook-outline: Get the notebook]({path.name}){{ .md-button download }}\n"
    pictures = {f"tutorials/{name}": content for name, content in resources["outputs"].items()}
    return {f"tutorials/{path.stem}.md": _after_title(_without_lost_links(markdown), note)} | pictures


def _without_lost_links(markdown: str) -> str:
    """Replaces links in outputs to files that the notebook wrote, which the site doesn't have, by their text."""
    return _LINK.sub(lambda link: link[0] if (FOLDER / link[1]).is_file() else link[2], markdown)


def _after_title(markdown: str, note: str) -> str:
    title, _, rest = markdown.lstrip().partition("\n")
    return title + note + rest
