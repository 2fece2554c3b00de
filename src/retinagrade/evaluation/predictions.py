"""The predictions table: five probabilities a photograph, keyed by ``image_id``, from whatever program made them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from retinagrade.errors import JoinError, ManifestError
from retinagrade.files import write_text
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS
from retinagrade.manifest import read_csv_text

COLUMNS: Final = ("image_id", *PROBABILITY_COLUMNS, "grade")
SUM_TOLERANCE: Final = 0.01
"""How far probabilities may be from a sum of 1: what rounding to two decimals costs, and less than any mistake."""
_SHOWN = 10


@dataclass(frozen=True)
class Graded:
    """The photographs of a table whose grade is known, as arrays in the order of ``image_id``.

    Attributes:
        image_ids: Ids (N,), text.
        grades: Grades (N,), int64, 0 to 4.
        probabilities: Probabilities (N, 5), float64.
        patients: Whose photograph it is (N,), int64, counted from 0; each its own patient where that isn't known.
    """

    image_ids: np.ndarray
    grades: np.ndarray
    probabilities: np.ndarray
    patients: np.ndarray

    def __len__(self) -> int:
        """The number of photographs."""
        return len(self.grades)

    @property
    def predicted(self) -> np.ndarray:
        """The grade of the largest probability (N,), the lower one of two equals."""
        predicted: np.ndarray = self.probabilities.argmax(axis=1)
        return predicted

    def rows(self, which: np.ndarray) -> Graded:
        """Some of the photographs, by a mask (N,) or by indices (M,), in that order; patients keep their numbers."""
        return Graded(self.image_ids[which], self.grades[which], self.probabilities[which], self.patients[which])


def graded(table: pd.DataFrame) -> Graded:
    """The graded photographs of a table of predictions.

    Args:
        table: Columns ``image_id``, ``p0`` … ``p4``, ``grade`` (nullable) and, where known, ``patient_id``.

    Returns:
        Arrays, in the order of ``image_id``; photographs without a grade are left out.
    """
    known = table[table["grade"].notna()].sort_values("image_id")
    ids = known["image_id"].astype(str)
    names = known["patient_id"].fillna("").astype(str) if "patient_id" in known else pd.Series("", index=known.index)
    whose = ("patient " + names).where(names != "", "photograph " + ids)
    return Graded(
        ids.to_numpy(dtype=str),
        known["grade"].to_numpy(dtype=np.int64),
        known[list(PROBABILITY_COLUMNS)].to_numpy(dtype=np.float64),
        pd.factorize(whose)[0].astype(np.int64),
    )


def read_predictions(path: Path) -> pd.DataFrame:
    """Reads and validates a predictions CSV.

    Args:
        path: Columns ``image_id``, ``p0`` … ``p4``, and ``grade`` where known. Further columns are left out.

    Returns:
        Columns :data:`COLUMNS`: text, float64 in 0 to 1, nullable integer; sorted by ``image_id``.

    Raises:
        ManifestError: Unreadable, a column is missing, or cells are wrong (named by line and column).
    """
    table = read_csv_text(path)
    missing = [column for column in COLUMNS[:-1] if column not in table.columns]
    if missing:
        raise ManifestError(
            f"{path}, line 1: no column {', '.join(map(repr, missing))}; found {', '.join(map(repr, table.columns))}. "
            f"A predictions table has {', '.join(COLUMNS[:-1])} and, where known, grade"
        )
    if table.empty:
        raise ManifestError(f"{path}: the table has no rows")
    problems: list[tuple[int, str, str]] = []
    clean = _ids(table, problems)
    for column in PROBABILITY_COLUMNS:
        clean[column] = pd.to_numeric(table[column], errors="coerce").astype(float)
        for row in clean.index[~clean[column].between(0, 1)]:
            problems.append((row, column, f"{table[column][row]!r} is not a probability from 0 to 1"))
    sums = clean[list(PROBABILITY_COLUMNS)].sum(axis=1, skipna=False)
    for row in clean.index[(sums - 1).abs() > SUM_TOLERANCE]:
        problems.append((row, "p0 … p4", f"sum to {sums[row]:.3f}, not 1"))
    clean["grade"] = _grades(table, problems)
    _refuse(problems, f"{path} is not a valid predictions table")
    return clean.sort_values("image_id", ignore_index=True)


def write_predictions(predictions: pd.DataFrame, path: Path) -> None:
    """Writes predictions as CSV, atomically, sorted by ``image_id``, with all digits.

    Args:
        predictions: Columns :data:`COLUMNS`; others are left out.
        path: The file to write.
    """
    table = predictions[list(COLUMNS)].sort_values("image_id")
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_grades(path: Path) -> pd.DataFrame:
    """Reads the grades of photographs from a CSV, such as a manifest.

    Args:
        path: Columns ``image_id`` and ``grade``; others are left out. A grade may be missing.

    Returns:
        Columns ``image_id`` (text) and ``grade`` (nullable integer).

    Raises:
        ManifestError: Unreadable, a column is missing, or cells are wrong (named by line and column).
    """
    table = read_csv_text(path)
    missing = [column for column in ("image_id", "grade") if column not in table.columns]
    if missing:
        raise ManifestError(
            f"{path}, line 1: no column {', '.join(map(repr, missing))}; found {', '.join(map(repr, table.columns))}"
        )
    problems: list[tuple[int, str, str]] = []
    clean = _ids(table, problems).assign(grade=_grades(table, problems))
    _refuse(problems, f"{path} is not a valid table of grades")
    return clean


def join(predictions: pd.DataFrame, grades: pd.DataFrame) -> pd.DataFrame:
    """Gives predictions the grades of another table; every id must be in both, once.

    Args:
        predictions: As :func:`read_predictions` returns them; a grade that they carry is replaced.
        grades: Columns ``image_id`` and ``grade``, in any order of rows.

    Returns:
        The predictions with the grades, sorted by ``image_id``.

    Raises:
        JoinError: Ids that are missing on either side, or repeated; with numbers and first names.
    """
    for name, table in (("predictions", predictions), ("grades", grades)):
        repeated = table["image_id"][table["image_id"].duplicated()]
        if len(repeated):
            raise JoinError(f"the {name} name photographs twice ({_some(repeated)}): remove the repeated rows")
    ours, theirs = set(predictions["image_id"]), set(grades["image_id"])
    problems = []
    if ours - theirs:
        problems.append(f"predictions without a grade ({_some(ours - theirs)})")
    if theirs - ours:
        problems.append(f"grades without a prediction ({_some(theirs - ours)})")
    if problems:
        raise JoinError(f"{'; '.join(problems)}: give the same photographs in both tables, no more and no fewer")
    joined = predictions.drop(columns="grade", errors="ignore").merge(
        grades[["image_id", "grade"]], on="image_id", validate="1:1"
    )
    return joined.sort_values("image_id", ignore_index=True)


def _ids(table: pd.DataFrame, problems: list[tuple[int, str, str]]) -> pd.DataFrame:
    ids = table["image_id"].str.strip()
    problems += [(row, "image_id", "is empty") for row in ids.index[ids == ""]]
    problems += [(row, "image_id", f"{ids[row]!r} is repeated") for row in ids.index[ids.duplicated() & (ids != "")]]
    return pd.DataFrame({"image_id": ids})


def _refuse(problems: list[tuple[int, str, str]], what: str) -> None:
    if problems:
        shown = [f"line {row + 2}, column {column}: {problem}" for row, column, problem in sorted(problems)]
        more = [f"… and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
        raise ManifestError("\n  ".join([f"{what}:", *shown[:_SHOWN], *more]))


def _grades(table: pd.DataFrame, problems: list[tuple[int, str, str]]) -> pd.Series:
    """Nullable grades of a table of text, with what is wrong added to ``problems``."""
    if "grade" not in table.columns:
        return pd.Series(pd.NA, index=table.index, dtype="Int64")
    text = table["grade"].str.strip()
    numbers = pd.to_numeric(text, errors="coerce")
    for row in table.index[(text != "") & ~numbers.isin(range(N_GRADES))]:
        problems.append((row, "grade", f"{text[row]!r} is not a grade 0 to {N_GRADES - 1}"))
    return numbers.where(numbers.isin(range(N_GRADES)), np.nan).astype("Int64")


def _some(ids: Iterable[str]) -> str:
    listed = sorted(map(str, ids))
    return f"{len(listed)}: {', '.join(listed[:5])}{', …' if len(listed) > 5 else ''}"
