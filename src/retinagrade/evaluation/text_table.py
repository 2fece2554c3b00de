"""Tables of photographs in CSV, JSON Lines, Parquet or Excel, with every cell as text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pandas as pd

from retinagrade.cells import decode_table, unprotect
from retinagrade.errors import ManifestError, UsageError
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.gradings.workbook import split_workbook
from retinagrade.manifest import read_csv_text

_PROBABILITIES: Final = "probabilities"


def read_text_table(path: Path) -> pd.DataFrame:
    """Reads a table with every cell as text; numbers keep all their digits.

    Args:
        path: A CSV file, or a file ``.jsonl``, ``.parquet`` or ``.xlsx``. Where the first two of these have a list of
            ``probabilities``, as results of ``retinagrade grade`` have, it becomes the columns ``p0`` … ``p4``, as in
            its CSV tables.

    Returns:
        A table of strings, as :func:`~retinagrade.manifest.read_csv_text` returns it. The row of a Parquet file with
        the index ``i`` has the number ``i + 2``, as if the file had a header line.

    Raises:
        ManifestError: The file is missing or unreadable; the message names the line where it can.
        UsageError: The file is Parquet and pyarrow isn't installed, or a workbook and openpyxl isn't.
    """
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".parquet", ".xlsx"):
        return read_csv_text(path)
    try:
        if suffix == ".xlsx":
            return _workbook_rows(path)
        rows = _parquet_rows(path) if suffix == ".parquet" else list(_json_rows(path))
    except OSError as error:
        raise ManifestError(f"{path}: can't be read ({error.strerror or error}): check its name and folder") from error
    return pd.DataFrame(list(map(_flat, rows)), dtype=str).fillna("")


def _workbook_rows(path: Path) -> pd.DataFrame:
    try:
        table = split_workbook(path.read_bytes(), str(path))
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{path}: reading Excel needs openpyxl: pip install 'retinagrade[xlsx]', or save it as CSV"
        ) from error
    rows = [list(map(unprotect, row)) for row in table.rows]
    return pd.DataFrame(rows, pd.Index(table.lines) - 2, pd.Index(table.header), dtype=str)


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError(
            f"{path}: reading Parquet needs pyarrow: pip install 'retinagrade[parquet]', or save it as CSV"
        ) from error
    content = path.read_bytes()
    try:
        rows: list[dict[str, Any]] = pq.read_table(pa.BufferReader(content)).to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ManifestError(f"{path}: not a readable Parquet table: {error}") from error
    return rows


def _json_rows(path: Path) -> Iterable[dict[str, Any]]:
    for line, text in enumerate(decode_table(path.read_bytes(), str(path)).splitlines(), start=1):
        try:
            row = json.loads(text) if text.strip() else {}
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{path}, line {line}: not readable JSON ({error}): write it again") from error
        if not isinstance(row, dict):
            raise ManifestError(f"{path}, line {line}: not a JSON object: write one for each photograph")
        yield row


def _flat(row: dict[str, Any]) -> dict[str, str]:
    if _PROBABILITIES in row:
        probabilities = row[_PROBABILITIES] or ()
        others = {name: value for name, value in row.items() if name != _PROBABILITIES}
        row = others | dict(zip(PROBABILITY_COLUMNS, probabilities, strict=False))
    return {name: _text(value) for name, value in row.items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return repr(value) if isinstance(value, float) else str(value)
