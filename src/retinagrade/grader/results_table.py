"""Tables of results in CSV, JSON Lines or Parquet; a table of gradings grows row by row and can be continued."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin, get_type_hints

from retinagrade.cells import decode_table, parse_flag, parse_number, protect, split_table, unprotect
from retinagrade.errors import ManifestError, UsageError
from retinagrade.execution.journal import Journal, read_journal
from retinagrade.grader.results import GRADED_KINDS, Grading
from retinagrade.grader.studies import StudyGrading
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.storage.files import GrowingFile, write_bytes, write_text
from retinagrade.storage.paths import is_local, read_bytes

if TYPE_CHECKING:
    import pyarrow as pa

Result = Grading | StudyGrading
SUFFIXES: Final = (".csv", ".jsonl", ".parquet")
COLUMNS: Final = (
    "image_id",
    *PROBABILITY_COLUMNS,
    "predicted_grade",
    "label",
    "expected_grade",
    "referable",
    "vision_threatening",
    "confidence",
    "prediction_set",
    "needs_review",
    "gradable",
    "quality",
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
    "oedema_risk",
    "study",
    "laterality",
    "model",
    "grader_digest",
    "path",
    "digest",
    "error",
)
"""Columns of a CSV table. The grade is ``predicted_grade``: a predictions table has the true grade in ``grade``."""
CHECK: Final = "check"
"""Last column of a table of gradings: digits of the digest of the row, by which a changed row is known."""
_CHECK_DIGITS: Final = 12
_END_OF_ROW: Final = {
    ".csv": re.compile(rf'[,;\t"]x[0-9a-f]{{{_CHECK_DIGITS}}}"?$'),
    ".jsonl": re.compile(rf'"x[0-9a-f]{{{_CHECK_DIGITS}}}"\}}$'),
}
"""End of a whole row by suffix."""
_NUMBERS: Final = (
    *PROBABILITY_COLUMNS,
    "expected_grade",
    "confidence",
    "quality",
    "oedema_probability",
    *(f"{kind}_area" for kind in GRADED_KINDS),
)
_COUNTS: Final = ("predicted_grade", "rule_grade", "oedema_risk", *GRADED_KINDS)
_LISTS_OF_COUNTS: Final = ("prediction_set", *(f"{kind}_quadrants" for kind in GRADED_KINDS))
_LISTS_OF_TEXTS: Final = ("quality_reasons", "review_reasons")
_FLAGS: Final = ("referable", "vision_threatening", "needs_review", "gradable")
_PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    **dict.fromkeys(_NUMBERS, parse_number),
    **dict.fromkeys(_FLAGS, parse_flag),
    **dict.fromkeys(_COUNTS, int),
    **dict.fromkeys(_LISTS_OF_COUNTS, lambda cell: tuple(map(int, cell.split()))),
    **dict.fromkeys(_LISTS_OF_TEXTS, lambda cell: tuple(unprotect(cell).split(", "))),
}
"""Parsers of the columns of a CSV table that are not text."""


class ResultsTable:
    """A file of gradings that grows row by row, and continues an existing file.

    A Parquet file and a file in an object store can't grow. Their rows wait in a journal ``<name>.jsonl`` beside them
    and are written at the end; while the journal exists, the file is incomplete.

    Attributes:
        path: The file.
        earlier: Gradings of earlier calls, failed ones included. The last one of several with the same id counts.
    """

    def __init__(self, path: Path, model: str, grader_digest: str = "") -> None:
        """Reads the file, if there is one, and changes nothing.

        Args:
            path: A ``.csv``, ``.jsonl`` or ``.parquet`` file.
            model: Name and version of the grader file.
            grader_digest: SHA-256 digest of the grader file.

        Raises:
            UsageError: The suffix is unknown, or the file is no table of gradings, or of another grader file.
            ManifestError: A row or a cell was changed so that it can't be understood; the message names its line.
            ModuleNotFoundError: Parquet needs pyarrow, which isn't installed.
        """
        require_format(path)
        self.path = path
        self._grows = path.suffix != ".parquet" and is_local(path)
        self._journal_file = _journal_file(path)
        rows = _read(path) if path.is_file() else []
        if not self._grows:
            rows += _parse_lines(read_journal(self._journal_file), self._journal_file)
        _require_grader(rows, path, model, grader_digest)
        self.earlier = list({row.image_id: row for row in rows}.values())
        self._journal: Journal | None = None
        self._file: GrowingFile | None = None

    def begin(self, kept: Sequence[Grading]) -> None:
        """Replaces the file by one with these rows, to which :meth:`add` adds.

        Args:
            kept: The rows of :attr:`earlier`, perhaps changed; a later row with the same id replaces a row. A file that
                can't grow stays as it is until :meth:`finish`.
        """
        if not self._grows:
            self._journal = Journal(self._journal_file)
            return
        write_results(self.path, Grading, kept)
        self._file = GrowingFile(self.path)

    def add(self, grading: Grading) -> None:
        """Writes a row to disk at once."""
        if self._journal is not None:
            self._journal.add(_json_line(grading).rstrip("\n"))
            return
        assert self._file is not None, "begin() opens the file"
        self._file.append(_csv_line(_cells(grading)) if self.path.suffix == ".csv" else _json_line(grading))

    def finish(self, rows: Sequence[Grading]) -> None:
        """Closes the file, which then holds exactly these rows.

        Args:
            rows: All rows, in their order, which doesn't depend on interruptions.
        """
        self.close()
        write_results(self.path, Grading, rows)
        if self._journal is not None:
            self._journal.remove()

    def close(self) -> None:
        """Closes the file without its last rows, after an error."""
        if self._file is not None:
            self._file.close()
        if self._journal is not None:
            self._journal.close()


def delete_table(path: Path) -> None:
    """Deletes a table of results and its journal, so that a call begins it anew."""
    path.unlink(missing_ok=True)
    journal = Journal(_journal_file(path))
    journal.close()
    journal.remove()


def _journal_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.jsonl")


def require_format(path: Path) -> None:
    """Checks, before any work, that results can be written to a file of this name.

    Raises:
        UsageError: The suffix is unknown.
        ModuleNotFoundError: Parquet needs pyarrow, which isn't installed.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: choose a file name that ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if path.suffix == ".parquet":
        import pyarrow.parquet  # noqa: F401


def write_results(path: Path, kind: type[Result], results: Sequence[Result]) -> None:
    """Writes a whole table atomically.

    Args:
        path: A ``.csv``, ``.jsonl`` or ``.parquet`` file.
        kind: Class of the results. Its fields are the columns; a CSV table of gradings has :data:`COLUMNS` instead.
        results: The rows, perhaps none.
    """
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        stream = io.BytesIO()
        rows = [_fields(result) for result in results]
        pq.write_table(pa.Table.from_pylist(rows, _schema(kind)), stream)
        write_bytes(path, stream.getvalue())
    elif path.suffix == ".csv":
        header = [*COLUMNS, CHECK] if kind is Grading else [field.name for field in fields(kind)]
        write_text(path, "".join(map(_csv_line, [header, *map(_cells, results)])))
    else:
        write_text(path, "".join(map(_json_line, results)))


def _require_grader(rows: Iterable[Grading], path: Path, model: str, grader_digest: str) -> None:
    """Raises a UsageError where rows are results of another grader file."""
    for row in rows:
        if row.model != model:
            raise UsageError(f"{path} holds results of {row.model}, not of {model}: choose another file")
        if row.grader_digest != grader_digest:
            raise UsageError(
                f"{path} holds results of another grader file with the name {model} (its SHA-256 digest begins with "
                f"{row.grader_digest[:12]}, and now with {grader_digest[:12]}): choose another file"
            )


def _read(path: Path) -> list[Grading]:
    if path.suffix == ".parquet":
        return _read_parquet(path)
    text = decode_table(read_bytes(path), str(path))
    end = text.rfind("\n") + 1
    if _END_OF_ROW[path.suffix].search(text[end:].rstrip()):  # an editor has removed the last line break
        text, end = f"{text}\n", len(text) + 1
    if path.suffix == ".jsonl":
        return _parse_lines(text[:end].split("\n"), path)
    return _read_csv(_without_torn_row(text, end), path)


def _without_torn_row(text: str, end: int) -> str:
    """Returns the lines of a CSV table before ``end``, without half a row that a killed call has left.

    Half a row lacks its check. It may end within quotes, at a line break of a cell.
    """
    start = end
    while text.count('"', 0, start) % 2:
        start = text.rfind("\n", 0, start - 1) + 1
    is_torn = not any(map(_END_OF_ROW[".csv"].search, text[start:end].splitlines()))
    return text[: start if is_torn else end]


def _read_parquet(path: Path) -> list[Grading]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = read_bytes(path)
    try:
        rows = pq.read_table(io.BytesIO(content)).to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UsageError(f"{path} is no table of gradings ({error}): choose another file") from error
    return [_checked(row, path, f"row {number}") for number, row in enumerate(rows, start=1)]


def _parse_lines(lines: Iterable[str], path: Path) -> list[Grading]:
    gradings = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"{path} is no table of gradings (line {number} is no JSON: {error}): choose another file"
            ) from error
        gradings.append(_checked(row, path, f"line {number}"))
    return gradings


def _read_csv(text: str, path: Path) -> list[Grading]:
    if not text.strip():
        return []
    table = split_table(text, str(path))
    if sorted(table.header) != sorted((*COLUMNS, CHECK)):
        raise UsageError(f"{path} is no table of gradings (it has different columns): choose another file")
    gradings = []
    for row, line in zip(table.rows, table.lines, strict=True):
        if not any(row):
            continue
        cells = dict(zip(table.header, row, strict=False))
        if len(cells) == len(table.header):
            gradings.append(_parse_cells(cells, path, line))
        else:
            raise _changed(path, f"line {line}", f"it has {len(row)} cells instead of {len(table.header)}")
    return gradings


def _checked(row: Any, path: Path, place: str) -> Grading:
    """Returns the grading of a row that is as it was written."""
    if not isinstance(row, dict) or CHECK not in row:
        raise UsageError(f"{path} is no table of gradings ({place} has no {CHECK!r}): choose another file")
    try:
        grading = Grading.from_json({name: value for name, value in row.items() if name != CHECK})
        unchanged = row[CHECK] == row_check(grading)
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is no table of gradings ({place}: {error}): choose another file") from error
    if not unchanged:
        raise _changed(path, place, f"the row of {grading.image_id!r} is not as it was written: a cell was changed")
    return grading


def _changed(path: Path, place: str, problem: str) -> ManifestError:
    return ManifestError(f"{path}, {place}: {problem}. Undo the change, delete the row, or choose another file")


def row_check(grading: Grading) -> str:
    """Returns the check of a row: a letter, so that no spreadsheet takes it for a number, and digits of its digest."""
    values = {name: value or None if isinstance(value, str) else value for name, value in grading.to_json().items()}
    values["error"] = _one_line(grading.error)
    text = json.dumps(values, sort_keys=True)
    return f"x{hashlib.sha256(text.encode()).hexdigest()[:_CHECK_DIGITS]}"


def _one_line(error: str | None) -> str | None:
    return error and " ".join(error.split())


def grading_row(grading: Grading) -> dict[str, Any]:
    """Returns the row of a grading by the names of :data:`COLUMNS`."""
    probabilities = grading.probabilities or [None] * len(PROBABILITY_COLUMNS)
    row = grading.to_json() | dict(zip(PROBABILITY_COLUMNS, probabilities, strict=True))
    row["error"] = _one_line(grading.error)
    return {column: row[column] for column in COLUMNS}


def _cells(result: Result) -> list[Any]:
    if isinstance(result, Grading):
        return [*map(_cell, grading_row(result).values()), row_check(result)]
    return [_cell(value) for value in result.to_json().values()]


def _fields(result: Result) -> dict[str, Any]:
    """Returns the fields of a result by name, and the check of a grading."""
    return result.to_json() | ({CHECK: row_check(result)} if isinstance(result, Grading) else {})


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        value = (", " if any(isinstance(each, str) for each in value) else " ").join(map(str, value))
    return protect(value) if isinstance(value, str) else value


def _parse_cells(row: dict[str, str], path: Path, line: int) -> Grading:
    values: dict[str, Any] = {}
    for column, cell in row.items():
        try:
            values[column] = _PARSERS.get(column, unprotect)(cell) if cell else None
        except ValueError as error:
            reason = str(error) if column in (*_NUMBERS, *_FLAGS) else f"{cell!r} is not what was written"
            raise _changed(path, f"line {line}, column {column!r}", reason) from error
    probabilities = tuple(values.pop(column) for column in PROBABILITY_COLUMNS)
    values["probabilities"] = None if None in probabilities else probabilities
    values |= {name: values[name] or () for name in _LISTS_OF_TEXTS}
    values |= {name: values[name] or "" for name in ("model", "grader_digest")}
    return _checked(values, path, f"line {line}")


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
        return plain[hint] if hint in plain else column(get_args(hint)[0])  # the type T of an optional field

    columns = [(name, column(hint)) for name, hint in get_type_hints(kind).items()]
    return pa.schema([*columns, *([(CHECK, pa.string())] if kind is Grading else [])])
