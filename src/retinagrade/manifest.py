"""The manifest: one table of photographs, keyed by ``image_id``, that every stage reads and none pairs by position."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import pandas as pd

from retinagrade.errors import ManifestError
from retinagrade.files import write_text
from retinagrade.grades import N_GRADES
from retinagrade.paths import join_path

REQUIRED: Final = ("image_id", "path")
OPTIONAL: Final = ("grade", "patient_id", "laterality", "split", "dataset")
MANIFEST_COLUMNS: Final = REQUIRED + OPTIONAL
_SHOWN = 10
_RESERVED = frozenset('<>:"\\|?*')


@dataclass(frozen=True)
class Manifest:
    """A validated table of photographs.

    Attributes:
        table: One row a photograph. ``image_id`` and ``path`` are always there; ``grade`` (nullable integer 0 to
            4), ``patient_id``, ``laterality`` (``L`` or ``R``), ``split`` and ``dataset`` may be missing in any
            row. Further columns are kept as text.
        root: The folder that relative paths start from.
    """

    table: pd.DataFrame
    root: Path

    @classmethod
    def from_table(cls, table: pd.DataFrame, root: Path, source: str, first_line: int = 2) -> Manifest:
        """Validates a table and makes it a manifest.

        Args:
            table: At least ``image_id`` and ``path``; other columns of :data:`MANIFEST_COLUMNS` are added empty. Cells are
                text, or numbers in ``grade``; empty text and NaN mean "missing".
            root: The folder that relative paths start from.
            source: What error messages call the table, usually its file's path.
            first_line: The line of the first row in that file.

        Raises:
            ManifestError: With every bad cell's line and column, or the missing columns.
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
        clean["laterality"] = clean["laterality"].str.upper().replace({"LEFT": "L", "RIGHT": "R"})
        problems += _problems(clean)
        if problems:
            shown = [f"line {first_line + row}, column {column!r}: {what}" for row, column, what in sorted(problems)]
            more = [f"… and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
            raise ManifestError("\n  ".join([f"{source} is not a valid manifest:", *shown[:_SHOWN], *more]))
        return cls(clean, root)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Reads and validates a manifest CSV; relative photograph paths start from the CSV's folder.

        Raises:
            ManifestError: The file can't be read, or a cell is wrong (named by line and column).
        """
        return cls.from_table(read_csv_text(path), path.parent, str(path))

    def write(self, path: Path) -> None:
        """Writes the table as CSV, atomically."""
        write_text(path, self._csv())

    def digest(self) -> str:
        """The SHA-256 digest, in hexadecimal, of the file that :meth:`write` makes."""
        return hashlib.sha256(self._csv().encode("utf-8")).hexdigest()

    def _csv(self) -> str:
        return self.table.to_csv(index=False, lineterminator="\n")

    def file(self, path: str) -> Path:
        """The place of a photograph, from a cell of column ``path``: relative to the root, absolute, or a URL."""
        return join_path(self.root, path)

    def graded(self) -> Manifest:
        """Only the photographs whose grade is known."""
        return Manifest(self.table[self.table["grade"].notna()].reset_index(drop=True), self.root)

    def split(self, name: str) -> Manifest:
        """Only the photographs of one split.

        Raises:
            ManifestError: No photograph is in that split; the message lists the splits there are.
        """
        chosen = self.table[self.table["split"] == name]
        if chosen.empty:
            there = sorted(self.table["split"].dropna().unique())
            hint = f"it has {', '.join(there)}" if there else "run `retinagrade split` first"
            raise ManifestError(f"the manifest in {self.root} has no photograph in split {name!r}: {hint}")
        return Manifest(chosen.reset_index(drop=True), self.root)

    def __len__(self) -> int:
        """The number of photographs."""
        return len(self.table)


def read_csv_text(path: Path) -> pd.DataFrame:
    """Reads a CSV with every cell as text, so that no id loses a leading zero and no blank becomes a number.

    Args:
        path: A UTF-8 file with one header line, with or without a byte-order mark; any line ends.

    Returns:
        A table of strings; empty cells are ``""``. Column names are stripped of white space. Blank lines are
        kept as empty rows, so that row ``i`` is line ``i + 2`` of the file.

    Raises:
        ManifestError: The file is missing, empty, not UTF-8, or lines have more cells than the header.
    """
    try:
        with path.open("rb") as stream:
            table = pd.read_csv(stream, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False)
    except FileNotFoundError:
        raise ManifestError(f"{path}: no such file") from None
    except pd.errors.EmptyDataError:
        raise ManifestError(f"{path}: the file is empty: a table has a header line and a line a photograph") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        raise ManifestError(f"{path}: not a readable CSV table: {error}") from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes cells without a header for row names
        raise ManifestError(f"{path}: not a readable CSV table: lines have more cells than the header has columns")
    table.columns = [str(column).strip() for column in table.columns]
    while len(table) and (table.iloc[-1].fillna("") == "").all():
        table = table.iloc[:-1]
    return table.fillna("")


def _parse_grades(cells: pd.Series) -> tuple[pd.Series, list[tuple[int, str]]]:
    grades: list[int | None] = []
    bad: list[tuple[int, str]] = []
    for row, cell in enumerate(cells):
        text = "" if pd.isna(cell) else str(cell).strip()
        if not text:
            grades.append(None)
            continue
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if number in range(N_GRADES):
            grades.append(int(number))
        else:
            grades.append(None)
            bad.append((row, text))
    return pd.Series(grades, dtype="Int64"), bad


def _problems(table: pd.DataFrame) -> list[tuple[int, str, str]]:
    found: list[tuple[int, str, str]] = []
    for column in REQUIRED:
        found += [(int(row), column, "is empty") for row in table.index[table[column].isna()]]
        found += _repeated(table[column])
    ids = table["image_id"]
    for row, value in ids.dropna().items():
        if not _safe_id(str(value)):
            found.append((int(str(row)), "image_id", f"{value!r} can't be a file name"))
    sides = table["laterality"]
    for row in table.index[sides.notna() & ~sides.isin(["L", "R"])]:
        found.append((int(row), "laterality", f"{sides[row]!r} is neither L nor R"))
    return found


def _repeated(cells: pd.Series) -> list[tuple[int, str, str]]:
    """Cells that stand in an earlier row. One file under two ids could have two grades, or lie in two splits."""
    first = {str(value): int(str(row)) for row, value in reversed(list(cells.dropna().items()))}
    return [
        (int(row), str(cells.name), f"{cells[row]!r} stands already in row {first[str(cells[row])] + 1}")
        for row in cells.index[cells.notna() & cells.duplicated()]
    ]


def _safe_id(image_id: str) -> bool:
    """Ids name the prepared files, so they must stay inside the set's folder on every system."""
    parts = PurePosixPath(image_id).parts
    return (
        not image_id.startswith("/")
        and not _RESERVED & set(image_id)
        and image_id.isprintable()
        and all(part not in ("..", ".") and not part.startswith(".") for part in parts)
    )
