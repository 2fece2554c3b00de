"""A manifest CSV as a source: one's own table of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from retinagrade.datasets.found import some
from retinagrade.errors import LayoutError
from retinagrade.manifest import REQUIRED, Manifest, read_csv_text

NAMES: Final = ("manifest.csv", "labels.csv")


def is_table(source: Path) -> bool:
    """Whether the source is a CSV, or a folder with a manifest in one of the usual names."""
    if source.is_file():
        return source.suffix.lower() == ".csv"
    return any(
        (source / name).is_file() and set(REQUIRED) <= set(read_csv_text(source / name).columns) for name in NAMES
    )


def read_table(source: Path) -> Manifest:
    """Reads a manifest CSV and makes sure that its photographs exist.

    Args:
        source: The CSV, or a folder that holds ``manifest.csv`` or ``labels.csv``. Relative paths start from it.

    Raises:
        LayoutError: No such table, or photographs that are not there.
        ManifestError: A malformed table.
    """
    path = source
    if source.is_dir():
        path = next((source / name for name in NAMES if (source / name).is_file()), source / NAMES[0])
    manifest = Manifest.read(path)
    missing = [
        image_id
        for image_id, photograph in zip(manifest.table["image_id"], manifest.table["path"], strict=True)
        if not manifest.file(photograph).is_file()
    ]
    if missing:
        raise LayoutError(f"{path}: photographs that are not there, looked for from {path.parent} ({some(missing)})")
    return manifest
