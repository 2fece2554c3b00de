"""Tables of results in CSV, JSON Lines, Parquet or Excel, whose rows are known to be as they were written."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

from retinagrade.cells import CellTable, decode_table, parse_flag, parse_number, protect, split_table, unprotect
from retinagrade.errors import ManifestError, UsageError
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.gradings.grading import DIGITS, GRADED_KINDS, Grading
from retinagrade.gradings.studies import StudyGrading
from retinagrade.gradings.workbook import encode_workbook, split_workbook
from retinagrade.row_check import CHECK, CHECK_PATTERN, count_changed, row_check
from retinagrade.storage.files import write_bytes, write_text
from retinagrade.storage.paths import read_bytes

if TYPE_CHECKING:
    import pyarrow as pa

Result = Grading | StudyGrading
Row = TypeVar("Row")
SUFFIXES: Final = (".csv", ".jsonl", ".parquet", ".xlsx")
GROWING: Final = (".csv", ".jsonl")
"""Suffixes of the tables to which rows can be added."""
COLUMNS: Final = (
    "image_id",
    *PROBABILITY_COLUMNS,
    "predicted_grade",
    "label",
    "expected_grade",
    "referable",
    "vision_threatening",
    "referral_reasons",
    "confidence",
    "prediction_set",
    "needs_review",
    "gradable",
    "modality",
    "centre",
    "quality",
    "quality_level",
    "quality_reasons",
    "review_reasons",
    "microaneurysms",
    "microaneurysms_area",
    "microaneurysms_quadrants",
    "haemorrhages",
    "haemorrhages_area",
    "haemorrhages_quadrants",
    "hard_exudates",
    "hard_exudates_area",
    "hard_exudates_quadrants",
    "soft_exudates",
    "soft_exudates_area",
    "soft_exudates_quadrants",
    "rule_grade",
    "oedema_probability",
    "oedema",
    "oedema_risk",
    "study",
    "laterality",
    "patient",
    "model",
    "grader_digest",
    "referral",
    "referable_threshold",
    "vision_threatening_threshold",
    "oedema_threshold",
    "graded_at",
    "seen_before",
    "path",
    "digest",
    "error",
)
"""Columns of a CSV table and of a workbook. The grade is ``predicted_grade``; a predictions table has the true one in
``grade``."""
_END_OF_ROW: Final = {
    ".csv": re.compile(rf'[,;\t"]{CHECK_PATTERN}"?$'),
    ".jsonl": re.compile(rf'"{CHECK_PATTERN}"\}}$'),
}
"""End of a whole row by suffix."""
_NUMBERS: Final = (
    *PROBABILITY_COLUMNS,
    "expected_grade",
    "confidence",
    "quality",
    "oedema_probability",
    "referable_threshold",
    "vision_threatening_threshold",
    "oedema_threshold",
    *(f"{kind}_area" for kind in GRADED_KINDS),
)
_COUNTS: Final = ("predicted_grade", "rule_grade", "oedema_risk", *GRADED_KINDS)
_LISTS_OF_COUNTS: Final = ("prediction_set", *(f"{kind}_quadrants" for kind in GRADED_KINDS))
_LISTS_OF_TEXTS: Final = ("referral_reasons", "quality_reasons", "review_reasons")
_FLAGS: Final = ("referable", "vision_threatening", "oedema", "needs_review", "gradable")
_PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    **dict.fromkeys(_NUMBERS, parse_number),
    **dict.fromkeys(_FLAGS, parse_flag),
    **dict.fromkeys(_COUNTS, parse_number),
    **dict.fromkeys(_LISTS_OF_COUNTS, lambda cell: tuple(map(int, cell.split()))),
    **dict.fromkeys(_LISTS_OF_TEXTS, lambda cell: tuple(unprotect(cell).split(", "))),
}
"""Parsers of the columns of a CSV table that are not text."""


def require_format(path: Path) -> None:
    """Checks, before any work, that results can be written to a file of this name.

    Raises:
        UsageError: The suffix is unknown.
        ModuleNotFoundError: Parquet needs pyarrow, or Excel openpyxl, which isn't installed.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: choose a file name that ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if path.suffix == ".parquet":
        import pyarrow.parquet  # noqa: F401
    if path.suffix == ".xlsx":
        import openpyxl  # noqa: F401


def write_results(path: Path, kind: type[Result], results: Sequence[Result]) -> None:
    """Writes a whole table atomically.

    Args:
        path: A ``.csv``, ``.jsonl``, ``.parquet`` or ``.xlsx`` file.
        kind: Class of the results. Its fields are the columns; a CSV table or a workbook of gradings has
            :data:`COLUMNS` instead.
        results: The rows, perhaps none.
    """
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        stream = io.BytesIO()
        rows = [_fields(result) for result in results]
        pq.write_table(pa.Table.from_pylist(rows, _schema(kind)), stream)
        write_bytes(path, stream.getvalue())
    elif path.suffix == ".jsonl":
        write_text(path, "".join(map(_json_line, results)))
    else:
        header = [*COLUMNS, CHECK] if kind is Grading else [field.name for field in fields(kind)]
        if path.suffix == ".xlsx":
            write_bytes(path, encode_workbook(header, [_cells(result, keeps_flags=True) for result in results]))
        else:
            write_text(path, "".join(map(_csv_line, [header, *map(_cells, results)])))


def read_gradings(path: Path, further_columns: bool = False) -> list[Grading]:
    """Reads a table of gradings exactly, however a spreadsheet has saved it.

    Args:
        path: A ``.csv``, ``.jsonl``, ``.parquet`` or ``.xlsx`` file. Half a row that a killed call has left at the end
            is left out.
        further_columns: Whether the table may have further columns, such as the grades of people; they are left out.

    Raises:
        UsageError: The file is no table of gradings.
        ManifestError: A row or a cell was changed; the message names its line.
        ModuleNotFoundError: Parquet needs pyarrow, or Excel openpyxl, which isn't installed.
    """
    if path.suffix == ".parquet":
        return _read_parquet(path, further_columns)
    if path.suffix == ".xlsx":
        return _read_cells(split_workbook(read_bytes(path), str(path)), path, further_columns)
    text = decode_table(read_bytes(path), str(path))
    end = text.rfind("\n") + 1
    if _END_OF_ROW[path.suffix].search(text[end:].rstrip()):  # an editor has removed the last line break
        text, end = f"{text}\n", len(text) + 1
    if path.suffix == ".jsonl":
        return parse_json_lines(text[:end].split("\n"), path, further_columns)
    whole = _without_torn_row(text, end)
    return _read_cells(split_table(whole, str(path)), path, further_columns) if whole.strip() else []


def _without_torn_row(text: str, end: int) -> str:
    """Returns the lines of a CSV table before ``end``, without half a row that a killed call has left.

    Half a row lacks its check. It may end within quotes, at a line break of a cell.
    """
    start = end
    while text.count('"', 0, start) % 2:
        start = text.rfind("\n", 0, start - 1) + 1
    is_torn = not any(map(_END_OF_ROW[".csv"].search, text[start:end].splitlines()))
    return text[: start if is_torn else end]


def _read_parquet(path: Path, further_columns: bool) -> list[Grading]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = read_bytes(path)
    try:
        rows = pq.read_table(io.BytesIO(content)).to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UsageError(f"{path} is no table of gradings ({error}): choose another file") from error
    parse = partial(_checked, path=path, further_columns=further_columns)
    return _parse_rows(((f"row {number}", row) for number, row in enumerate(rows, start=1)), path, parse)


def parse_json_lines(lines: Iterable[str], path: Path, further_columns: bool = False) -> list[Grading]:
    """Reads the rows of a ``.jsonl`` table or journal, as :func:`read_gradings` does; blank lines are left out."""

    def parse(line: str, place: str) -> Grading:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"{path} is no table of gradings ({place} is no JSON: {error}): choose another file"
            ) from error
        return _checked(row, place, path, further_columns)

    placed = ((f"line {number}", line) for number, line in enumerate(lines, start=1) if line.strip())
    return _parse_rows(placed, path, parse)


def _read_cells(table: CellTable, path: Path, further_columns: bool) -> list[Grading]:
    missing = [name for name in (*COLUMNS, CHECK) if name not in table.header]
    further = [name for name in table.header if name not in (*COLUMNS, CHECK)]
    if missing or (further and not further_columns):
        problem = f"no column {missing[0]!r}" if missing else f"a further column {further[0]!r}"
        raise UsageError(f"{path} is no table of gradings (it has {problem}): choose another file")

    def parse(row: list[str], place: str) -> Grading:
        cells = dict(zip(table.header, row, strict=False))
        if len(cells) < len(table.header):
            raise _ChangedRowError(place, f"it has {len(row)} cells instead of {len(table.header)}")
        return _parse_cells({name: cell for name, cell in cells.items() if name not in further}, path, place)

    kind = "row" if path.suffix == ".xlsx" else "line"
    placed = ((f"{kind} {line}", row) for row, line in zip(table.rows, table.lines, strict=True) if any(row))
    return _parse_rows(placed, path, parse)


class _ChangedRowError(Exception):
    """A row, or a cell of it, is not as it was written."""

    def __init__(self, place: str, problem: str, column: str | None = None) -> None:
        super().__init__(problem)
        self.place = place
        self.problem = f"{place}{'' if column is None else f', column {column!r}'}: {problem}"


def _parse_rows(rows: Iterable[tuple[str, Row]], path: Path, parse: Callable[[Row, str], Grading]) -> list[Grading]:
    """Parses the rows of a table, each with its place.

    Raises:
        ManifestError: Rows were changed; the message names the first one, and counts them.
    """
    gradings, changed = [], []
    for place, row in rows:
        try:
            gradings.append(parse(row, place))
        except _ChangedRowError as error:
            changed.append(error)
    if changed:
        counted = count_changed([each.place for each in changed])
        raise ManifestError(
            f"{path}, {changed[0].problem}{counted}. Undo the change, delete the row, or choose another file"
        )
    return gradings


def _checked(row: Any, place: str, path: Path, further_columns: bool = False) -> Grading:
    """Returns the grading of a row that is as it was written."""
    if not isinstance(row, dict) or CHECK not in row:
        raise UsageError(f"{path} is no table of gradings ({place} has no {CHECK!r}): choose another file")
    names = {field.name for field in fields(Grading)} if further_columns else row.keys() - {CHECK}
    try:
        grading = Grading.from_json({name: _plain(name, value) for name, value in row.items() if name in names})
        unchanged = row[CHECK] == _check(grading)
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is no table of gradings ({place}: {error}): choose another file") from error
    if not unchanged:
        raise _ChangedRowError(place, f"the row of {grading.image_id!r} is not as it was written: a cell was changed")
    return grading


def _plain(name: str, value: Any) -> Any:
    """Returns a value as it was written, before a data frame changed its type; a missing one has become NaN."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if name == "graded_at":
        return _plain_time(value)
    if name in _FLAGS and value in (0, 1):
        return bool(value)
    if isinstance(value, float) and name in _COUNTS and value.is_integer():
        return int(value)
    return float(value) if isinstance(value, int) and name in _NUMBERS else value


def _plain_time(value: Any) -> Any:
    """Returns a time as it was written; pandas takes it for a date, and writes milliseconds since 1970, or a Z."""
    try:
        if isinstance(value, int | float):
            value = datetime.fromtimestamp(value / 1000, UTC)
        elif isinstance(value, str):
            value = datetime.fromisoformat(value)
        return value.astimezone(UTC).isoformat(timespec="seconds") if isinstance(value, datetime) else value
    except (ValueError, OverflowError, OSError):
        return value


def _check(grading: Grading) -> str:
    """Returns the check of a grading, from the digits that results have."""
    values = {name: _checked_value(value) for name, value in grading.to_json().items()}
    return row_check(values | {"error": _one_line(grading.error)})


def _checked_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_checked_value(each) for each in value]
    if isinstance(value, float):
        return round(value, DIGITS)
    return value or None if isinstance(value, str) else value


def _one_line(error: str | None) -> str | None:
    return error and " ".join(error.split())


def grading_row(grading: Grading) -> dict[str, Any]:
    """Returns the row of a grading by the names of :data:`COLUMNS`."""
    probabilities = grading.probabilities or [None] * len(PROBABILITY_COLUMNS)
    row = grading.to_json() | dict(zip(PROBABILITY_COLUMNS, probabilities, strict=True))
    row["error"] = _one_line(grading.error)
    return {column: row[column] for column in COLUMNS}


def _cells(result: Result, keeps_flags: bool = False) -> list[Any]:
    """Returns the cells of a flat table; a workbook keeps truth values, where CSV has a text."""
    row = grading_row(result) if isinstance(result, Grading) else result.to_json()
    cells = [value if keeps_flags and isinstance(value, bool) else _cell(value) for value in row.values()]
    return [*cells, _check(result)] if isinstance(result, Grading) else cells


def _fields(result: Result) -> dict[str, Any]:
    """Returns the fields of a result by name, and the check of a grading."""
    return result.to_json() | ({CHECK: _check(result)} if isinstance(result, Grading) else {})


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        value = (", " if any(isinstance(each, str) for each in value) else " ").join(map(str, value))
    return protect(value) if isinstance(value, str) else value


def _parse_cells(row: dict[str, str], path: Path, place: str) -> Grading:
    values: dict[str, Any] = {}
    for column, cell in row.items():
        try:
            values[column] = _PARSERS.get(column, unprotect)(cell) if cell else None
        except ValueError as error:
            reason = str(error) if column in (*_NUMBERS, *_COUNTS, *_FLAGS) else f"{cell!r} is not what was written"
            raise _ChangedRowError(place, reason, column) from error
    probabilities = tuple(values.pop(column) for column in PROBABILITY_COLUMNS)
    values["probabilities"] = None if None in probabilities else probabilities
    values |= {name: values[name] or () for name in _LISTS_OF_TEXTS}
    values |= {name: values[name] or "" for name in ("model", "grader_digest")}
    return _checked(values, place, path)


def format_row(grading: Grading, suffix: Literal[".csv", ".jsonl"]) -> str:
    """Returns the line of a grading in a table of this format."""
    return _csv_line(_cells(grading)) if suffix == ".csv" else _json_line(grading)


def _csv_line(cells: Iterable[Any]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()


def _json_line(result: Result) -> str:
    return json.dumps(_fields(result), ensure_ascii=False) + "\n"


def _schema(kind: type[Result]) -> pa.Schema:
    """Returns the Parquet types of the fields, which do not depend on the values of the rows."""
    import pyarrow as pa

    plain = {str: pa.string(), bool: pa.bool_(), int: pa.int32(), float: pa.float64()}

    def column(hint: Any) -> pa.DataType:
        if get_origin(hint) is tuple:
            return pa.list_(plain[get_args(hint)[0]])
        if get_origin(hint) is Literal:
            return pa.string()
        return plain[hint] if hint in plain else column(get_args(hint)[0])  # the type T of an optional field

    columns = [(name, column(hint)) for name, hint in get_type_hints(kind).items()]
    return pa.schema([*columns, *([(CHECK, pa.string())] if kind is Grading else [])])
