"""A table of photographs as a source: a manifest that a user wrote, as CSV or Parquet."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from retinagrade.datasets.reader import reader
from retinagrade.errors import LayoutError, ManifestError, UsageError
from retinagrade.manifest import MANIFEST_COLUMNS, REQUIRED, Manifest, read_csv_text
from retinagrade.messages import count_and_first_few
from retinagrade.storage.paths import file_stats

_NAMES: Final = ("manifest.csv", "labels.csv")
_SUFFIXES: Final = (".csv", ".parquet")


def is_table(source: Path) -> bool:
    """Whether the source is a CSV or Parquet file, or a folder with ``manifest.csv`` or ``labels.csv``."""
    if source.is_file():
        return source.suffix.lower() in _SUFFIXES
    return any(
        (source / name).is_file() and set(REQUIRED) <= set(read_csv_text(source / name).columns) for name in _NAMES
    )


@reader(
    "table",
    f"a table (CSV or Parquet) with columns image_id and path, or a folder with such a {' or '.join(_NAMES)}",
    is_table,
)
def read_table(source: Path, complete: bool = True) -> Manifest:
    """Reads a table of photographs.

    Args:
        source: The CSV or Parquet file, or a folder that holds ``manifest.csv`` or ``labels.csv``. Relative paths
            start from the table's folder.
        complete: True if all photographs must exist. Files that the table does not list are ignored.

    Raises:
        LayoutError: Photographs are missing.
        ManifestError: The table is missing or malformed.
        UsageError: The file is Parquet, and pyarrow isn't installed.
    """
    path = source
    if source.is_dir():
        path = next((source / name for name in _NAMES if (source / name).is_file()), source / _NAMES[0])
    manifest = _read_parquet(path) if path.suffix.lower() == ".parquet" else Manifest.read(path)
    files = {str(row.image_id): manifest.file(str(row.path)) for row in manifest.table.itertuples(index=False)}
    stats = file_stats(files.values())
    missing = [file for file in files.values() if file not in stats or file.is_dir()]
    if missing and complete:
        raise LayoutError(
            f"{path}: photographs are missing ({count_and_first_few(missing)}): correct the column 'path', or copy "
            f"them there; relative paths begin in {path.parent}"
        )
    return manifest


def _read_parquet(path: Path) -> Manifest:
    """Reads a Parquet table without its columns of bytes; the lines in its errors are rows, counted from 1."""
    try:
        table = pd.read_parquet(io.BytesIO(path.read_bytes()), engine="pyarrow")
    except ImportError as error:
        raise UsageError(
            f"{path}: reading Parquet needs pyarrow: pip install 'retinagrade[parquet]', or save it as CSV"
        ) from error
    except (OSError, ValueError, NotImplementedError) as error:
        raise ManifestError(f"{path}: not a readable Parquet table: {error}") from error
    nested = [column for column in table.columns if table[column].map(_is_no_cell).any()]
    if needed := [column for column in nested if column in MANIFEST_COLUMNS]:
        raise ManifestError(f"{path}, column {needed[0]!r}: holds bytes or lists: store text there")
    cells = table.drop(columns=nested).convert_dtypes()
    return Manifest.from_table(cells, path.parent, str(path), first_line=1)


def _is_no_cell(value: object) -> bool:
    """Whether a value, such as the bytes of a photograph, is neither text nor a number."""
    return isinstance(value, bytes | dict | list | np.ndarray)
