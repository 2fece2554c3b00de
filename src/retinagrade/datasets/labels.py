"""What readers of label files share: columns and cells demanded, rows joined to photographs with nothing left over."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from retinagrade.datasets.file_listing import photographs_in, require_matching_names
from retinagrade.errors import LayoutError, ManifestError
from retinagrade.manifest import Manifest, read_csv_text


def has_columns(path: Path, columns: Iterable[str]) -> bool:
    """Whether a CSV is there and its first line names all these columns; no more than that line is read."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        header = stream.readline()
    return set(columns) <= {cell.strip().strip('"') for cell in header.split(",")}


def read_labels(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """Reads a label file with every cell as text without white space around it.

    Args:
        path: A CSV with one header line, or an Excel workbook whose first sheet has one.
        columns: Columns that it must have.

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
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ManifestError(
            f"{path}: not a readable Excel workbook ({error}): copy it again, or save its first sheet as CSV"
        ) from error
    return pd.DataFrame(sheet).rename(columns=str.strip)


def match_cells(cells: pd.Series, pattern: re.Pattern[str], wanted: str, labels: Path) -> list[re.Match[str]]:
    """Matches every cell of a column as a whole.

    Args:
        cells: A column of a label file with a header line.
        pattern: What every cell must look like.
        wanted: The same in words, for the error.
        labels: The label file.

    Raises:
        ManifestError: Names line, column and text of the first cell that does not match.
    """
    matches = []
    for row, cell in enumerate(cells):
        match = pattern.fullmatch(cell)
        if match is None:
            raise ManifestError(f"{labels}, line {row + 2}, column {cells.name!r}: {cell!r} is not {wanted}")
        matches.append(match)
    return matches


def photographs_by_name(folder: Path, labels: Path, fold: bool = False) -> dict[str, Path]:
    """Photographs directly in a folder by their names without suffix.

    Args:
        folder: The folder.
        labels: The label file that speaks of them, for errors.
        fold: Take the names in lower case.

    Raises:
        LayoutError: No such folder, or two photographs of one name.
    """
    if not folder.is_dir():
        raise LayoutError(f"{labels} is there, but its photographs are not: looked for the folder {folder}")
    return index_by_name(photographs_in(folder), fold)


def index_by_name(photographs: Iterable[Path], fold: bool = False) -> dict[str, Path]:
    """Photographs by their names without suffix, in lower case where ``fold`` is set.

    Raises:
        LayoutError: Two photographs of one name.
    """
    named: dict[str, Path] = {}
    for path in photographs:
        other = named.setdefault(path.stem.lower() if fold else path.stem, path)
        if other != path:
            raise LayoutError(f"{other} and {path} have one name: keep the one that the labels mean")
    return named


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
        rows: A manifest's columns without ``path``, in the file's order, so that errors name its lines; column
            ``name`` is the key of the row's photograph.
        files: Photographs by that key.
        labels: The label file.
        folder: Where the photographs were looked for.
        root: The folder that paths are to start from.
        complete: Demand that labels and photographs match one to one; otherwise photographs that are not there stay
            in the manifest.
        first_line: The line of the first row in the label file.

    Returns:
        A validated table with ``path``.

    Raises:
        ManifestError: A grade that is none, or a photograph that stands twice.
        LayoutError: Labels without photograph or photographs without label.
    """
    names = rows["name"].tolist()
    paths = [files.get(name, folder / name).relative_to(root).as_posix() for name in names]
    table = Manifest.from_table(rows.drop(columns="name").assign(path=paths), root, str(labels), first_line).table
    if complete:
        require_matching_names(set(names), set(files), labels, folder)
    return table
