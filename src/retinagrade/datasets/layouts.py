"""Layouts of sources: detected, or named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from retinagrade.datasets.folders import KNOWN, is_folders, read_folders
from retinagrade.datasets.idrid import is_idrid, read_idrid
from retinagrade.datasets.table import NAMES, is_table, read_table
from retinagrade.errors import LayoutError, UsageError
from retinagrade.manifest import Manifest

_DETECT: Final = {"idrid": is_idrid, "folders": is_folders, "table": is_table}
LAYOUTS: Final = tuple(_DETECT)
"""Names of the known layouts."""


def read_source(source: Path, layout: str | None = None, grade_map: Mapping[str, int] | None = None) -> Manifest:
    """Reads a data set as it was downloaded.

    Args:
        source: Its folder, or a manifest CSV.
        layout: One of :data:`LAYOUTS`, or ``None`` to detect it.
        grade_map: For the layout ``folders``: folder names and their grades.

    Raises:
        LayoutError: Nothing there, no layout fits, or several do; the message says what was looked for.
        UsageError: Unknown layout, or a grade map with a layout that has no use for it.
    """
    if not source.exists():
        raise LayoutError(f"{source}: no such file or folder")
    if layout is None:
        layout = "folders" if grade_map is not None else _detect(source)
    if layout not in LAYOUTS:
        raise UsageError(f"no layout {layout!r}: one of {', '.join(LAYOUTS)}")
    if layout == "folders":
        return read_folders(source, grade_map)
    if grade_map is not None:
        raise UsageError(f"a map of folder names has no meaning for the layout {layout!r}")
    return read_idrid(source) if layout == "idrid" else read_table(source)


def _detect(source: Path) -> str:
    fitting = [name for name, fits in _DETECT.items() if fits(source)]
    if not fitting:
        raise LayoutError(
            f"{source} is in no known layout. Looked for: IDRiD's 'B. Disease Grading' with its label files; at least "
            f"two folders of photographs named by grade ({KNOWN}), also below train, val, test; a manifest CSV, or "
            f"a folder with {' or '.join(NAMES)} that has columns image_id and path. Name it with --layout, or name "
            "folders' grades with --grades"
        )
    if len(fitting) > 1:
        raise LayoutError(f"{source} fits several layouts: choose one with --layout {' or --layout '.join(fitting)}")
    return fitting[0]
