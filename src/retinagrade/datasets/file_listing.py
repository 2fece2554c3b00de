"""Photographs in folders, and their names as readers and checks compare them."""

from __future__ import annotations

from pathlib import Path

from retinagrade.errors import LayoutError
from retinagrade.images.formats import PHOTOGRAPH_SUFFIXES
from retinagrade.messages import count_and_first_few


def photographs_in(folder: Path) -> list[Path]:
    """Lists the photographs directly in a folder, sorted by name, without hidden files."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PHOTOGRAPH_SUFFIXES and not path.name.startswith(".")
    )


def relative_path(root: Path, path: Path) -> str:
    """Returns a file's path from a folder, or the unchanged path of a file elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def require_matching_names(labelled: set[str], present: set[str], labels: Path, folder: Path) -> None:
    """Requires that a label file and a folder have the same photographs.

    Raises:
        LayoutError: Some labels have no photograph, or some photographs no label; the message counts and names them.
    """
    problems = []
    if missing := labelled - present:
        problems.append(f"labels without a photograph in {folder} ({count_and_first_few(missing)})")
    if unlabelled := present - labelled:
        problems.append(f"photographs without a label in {labels} ({count_and_first_few(unlabelled)})")
    if problems:
        raise LayoutError(f"{'; '.join(problems)}: complete the download, or remove the surplus files")
