"""A manifest as a source, CSV or Parquet: one's own table of photographs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.errors import LayoutError, ManifestError, UsageError
from retinagrade.manifest import REQUIRED, Manifest, read_csv_text
from retinagrade.messages import count_and_first_few
from retinagrade.paths import file_stats

NAMES: Final = ("manifest.csv", "labels.csv")
_SUFFIXES: Final = (".csv", ".parquet")


def is_table(source: Path) -> bool:
    """Whether the source is a CSV or Parquet file, or a folder with a manifest in one of the usual names."""
    if source.is_file():
        return source.suffix.lower() in _SUFFIXES
    return any(
        (source / name).is_file() and set(REQUIRED) <= set(read_csv_text(source / name).columns) for name in NAMES
    )


def read_table(source: Path, complete: bool = True) -> Manifest:
    """Reads a manifest and makes sure that its photographs exist.

    Args:
        source: The CSV or Parquet file, or a folder that holds ``manifest.csv`` or ``labels.csv``. Relative paths
            start from it.
        complete: Demand that the photographs exist; those beside them that are not listed are nobody's business.

    Raises:
        LayoutError: No such table, or photographs that are not there.
        ManifestError: A malformed table.
        UsageError: A Parquet file, and nothing installed that reads it.
    """
    path = source
    if source.is_dir():
        path = next((source / name for name in NAMES if (source / name).is_file()), source / NAMES[0])
    manifest = _read_parquet(path) if path.suffix.lower() == ".parquet" else Manifest.read(path)
    files = {str(row.image_id): manifest.file(str(row.path)) for row in manifest.table.itertuples(index=False)}
    there = file_stats(files.values())
    missing = [image_id for image_id, file in files.items() if file not in there or file.is_dir()]
    if missing and complete:
        raise LayoutError(
            f"{path}: photographs that are not there, looked for from {path.parent} ({count_and_first_few(missing)})"
        )
    return manifest


def _read_parquet(path: Path) -> Manifest:
    """Reads a manifest; the lines that its errors name are rows, counted from 1."""
    try:
        table = pd.read_parquet(io.BytesIO(path.read_bytes()), engine="pyarrow")
    except ImportError as error:
        raise UsageError(
            f"{path}: reading Parquet needs pyarrow: pip install 'retinagrade[parquet]', or save it as CSV"
        ) from error
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path}: not a readable Parquet table: {error}") from error
    return Manifest.from_table(table.convert_dtypes(), path.parent, str(path), first_line=1)
