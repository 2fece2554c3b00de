"""What readers share: photographs in folders, and tables joined to them with nothing left over."""

from __future__ import annotations

from pathlib import Path

from retinagrade.errors import LayoutError
from retinagrade.images.read import PHOTOGRAPH_SUFFIXES
from retinagrade.messages import count_and_first_few

_SHOWN = 5


def photographs_in(folder: Path) -> list[Path]:
    """Photographs directly in a folder, sorted by name; hidden files are left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PHOTOGRAPH_SUFFIXES and not path.name.startswith(".")
    )


def require_matching_names(labelled: set[str], found: set[str], labels: Path, folder: Path) -> None:
    """Demands that a label file and a folder speak of the same photographs.

    Raises:
        LayoutError: Labels without photograph or photographs without label, with numbers and first names.
    """
    problems = []
    if missing := sorted(labelled - found):
        problems.append(f"labels without a photograph in {folder} ({count_and_first_few(missing)})")
    if unlabelled := sorted(found - labelled):
        problems.append(f"photographs without a label in {labels} ({count_and_first_few(unlabelled)})")
    if problems:
        raise LayoutError(f"{'; '.join(problems)}: complete the download, or remove what does not belong")
