"""Layouts of data sets: the choice of the right reader among those in :mod:`retinagrade.datasets.readers`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from retinagrade.datasets.masks import has_masks
from retinagrade.datasets.reader import REGISTRY, Reader
from retinagrade.datasets.readers.idrid import IDRID_FOLDER
from retinagrade.datasets.readers.messidor2 import refuse_messidor1
from retinagrade.errors import LayoutError, UsageError
from retinagrade.manifest import Manifest
from retinagrade.messages import name_choices

LAYOUTS: Final[Mapping[str, Reader]] = REGISTRY
"""The readers by the name of their layout, in alphabetical order."""
_FOLDERS: Final = "folders"
_MOST_FOLDERS: Final = 50
"""Folders below a source that are looked at for a layout, at most."""


def read_dataset(
    source: Path,
    layout: str | None = None,
    grade_names: Mapping[str, int] | None = None,
    unpack: Path | None = None,
    complete: bool = True,
) -> Manifest:
    """Reads a data set as it was downloaded.

    Args:
        source: The data set's folder, or a file: a table of photographs, or RetinaMNIST's archive.
        layout: A key of :data:`LAYOUTS`; ``None`` detects the layout.
        grade_names: For the layout ``folders``: folder names and their grades.
        unpack: For the layout ``retinamnist``: the folder for its photographs.
        complete: True if labels and photographs must match one to one; otherwise photographs without a file stay in
            the manifest, and files without a label are ignored.

    Raises:
        LayoutError: The source is missing, or no layout or more than one fits; the message lists the expected files.
        UsageError: The layout is unknown, grades are given for a different layout, or an archive has no folder to
            unpack to.
    """
    reader = choose_reader(source, layout, grade_names)
    if grade_names is not None and "grade_names" not in reader.arguments:
        raise UsageError(f"grades of folder names have no meaning for the layout {reader.layout!r}: leave them out")
    given = {"complete": complete, "grade_names": grade_names, "unpack": unpack}
    return reader.read(source, **{name: value for name, value in given.items() if name in reader.arguments})


def choose_reader(source: Path, layout: str | None = None, grade_names: Mapping[str, int] | None = None) -> Reader:
    """Chooses the reader of a source; see :func:`read_dataset` for the arguments and errors."""
    if not source.exists():
        raise LayoutError(f"{source}: no such file or folder")
    layout = layout if grade_names is None else layout or _FOLDERS
    if layout is None:
        return _detect(source)
    if layout not in LAYOUTS:
        raise UsageError(f"no layout {layout!r}: choose {name_choices(layout, LAYOUTS)}")
    return LAYOUTS[layout]


def has_only_masks(source: Path) -> bool:
    """Whether a folder has photographs with lesion masks, and nothing in or below it that may hold grades."""
    may_have_grades = (source / IDRID_FOLDER).is_dir() or _fitting_readers(source) or _fitting_folders(source)
    return has_masks(source) and not may_have_grades


def _detect(source: Path) -> Reader:
    fitting = _fitting_readers(source)
    if source.is_file() or fitting in ([], [LAYOUTS[_FOLDERS]]):
        refuse_messidor1(source)
    if not fitting:
        if inner := _fitting_folders(source):
            raise LayoutError(
                f"{source} is in no known layout, but {' and '.join(map(str, inner))} below it "
                f"{'is' if len(inner) == 1 else 'are'}: name {'that' if len(inner) == 1 else 'one'} folder instead"
            )
        if has_only_masks(source):
            raise LayoutError(f"{source} has photographs with lesion masks, but no grades: prepare it with --masks")
        expected = "\n".join(f"  {reader.layout}: {reader.expected}" for reader in LAYOUTS.values())
        raise LayoutError(
            f"{source} is in no known layout. Looked for:\n{expected}\n"
            "Name the layout with --layout, or the grade of each folder with --grade-names"
        )
    if len(fitting) > 1:
        choices = " or ".join(f"--layout {reader.layout}" for reader in fitting)
        raise LayoutError(f"{source} fits several layouts: choose one with {choices}")
    return fitting[0]


def _fitting_readers(source: Path) -> list[Reader]:
    """Returns the readers whose layout a source has; a layout of last resort counts only where no other one fits."""
    fitting = [reader for reader in LAYOUTS.values() if not reader.last_resort and reader.fits(source)]
    return fitting or [reader for reader in LAYOUTS.values() if reader.last_resort and reader.fits(source)]


def _fitting_folders(source: Path) -> list[Path]:
    """Returns the folders up to two levels below a source that are in a known layout, such as a doubled folder."""
    if not source.is_dir():
        return []
    below = sorted(path for pattern in ("*", "*/*") for path in source.glob(pattern) if path.is_dir())
    visible = [path for path in below if not any(part.startswith(".") for part in path.relative_to(source).parts)]
    readers = [reader for reader in LAYOUTS.values() if not reader.last_resort]
    return [path for path in visible[:_MOST_FOLDERS] if any(reader.fits(path) for reader in readers)]
