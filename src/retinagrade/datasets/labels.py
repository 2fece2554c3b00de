"""Label files: reading them, checking their cells, and joining their rows to photographs one to one."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from retinagrade.cells import HEADER_BYTES, split_header
from retinagrade.datasets.file_listing import photographs_in, require_matching_names
from retinagrade.errors import LayoutError, ManifestError
from retinagrade.manifest import Manifest, read_csv_text
from retinagrade.storage.system_errors import reason


def has_columns(path: Path, columns: Iterable[str]) -> bool:
    """Whether a CSV exists and its header names all these columns; only the beginning of the file is read."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return set(columns) <= set(split_header(stream.read(HEADER_BYTES)))


def read_labels(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """Reads a label file with every cell as text, without surrounding white space.

    Args:
        path: A CSV with one header line, or an Excel workbook whose first sheet has one.
        columns: The required columns.

    Raises:
        ManifestError: The file can't be read, or lacks a column.
    """
    table = _read_workbook(path) if path.suffix.lower() == ".xlsx" else read_csv_text(path)
    for column in columns:
        if column not in table.columns:
            raise ManifestError(f"{path}, line 1: no column {column!r}; found {', '.join(map(repr, table.columns))}")
    return pd.DataFrame({name: cells.str.strip() for name, cells in table.items()})


def _read_workbook(path: Path) -> pd.DataFrame:
    try:
        sheet = pd.read_excel(io.BytesIO(path.read_bytes()), dtype=str, keep_default_na=False, engine="openpyxl")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ManifestError(
            f"{path}: not a readable Excel workbook ({reason(error)}): copy it again, or save its first sheet as CSV"
        ) from error
    return pd.DataFrame(sheet).rename(columns=lambda name: str(name).strip())


def match_cells(cells: pd.Series, pattern: re.Pattern[str], expected: str, labels: Path) -> list[re.Match[str]]:
    """Matches every cell of a column as a whole.

    Args:
        cells: A column of a label file, as :func:`read_labels` returns it.
        pattern: The pattern of every cell.
        expected: The pattern in words, for the error.
        labels: The label file.

    Raises:
        ManifestError: A cell does not match; the message names line, column and text of the first one.
    """
    matches = []
    for row, cell in cells.items():
        match = pattern.fullmatch(cell)
        if match is None:
            raise ManifestError(
                f"{labels}, line {int(str(row)) + 2}, column {cells.name!r}: {cell!r} is not {expected}"
            )
        matches.append(match)
    return matches


def photographs_by_name(folder: Path, labels: Path, ignore_case: bool = False) -> dict[str, Path]:
    """Lists the photographs directly in a folder by their names without suffix.

    Args:
        folder: The folder.
        labels: The label file of the photographs, for errors.
        ignore_case: True to return the names in lower case.

    Raises:
        LayoutError: The folder is missing, or two photographs have one name.
    """
    if not folder.is_dir():
        raise LayoutError(f"{labels} exists, but its photographs are missing: looked for the folder {folder}")
    return index_by_name(photographs_in(folder), ignore_case)


def index_by_name(photographs: Iterable[Path], ignore_case: bool = False) -> dict[str, Path]:
    """Indexes photographs by their names without suffix, in lower case where ``ignore_case`` is set.

    Raises:
        LayoutError: Two photographs have one name.
    """
    by_name: dict[str, Path] = {}
    for path in photographs:
        other = by_name.setdefault(path.stem.lower() if ignore_case else path.stem, path)
        if other != path:
            raise LayoutError(f"{other} and {path} have one name: keep the one that the labels mean")
    return by_name


def join_labels(
    rows: pd.DataFrame,
    files: Mapping[str, Path],
    labels: Path,
    folder: Path,
    root: Path,
    complete: bool,
    first_line: int = 2,
) -> pd.DataFrame:
    """Joins the rows of one label file to their photographs.

    Args:
        rows: The columns of a manifest without ``path``, in the order of the file, so that errors name its lines.
            Column ``name`` is the key of the row's photograph.
        files: The photographs by that key.
        labels: The label file.
        folder: The folder of the photographs.
        root: The folder that the paths of the result start from.
        complete: True if labels and photographs must match one to one; otherwise photographs without a file stay in
            the table.
        first_line: The line of the first row in the label file.

    Returns:
        A validated table with ``path``.

    Raises:
        ManifestError: A grade is invalid, or a photograph has two rows.
        LayoutError: Some labels have no photograph, or some photographs no label.
    """
    names = rows["name"].tolist()
    paths = [files.get(name, folder / name).relative_to(root).as_posix() for name in names]
    table = Manifest.from_table(rows.drop(columns="name").assign(path=paths), root, str(labels), first_line).table
    if complete:
        require_matching_names(set(names), set(files), labels, folder)
    return table
