"""Tables of gradings, written as they come and taken up again: CSV or JSON Lines, by the suffix."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import Any, Final

from retinagrade.errors import UsageError
from retinagrade.files import write_text
from retinagrade.grader.results import Grading
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.images.read import SUFFIXES

COLUMNS: Final = (
    "image_id",
    *PROBABILITY_COLUMNS,
    "predicted_grade",
    "label",
    "expected_grade",
    "referable",
    "vision_threatening",
    "confidence",
    "conformal_set",
    "refer_to_person",
    "gradable",
    "quality",
    "quality_reasons",
    "model",
    "path",
    "error",
)
"""Columns of a CSV. ``grade`` is not among them: in a predictions table, that is the right one."""


def find_photographs(places: Sequence[str]) -> dict[str, str]:
    """Files of photographs, by their ids.

    Args:
        places: Files, folders (all below them that have a photograph's suffix) and patterns such as ``*.jpg``.

    Returns:
        Paths by id: below a folder the path from there, without its suffix; else the file's name without it. Files
        that would share an id have their whole path for one.

    Raises:
        UsageError: A place with nothing in it.
    """
    found: dict[str, str] = {}  # ids by path
    for place in places:
        path = Path(place)
        if path.is_dir():
            below = sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file())
            ids = {str(each): each.relative_to(path).with_suffix("").as_posix() for each in below}
        else:
            matched = [place] if path.exists() else sorted(glob(place, recursive=True))  # noqa: PTH207  # absolute, too
            ids = {each: Path(each).stem for each in matched}
        if not ids:
            raise UsageError(f"{place}: no photograph there: give files, folders or patterns")
        found |= {each: name for each, name in ids.items() if each not in found}
    count = Counter(found.values())
    return {name if count[name] == 1 else path: path for path, name in found.items()}


class Table:
    """A file of gradings that is added to row by row; a file that is there is continued, and errors are tried again.

    Attributes:
        done: Ids of photographs that earlier calls graded.
    """

    def __init__(self, path: Path, model: str) -> None:
        """Opens or makes the file.

        Args:
            path: ``.csv`` or ``.jsonl``.
            model: Name and version of the grader file.

        Raises:
            UsageError: Another suffix, or the file is something else, or of another model.
        """
        if path.suffix not in (".csv", ".jsonl"):
            raise UsageError(f"{path}: results are a .csv or a .jsonl file")
        self._csv = path.suffix == ".csv"
        rows = _rows(path, self._csv) if path.is_file() else []
        others = {str(row.get("model")) for row in rows} - {model}
        if others:
            raise UsageError(
                f"{path} holds results of {', '.join(sorted(others))}, not of {model}: choose another file"
            )
        kept = [row for row in rows if not row.get("error")]
        self.done = {str(row["image_id"]) for row in kept}
        head = _line(COLUMNS) if self._csv else ""
        lines = [
            _line([row[column] for column in COLUMNS]) if self._csv else json.dumps(row, ensure_ascii=False) + "\n"
            for row in kept
        ]
        write_text(path, head + "".join(lines))
        self._stream = path.open("a", encoding="utf-8", newline="")

    def add(self, grading: Grading) -> None:
        """Writes a row, so that it is there whatever comes next."""
        row = grading.to_json()
        self._stream.write(_line(_cells(row)) if self._csv else json.dumps(row, ensure_ascii=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()


def _rows(path: Path, is_csv: bool) -> list[dict[str, Any]]:
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]  # a killed call may leave half a line
    try:
        if not is_csv:
            return [json.loads(line) for line in whole.split("\n") if line]
        reader = csv.DictReader(io.StringIO(whole + "\n"))
        if whole and tuple(reader.fieldnames or ()) != COLUMNS:
            raise UsageError(f"{path} is no table of gradings: choose another file")
        return list(reader)
    except ValueError as error:
        raise UsageError(f"{path} is no table of gradings ({error}): choose another file") from error


def _cells(row: dict[str, Any]) -> list[Any]:
    probabilities = row["probabilities"] or [None] * len(PROBABILITY_COLUMNS)
    further = {
        **row,
        **dict(zip(PROBABILITY_COLUMNS, probabilities, strict=True)),
        "predicted_grade": row["grade"],
        "conformal_set": None if row["conformal_set"] is None else " ".join(map(str, row["conformal_set"])),
        "quality_reasons": ", ".join(row["quality_reasons"]),
        "error": None if row["error"] is None else " ".join(row["error"].split()),
    }
    return [str(value).lower() if isinstance(value := further[column], bool) else value for column in COLUMNS]


def _line(cells: Sequence[Any]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()
