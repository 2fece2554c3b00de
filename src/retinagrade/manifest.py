"""The manifest: a table of photographs with a unique ``image_id``, by which all stages join their tables."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.arguments import check_arguments
from retinagrade.cells import decode_table, parse_number, parse_side, protect, split_table, unprotect
from retinagrade.errors import ManifestError
from retinagrade.grades import N_GRADES, Grade
from retinagrade.messages import counted, describe_alike
from retinagrade.storage.file_names import file_key, is_safe_id
from retinagrade.storage.files import write_text
from retinagrade.storage.paths import as_path, join_path, table_path_problem

REQUIRED: Final = ("image_id", "path")
OPTIONAL: Final = ("grade", "patient_id", "laterality", "split", "dataset")
MANIFEST_COLUMNS: Final = REQUIRED + OPTIONAL
OEDEMA_RISK: Final = "oedema_risk"
"""Further column of data sets that have it: the risk of macular oedema. 0: no hard exudates; 1: exudates farther than
one diameter of the optic disc from the fovea; 2: nearer ones."""
_SHOWN = 10
_FIRST_ROWS: Final = 5
"""Rows that a notebook shows."""


@dataclass(frozen=True, repr=False)
class Manifest:
    """A validated table of photographs; ``Manifest.read("manifest.csv")`` reads one.

    Attributes:
        table: One row for each photograph. ``image_id`` and ``path`` are never missing; ``grade`` (nullable integer 0
            to 4), ``patient_id``, ``laterality`` (``L`` or ``R``), ``split`` and ``dataset`` may be missing in any row.
            Further columns are kept as text.
        root: Folder that relative paths start from.
    """

    table: pd.DataFrame
    root: Path

    @classmethod
    def from_table(cls, table: pd.DataFrame, root: Path, source: str, first_line: int = 2) -> Manifest:
        """Validates a table and makes a manifest of it.

        Args:
            table: Columns ``image_id`` and ``path``, and any others; missing ones of :data:`MANIFEST_COLUMNS` are added
                without values. Cells are text, or numbers in ``grade``; empty text and NaN are missing values.
            root: Folder that relative paths start from.
            source: Name of the table in messages, usually the path of its file.
            first_line: Line of the first row in that file.

        Raises:
            ManifestError: Columns are missing, or cells are invalid; the message names line and column of each.
        """
        missing = [column for column in REQUIRED if column not in table.columns]
        if missing:
            raise ManifestError(
                f"{source}, line {first_line - 1}: no column {' and '.join(map(repr, missing))}; "
                f"found {', '.join(map(repr, table.columns))}"
            )
        if table.empty:
            raise ManifestError(f"{source}: the table has no rows")
        clean = table.reset_index(drop=True).copy()
        for column in MANIFEST_COLUMNS:
            if column not in clean.columns:
                clean[column] = pd.NA
        extra = [column for column in clean.columns if column not in MANIFEST_COLUMNS]
        clean = clean[[*MANIFEST_COLUMNS, *extra]]
        problems: list[tuple[int, str, str]] = []
        for column in [c for c in clean.columns if c != "grade"]:
            text = clean[column].astype("string").str.strip()
            clean[column] = text.mask(text == "", pd.NA)
        grades, bad_grades = _parse_grades(clean["grade"])
        clean["grade"] = grades
        problems += [(row, "grade", f"{value!r} is not a grade 0 to {N_GRADES - 1}") for row, value in bad_grades]
        clean["laterality"] = clean["laterality"].map(_side, na_action="ignore").astype("string")
        problems += _problems(clean)
        for row, path in clean["path"].dropna().items():
            if problem := table_path_problem(str(path), root):
                problems.append((int(str(row)), "path", f"{str(path)!r} {problem}"))
        if problems:
            shown = [f"line {first_line + row}, column {column!r}: {text}" for row, column, text in sorted(problems)]
            more = [f"… and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
            raise ManifestError("\n  ".join([f"{source} is not a valid manifest:", *shown[:_SHOWN], *more]))
        return cls(clean, root)

    @classmethod
    @check_arguments()
    def read(cls, path: str | os.PathLike[str]) -> Manifest:
        """Reads and validates a manifest CSV; relative photograph paths start from the CSV's folder.

        Raises:
            ManifestError: The file can't be read, or cells are invalid; the message names line and column of each.
        """
        file = as_path(path)
        table = read_csv_text(file)
        return cls.from_table(table, file.parent, str(file), first_line=2 + int(table.index.min()) if len(table) else 2)

    @check_arguments()
    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the table as CSV, atomically."""
        write_text(as_path(path), self._csv())

    def digest(self) -> str:
        """Returns the SHA-256 digest, in hexadecimal, of the file that :meth:`write` makes."""
        return hashlib.sha256(self._csv().encode("utf-8")).hexdigest()

    def _csv(self) -> str:
        return protect_text(self.table).to_csv(index=False, lineterminator="\n")

    def file(self, path: str) -> Path:
        """Returns a photograph's path from a cell of column ``path``: relative to the root, absolute, or a URL."""
        return join_path(self.root, path)

    def graded(self) -> Manifest:
        """Returns the photographs with a grade."""
        return Manifest(self.table[self.table["grade"].notna()].reset_index(drop=True), self.root)

    def split(self, name: str) -> Manifest:
        """Returns the photographs of one split.

        Raises:
            ManifestError: No photograph is in that split; the message lists the splits of the manifest.
        """
        chosen = self.table[self.table["split"] == name]
        if chosen.empty:
            splits = sorted(self.table["split"].dropna().unique())
            hint = f"it has {', '.join(splits)}" if splits else "run `retinagrade split` first"
            raise ManifestError(f"the manifest in {self.root} has no photograph in split {name!r}: {hint}")
        return Manifest(chosen.reset_index(drop=True), self.root)

    def __len__(self) -> int:
        """Returns the number of photographs."""
        return len(self.table)

    def __repr__(self) -> str:
        """Returns counts of photographs, grades, patients and splits, and the root."""
        return "\n  ".join([f"Manifest of {counted(len(self), 'photograph')} in {self.root}", *self._summary()])

    def _repr_html_(self) -> str:
        """Returns the counts and the first rows, for notebooks."""
        lines = "<br>".join(map(escape, repr(self).split("\n")))
        columns = [column for column in self.table.columns if self.table[column].notna().any()]
        return f"<p>{lines}</p>{self.table[columns].head(_FIRST_ROWS).to_html(na_rep='')}"

    def _summary(self) -> list[str]:
        lines = []
        for column, name in (("grade", "grades"), ("split", "splits"), ("dataset", "data sets")):
            cells = self.table[column].dropna()
            if len(cells):
                counts = [f"{count} {value}" for value, count in cells.value_counts().sort_index().items()]
                if column == "grade":
                    counts = [f"{(cells == grade).sum()} {grade.label}" for grade in Grade]
                lines.append(f"{name}: {', '.join(counts)}")
        if ungraded := int(self.table["grade"].isna().sum()):
            lines.append(f"without a grade: {ungraded}")
        if self.table["patient_id"].notna().any():
            lines.append(f"patients: {self.table['patient_id'].nunique()}")
        return lines


def read_csv_text(path: Path) -> pd.DataFrame:
    """Reads a CSV with every cell as text, so that no id loses a leading zero and no blank becomes a number.

    Args:
        path: A text file with one header line, with any line ends, in an encoding and with a delimiter that
            :mod:`retinagrade.cells` recognises.

    Returns:
        A table of strings; empty cells are ``""``. White space around column names is removed. Blank lines are kept as
        empty rows, so that the row with the index ``i`` is line ``i + 2`` of the file. Text that
        :func:`~retinagrade.cells.protect` kept from being a formula is as before.

    Raises:
        ManifestError: The file is missing, empty or no text, its encoding is not certain, or lines have more cells than
            the header.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        remedy = "`retinagrade prepare` writes it" if path.name == "manifest.csv" else "check its name and folder"
        raise ManifestError(f"{path}: no such file: {remedy}") from None
    except IsADirectoryError:
        raise ManifestError(f"{path} is a folder: name a CSV file in it") from None
    except OSError as error:
        raise ManifestError(f"{path}: not a readable CSV table: {error.strerror or error}") from error
    text = split_table(decode_table(data, str(path)), str(path))
    width = len(text.header)
    rows = [[*map(unprotect, row), *[""] * (width - len(row))] for row in text.rows]
    while rows and not any(rows[-1]):
        rows.pop()
    index = pd.RangeIndex(text.first_line - 2, text.first_line - 2 + len(rows))
    return pd.DataFrame(rows, index, pd.Index(text.header), dtype=str)


def protect_text(table: pd.DataFrame) -> pd.DataFrame:
    """Returns a table whose text no spreadsheet takes for formulas; see :func:`~retinagrade.cells.protect`."""
    texts = [column for column in table.columns if pd.api.types.is_string_dtype(table[column])]
    return table.assign(**{column: table[column].map(protect, na_action="ignore") for column in texts})


def _side(cell: str) -> str:
    """Returns L or R; any other text unchanged."""
    try:
        return parse_side(cell)
    except ValueError:
        return cell


def _parse_grades(cells: pd.Series) -> tuple[pd.Series, list[tuple[int, str]]]:
    grades: list[int | None] = []
    bad: list[tuple[int, str]] = []
    for row, cell in enumerate(cells):
        text = "" if pd.isna(cell) else str(cell).strip()
        if not text:
            grades.append(None)
            continue
        try:
            number = parse_number(text)
        except ValueError:
            number = math.nan
        if number in range(N_GRADES):
            grades.append(int(number))
        else:
            grades.append(None)
            bad.append((row, text))
    return pd.Series(grades, dtype="Int64"), bad


def _problems(table: pd.DataFrame) -> list[tuple[int, str, str]]:
    """Returns row, column and description of each invalid cell."""
    problems: list[tuple[int, str, str]] = []
    for column in REQUIRED:
        problems += [(int(row), column, "is empty") for row in table.index[table[column].isna()]]
        problems += _repeated(table[column])
    ids = table["image_id"]
    problems += _alike(ids)
    for row, value in ids.dropna().items():
        if not is_safe_id(str(value)):
            problems.append((int(str(row)), "image_id", f"{value!r} can't be a file name"))
    sides = table["laterality"]
    for row in table.index[sides.notna() & ~sides.isin(["L", "R"])]:
        problems.append((int(row), "laterality", f"{sides[row]!r} is neither L nor R"))
    return problems


def _repeated(cells: pd.Series) -> list[tuple[int, str, str]]:
    """Returns cells that repeat an earlier row. A file with two ids could have two grades, or be in two splits."""
    first = {str(value): int(str(row)) for row, value in reversed(list(cells.dropna().items()))}
    return [
        (int(row), str(cells.name), f"{cells[row]!r} is already in row {first[str(cells[row])] + 1}")
        for row in cells.index[cells.notna() & cells.duplicated()]
    ]


def _alike(ids: pd.Series) -> list[tuple[int, str, str]]:
    """Returns ids that differ from an earlier one in case or in the Unicode form only."""
    known = ids.dropna().drop_duplicates()
    keys = known.map(file_key)
    first = dict(reversed([*zip(keys, known.index, strict=True)]))
    pairs = [(int(row), str(known[row]), str(known[first[keys[row]]])) for row in keys.index[keys.duplicated()]]
    return [
        (row, "image_id", f"{one!r} and {other!r}{describe_alike((one, other))} are one file on some disks")
        for row, one, other in pairs
    ]
