"""Tables of results in CSV, JSON Lines or Parquet; a table of gradings grows row by row and can be continued."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin, get_type_hints

from retinagrade.errors import UsageError
from retinagrade.execution.journal import Journal
from retinagrade.files import write_bytes, write_text
from retinagrade.grader.results import Grading
from retinagrade.grader.studies import StudyGrading
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.paths import is_local

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
    "study",
    "laterality",
    "model",
    "path",
    "error",
)
"""Columns of a CSV table. The grade is ``predicted_grade``: a predictions table has the true grade in ``grade``."""
_PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    **dict.fromkeys((*PROBABILITY_COLUMNS, "expected_grade", "confidence", "quality"), float),
    **dict.fromkeys(("referable", "vision_threatening", "needs_review", "gradable"), "true".__eq__),
    "predicted_grade": int,
    "prediction_set": lambda cell: tuple(map(int, cell.split())),
    "quality_reasons": lambda cell: tuple(cell.split(", ")),
}
"""Parsers of the columns of a CSV table that are not text."""


class ResultsTable:
    """A file of gradings that grows row by row. It continues an existing file and grades failed photographs again.

    A Parquet file and a file in an object store can't grow. Their rows wait in a journal ``<name>.jsonl`` beside them
    and are written at the end; while the journal exists, the file is incomplete.

    Attributes:
        earlier: Gradings of earlier calls, without failed ones.
    """

    def __init__(self, path: Path, model: str) -> None:
        """Opens or creates the file.

        Args:
            path: A ``.csv``, ``.jsonl`` or ``.parquet`` file.
            model: Name and version of the grader file.

        Raises:
            UsageError: The suffix is unknown, or the file is no table of gradings, or of another model.
            ModuleNotFoundError: Parquet needs pyarrow, which isn't installed.
        """
        require_format(path)
        self._path = path
        self._journal: Journal | None = None
        rows = _read(path) if path.is_file() else []
        if path.suffix == ".parquet" or not is_local(path):
            self._journal = Journal(path.with_name(f"{path.name}.jsonl"))
            rows += _parse_lines(self._journal.earlier, path)
        other_models = {row.model for row in rows} - {model}
        if other_models:
            raise UsageError(
                f"{path} holds results of {', '.join(sorted(other_models))}, not of {model}: choose another file"
            )
        self.earlier = [row for row in rows if row.error is None]
        self._added: list[Grading] = []
        if self._journal is None:
            write_results(path, Grading, self.earlier)
            self._stream = path.open("a", encoding="utf-8", newline="")

    def add(self, grading: Grading) -> None:
        """Writes a row to disk at once."""
        if self._journal is not None:
            self._added.append(grading)
            self._journal.add(_json_line(grading).rstrip("\n"))
            return
        self._stream.write(_csv_line(_cells(grading)) if self._path.suffix == ".csv" else _json_line(grading))
        self._stream.flush()

    def close(self) -> None:
        """Closes the file after the last row; Parquet files and files in object stores are written now."""
        if self._journal is None:
            self._stream.close()
            return
        self._journal.close()
        write_results(self._path, Grading, [*self.earlier, *self._added])
        self._journal.remove()


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
        pq.write_table(pa.Table.from_pylist([result.to_json() for result in results], _schema(kind)), stream)
        write_bytes(path, stream.getvalue())
    elif path.suffix == ".csv":
        header = COLUMNS if kind is Grading else [field.name for field in fields(kind)]
        write_text(path, "".join(map(_csv_line, [header, *map(_cells, results)])))
    else:
        write_text(path, "".join(map(_json_line, results)))


def _read(path: Path) -> list[Grading]:
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            return [Grading.from_json(row) for row in pq.read_table(io.BytesIO(path.read_bytes())).to_pylist()]
        text = path.read_text(encoding="utf-8").rpartition("\n")[0]  # a killed call may leave half a line
        if path.suffix == ".jsonl":
            return _parse_lines(text.split("\n"), path)
        reader = csv.DictReader(io.StringIO(text + "\n", newline=""))
        if text and tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError("it has different columns")
        return [_parse_cells(row) for row in reader if None not in row.values()]
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is no table of gradings ({error}): choose another file") from error


def _parse_lines(lines: Iterable[str], path: Path) -> list[Grading]:
    try:
        return [Grading.from_json(json.loads(line)) for line in lines if line]
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is no table of gradings ({error}): choose another file") from error


def grading_row(grading: Grading) -> dict[str, Any]:
    """Returns the row of a grading by the names of :data:`COLUMNS`."""
    probabilities = grading.probabilities or [None] * len(PROBABILITY_COLUMNS)
    row = grading.to_json() | dict(zip(PROBABILITY_COLUMNS, probabilities, strict=True))
    row["predicted_grade"] = grading.grade
    row["error"] = grading.error and " ".join(grading.error.split())
    return {column: row[column] for column in COLUMNS}


def _cells(result: Result) -> list[Any]:
    row = grading_row(result) if isinstance(result, Grading) else result.to_json()
    return [_cell(value) for value in row.values()]


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return (", " if any(isinstance(each, str) for each in value) else " ").join(map(str, value))
    return value


def _parse_cells(row: dict[str, str]) -> Grading:
    values = {column: _PARSERS.get(column, str)(cell) if cell else None for column, cell in row.items()}
    probabilities = tuple(values.pop(column) for column in PROBABILITY_COLUMNS)
    values["grade"] = values.pop("predicted_grade")
    values["probabilities"] = None if None in probabilities else probabilities
    values["quality_reasons"] = values["quality_reasons"] or ()
    return Grading.from_json(values)


def _csv_line(cells: Iterable[Any]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()


def _json_line(result: Result) -> str:
    return json.dumps(result.to_json(), ensure_ascii=False) + "\n"


def _schema(kind: type[Result]) -> pa.Schema:
    """Returns the Parquet types of the fields, which do not depend on the values of the rows."""
    import pyarrow as pa

    plain = {str: pa.string(), bool: pa.bool_(), int: pa.int8(), float: pa.float64()}

    def column(hint: Any) -> pa.DataType:
        if get_origin(hint) is tuple:
            return pa.list_(plain[get_args(hint)[0]])
        return plain[hint] if hint in plain else column(get_args(hint)[0])  # the type T of an optional field

    return pa.schema([(name, column(hint)) for name, hint in get_type_hints(kind).items()])
