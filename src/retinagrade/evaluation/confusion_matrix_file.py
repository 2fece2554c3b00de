"""Confusion matrices from CSV files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retinagrade.cells import decode_table
from retinagrade.errors import ManifestError
from retinagrade.grades import N_GRADES
from retinagrade.storage.system_errors import reason

Row = tuple[int, list[str]]
"""A line number, from 1, and the cells of that line."""


def read_confusion_matrix(path: Path) -> NDArray[np.int64]:
    """Reads a confusion matrix from a CSV file: five rows of five counts, rows by grade, columns by predicted grade.

    A header line and a first column of names are optional.

    Args:
        path: The file; cells are separated by commas, semicolons or tabs.

    Returns:
        Counts (5, 5).

    Raises:
        ManifestError: The file is unreadable, has another shape, or has cells that are not counts (named by line and
            column).
    """
    rows = _without_header(_read_cells(path), path)
    counts = [_count(cell, path, number, column) for number, cells in rows for column, cell in _last_five(cells)]
    matrix = np.array(counts, dtype=np.int64).reshape(N_GRADES, N_GRADES)
    if not matrix.any():
        raise ManifestError(f"{path}: the matrix counts no photographs")
    return matrix


def _read_cells(path: Path) -> list[Row]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path}: not a readable CSV file: {reason(error)}") from error
    text = decode_table(data, str(path))
    separator = next((mark for mark in "\t;" if mark in text), ",")
    lines = enumerate(text.splitlines(), start=1)
    return [(number, [cell.strip() for cell in line.split(separator)]) for number, line in lines if line.strip()]


def _without_header(rows: list[Row], path: Path) -> list[Row]:
    if len(rows) == N_GRADES + 1:
        rows = rows[1:]
    if len(rows) != N_GRADES or any(len(cells) not in (N_GRADES, N_GRADES + 1) for _, cells in rows):
        raise ManifestError(
            f"{path}: a confusion matrix has {N_GRADES} lines of {N_GRADES} counts, rows by grade and columns by "
            "predicted grade (a header line and a first column of names are optional); found "
            f"{len(rows)} lines of {', '.join(sorted({str(len(cells)) for _, cells in rows}))} cells"
        )
    return rows


def _last_five(cells: list[str]) -> list[tuple[int, str]]:
    return list(enumerate(cells, start=1))[-N_GRADES:]


def _count(cell: str, path: Path, line: int, column: int) -> int:
    if not (cell.isascii() and cell.isdigit()):
        raise ManifestError(f"{path}, line {line}, column {column}: {cell!r} is not a count")
    return int(cell)
