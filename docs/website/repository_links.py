"""Links between pages and to files of the repository, and a check that each of them exists."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The repository."""
DOCS = ROOT / "docs"
INTROS = DOCS / "website" / "intros"
"""Beginnings of generated pages."""
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/|<)([^)\s#]+)(#[^)\s]*)?(?=\))")
_PAGE = re.compile(r"(?<![\w/\[])(?<!\]\()(`{0,2})docs/([\w/-]+)\.md\1(?!\w)")
"""A page that the help or the docstring of a program names, such as ``docs/gate.md``."""
_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)


def link_pages(text: str, way: str) -> str:
    """Turns the names of pages, such as ``docs/gate.md``, into links with their titles.

    Args:
        text: Markdown of a generated page.
        way: The way from its folder to the folder ``docs``, such as ``../../``.

    Raises:
        FileNotFoundError: There is no such page.
    """
    return _PAGE.sub(lambda match: f"[{_title(DOCS / f'{match[2]}.md')}]({way}{match[2]}.md)", text)


def _title(page: Path) -> str:
    lines = page.read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix("# ").partition(":")[0] for line in lines if line.startswith("# "))


def resolve_links(markdown: str, source: Path, page: Path, repository: str) -> str:
    """Rewrites the links of a Markdown file so that they hold on the site.

    Args:
        markdown: Text of the file.
        source: The file. Its links start from its folder.
        page: Where the page stands below ``docs``; for a page of ``docs``, the source itself.
        repository: URL of the repository, for links to files that the site doesn't hold.

    Returns:
        The text. Links to files below ``docs`` start from the page, those to a notebook lead to the page that shows
        it (but the notebook's own page links to the file), and other links lead to the repository.

    Raises:
        FileNotFoundError: A link leads to a file that doesn't exist.
    """

    def resolved(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(source.parent / match[1]))
        if not target.is_relative_to(DOCS) and not target.exists():
            raise FileNotFoundError(f"{source}: the link to {match[1]} leads nowhere")
        anchor = match[2] or ""
        if target.suffix == ".ipynb" and target.stem != page.stem:
            target = target.with_suffix(".md")
        if target.is_relative_to(DOCS) and not target.is_dir():
            return os.path.relpath(target, page.parent) + anchor
        kind = "tree" if target.is_dir() else "blob"
        return f"{repository}/{kind}/main/{target.relative_to(ROOT).as_posix()}{anchor}"

    # The target of [`name`](target) stands outside of code, so that the lookbehind finds it.
    parts = _CODE.split(markdown)
    return "".join(part if place % 2 else _LINK.sub(resolved, part) for place, part in enumerate(parts))
