"""Tables of results as Excel workbooks: the cells of the CSV table, with numbers as numbers, and no formulas."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from retinagrade.cells import CellTable
from retinagrade.errors import UsageError

SHEET: Final = "results"
_MOST_ROWS: Final = 1_048_576
"""Rows of a sheet, its header included."""
_LONGEST: Final = 32_767
"""Characters of a cell."""
_ESCAPED: Final = re.compile("_x([0-9A-Fa-f]{4})_")
_NOT_IN_XML: Final = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
"""Characters that XML forbids or changes, and the beginning of a text that looks as if it stood for one."""


def encode_workbook(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """Makes a workbook with one sheet.

    Args:
        header: Names of the columns.
        rows: Cells of each row: texts, numbers, truth values, or ``None`` for an empty cell.

    Raises:
        UsageError: A sheet can't hold so many rows, or a cell so long a text.
        ModuleNotFoundError: openpyxl isn't installed.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    if len(rows) >= _MOST_ROWS:
        raise UsageError(f"an Excel workbook holds {_MOST_ROWS - 1:,} rows, and there are {len(rows):,}: write .csv")
    book = Workbook(write_only=True)
    sheet = book.create_sheet(SHEET)
    sheet.freeze_panes = "B2"

    def cell(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        text = _NOT_IN_XML.sub(lambda found: f"_x{ord(found[0]):04X}_", value)
        if len(text) > _LONGEST:
            raise UsageError(f"a cell of an Excel workbook holds {_LONGEST:,} characters: write .csv")
        made = WriteOnlyCell(sheet, text)
        made.data_type = "s"  # openpyxl would take a text with = for a formula, and #N/A for an error
        return made

    for row in (header, *rows):
        sheet.append([cell(value) for value in row])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def split_workbook(data: bytes, source: str) -> CellTable:
    """Reads the cells of the first sheet of a workbook, each as the text that a CSV table would have.

    Args:
        data: Content of the file.
        source: Name of the file, for errors.

    Returns:
        The cells; the lines are the rows of the sheet. Rows without a cell, and columns without a name, are left out.

    Raises:
        UsageError: The file is no workbook.
        ModuleNotFoundError: openpyxl isn't installed.
    """
    from openpyxl import load_workbook

    try:
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        values = [[_text(value) for value in row] for row in book.worksheets[0].iter_rows(values_only=True)]
        book.close()
    except Exception as error:  # damaged workbooks raise errors of zipfile, zlib, the XML parser and openpyxl
        raise UsageError(f"{source} is no readable Excel workbook ({error}): choose another file") from error
    if not values:
        return CellTable([], [], [], 2)
    named = [column for column, name in enumerate(values[0]) if name]
    placed = [(line, row) for line, row in enumerate(values[1:], start=2) if any(row)]
    return CellTable(
        [values[0][column] for column in named],
        [[row[column] if column < len(row) else "" for column in named] for _, row in placed],
        [line for line, _ in placed],
        2,
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, date):
        return value.isoformat()
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value) if isinstance(value, str) else str(value)
