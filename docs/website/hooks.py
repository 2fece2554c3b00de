"""What MkDocs calls while it builds the site: generated pages, links to the repository, diagrams and navigation."""

from __future__ import annotations

import json
import re
from typing import Any

import command_pages
import experiment_page
import format_pages
import notebook_pages
import python_pages
from diagrams import draw_diagrams
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from repository_links import DOCS, ROOT, link_pages, resolve_links

_FROM_ROOT = {
    f"project/{name.lower()}.md": ROOT / f"{name}.md"
    for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")
    if (ROOT / f"{name}.md").is_file()
}
"""Pages whose text stands in the root of the repository."""
_BOOSTS = {
    "project/changelog.md": 0.1,
    "decisions/": 0.2,
    "start.md": 3.0,
    "citing.md": 2.0,
    "data-sets.md": 1.2,
    "networks.md": 1.8,
    "upgrading.md": 2.0,
}
"""Places of pages in the results of a search, by the beginning of their path: 1 for a page that isn't named here.

The changelog and the decisions name everything once, and a search for a task should find its guide first.
"""
_LOADS = re.compile(
    r"<(?:script|link|img|iframe|source|video|audio|object)\b[^>]*(?:src|href|data)=[\"']?(?:https?:)?//[^>]*>"
)
_LINKS_ONLY = re.compile(r"rel=[\"']?(?:canonical|prev|next)\b")
_generated: dict[str, str | bytes] = {}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Generates the pages, and puts them into the navigation."""
    _generated.clear()
    _generated.update(command_pages.command_pages())
    _generated[experiment_page.PAGE] = experiment_page.experiment_page()
    _generated["schemas/experiment.schema.json"] = json.dumps(experiment_page.experiment_schema(), indent=2)
    _generated.update(format_pages.format_pages() | format_pages.format_schemas())
    _generated.update(python_pages.python_pages())
    _generated.update(notebook_pages.notebook_pages())
    _generated.update({page: path.read_text(encoding="utf-8") for page, path in _FROM_ROOT.items()})
    entries = {
        "TUTORIALS": _tutorials(),
        "REFERENCE": _reference(),
        "ALTERNATIVES": _existing("alternatives.md"),
        "DECISIONS": [
            "decisions/README.md",
            *(f"decisions/{path.name}" for path in sorted(DOCS.glob("decisions/0*.md"))),
        ],
        "PROJECT": [*_existing("citing.md", "upgrading.md"), *_FROM_ROOT],
    }
    config.nav = _filled(config.nav or [], entries)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages and files."""
    for path, content in _generated.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Rewrites links, draws diagrams and sets the page's place in the results of a search."""
    boosts = [boost for path, boost in _BOOSTS.items() if page.file.src_uri.startswith(path)]
    page.meta.setdefault("search", {"boost": boosts[0]} if boosts else {})
    if page.file.src_uri.startswith("reference/"):
        markdown = link_pages(markdown, "../" * page.file.src_uri.count("/"))
    place = DOCS / page.file.src_uri
    source = _FROM_ROOT.get(page.file.src_uri, place)
    try:
        text = resolve_links(markdown, source, place, str(config.repo_url))
    except FileNotFoundError as error:
        raise PluginError(str(error)) from error
    return draw_diagrams(text)


def _existing(*names: str) -> list[str]:
    return [name for name in names if (DOCS / name).is_file()]


def _filled(nav: list[Any], entries: dict[str, list[Any]]) -> list[Any]:
    """Replaces names in capitals by their entries; a section without any is left out."""
    filled: list[Any] = []
    for part in nav:
        if isinstance(part, str):
            filled.append(part)
            continue
        ((title, value),) = part.items()
        inner = entries[value] if isinstance(value, str) else _filled(value, entries)
        filled += [{title: inner}] if inner else []
    return filled


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Refuses a page that loads anything from another server.

    Raises:
        PluginError: The page names a script, a style, a picture or a frame of another server.
    """
    outside = [tag for tag in _LOADS.findall(output) if not _LINKS_ONLY.search(tag)]
    if outside:
        raise PluginError(f"{page.file.src_uri} loads from another server: {', '.join(outside)}")
    return output


def _tutorials() -> list[Any]:
    """Lists the page about the tutorials, and the notebooks by name."""
    notebooks = [path for path in _generated if path.startswith("tutorials/") and path.endswith(".md")]
    return _existing("tutorials/README.md") + notebooks


def _reference() -> list[Any]:
    def below(folder: str) -> list[str]:
        return [path for path in _generated if path.startswith(f"reference/{folder}/")]

    return [
        "reference.md",
        {"Python": below("python")},
        {"Rooms": below("rooms")},
        {"Command line": below("commands")},
        experiment_page.PAGE,
        {"File formats": below("formats")},
        "dicom.md",
    ]
