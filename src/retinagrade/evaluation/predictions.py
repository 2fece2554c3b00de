"""The predictions table: five probabilities a photograph, keyed by ``image_id``, from whatever program made them."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from retinagrade.errors import JoinError, ManifestError
from retinagrade.files import write_text
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS
from retinagrade.manifest import read_csv_text

PREDICTION_COLUMNS: Final = ("image_id", *PROBABILITY_COLUMNS, "grade")
SUM_TOLERANCE: Final = 0.01
"""How far probabilities may be from a sum of 1: what rounding to two decimals costs, and less than any mistake."""
LINE_COLUMN: Final = "line"
"""Column of the line (int64, from 2) that a row has in its file, for the checks of order; nothing is joined by it."""
GRADES_LINE_COLUMN: Final = "grades_line"
"""The same of the table that the grades come from."""
_SHOWN = 10


@dataclass(frozen=True)
class GradedPredictions:
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

    def rows(self, which: np.ndarray) -> GradedPredictions:
        """Some of the photographs, by a mask (N,) or by indices (M,), in that order; patients keep their numbers."""
        return GradedPredictions(
            self.image_ids[which], self.grades[which], self.probabilities[which], self.patients[which]
        )


def graded_predictions(table: pd.DataFrame) -> GradedPredictions:
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
    return GradedPredictions(
        ids.to_numpy(dtype=str),
        known["grade"].to_numpy(dtype=np.int64),
        known[list(PROBABILITY_COLUMNS)].to_numpy(dtype=np.float64),
        pd.factorize(whose)[0].astype(np.int64),
    )


def read_prediction_rows(path: Path) -> pd.DataFrame:
    """Reads a predictions CSV as it stands: an id may be repeated, and probabilities may not sum to 1.

    Args:
        path: Columns ``image_id``, ``p0`` … ``p4``, and ``grade`` where known.

    Returns:
        Columns :data:`PREDICTION_COLUMNS` (text, float64 in 0 to 1, nullable integer), :data:`LINE_COLUMN`, and the file's further
        columns as text; in the order of the file. A further column that is called like one of ours is left out.

    Raises:
        ManifestError: Unreadable, empty, a column is missing, or cells are wrong (named by line and column).
    """
    table = read_csv_text(path)
    missing = [column for column in PREDICTION_COLUMNS[:-1] if column not in table.columns]
    if missing:
        raise ManifestError(
            f"{path}, line 1: no column {', '.join(map(repr, missing))}; found {', '.join(map(repr, table.columns))}. "
            f"A predictions table has {', '.join(PREDICTION_COLUMNS[:-1])} and, where known, grade"
        )
    if table.empty:
        raise ManifestError(f"{path}: the table has no rows")
    problems: list[tuple[int, str, str]] = []
    clean = _ids(table, problems)
    for column in PROBABILITY_COLUMNS:
        clean[column] = pd.to_numeric(table[column], errors="coerce").astype(float)
        for row in clean.index[~clean[column].between(0, 1)]:
            problems.append((row, column, f"{table[column][row]!r} is not a probability from 0 to 1"))
    for row in clean.index[_sums(clean) == 0]:
        problems.append((row, "p0 … p4", "are all 0"))
    clean["grade"] = _grades(table, problems)
    _refuse(problems, f"{path} is not a valid predictions table", _scale_hint(clean))
    clean[LINE_COLUMN] = np.arange(len(clean)) + 2
    return clean.join(_further(table, clean.columns))


def tidy_predictions(rows: pd.DataFrame) -> pd.DataFrame:
    """Every photograph once, with probabilities that sum to 1.

    Of rows with the same id the first one counts. Probabilities whose sum is further from 1 than
    :data:`SUM_TOLERANCE` are divided by it. Nothing of this is silent where :func:`check_rows` is asked.

    Args:
        rows: As :func:`read_prediction_rows` returns them.

    Returns:
        The same columns, sorted by ``image_id``.
    """
    table = rows.drop_duplicates("image_id").sort_values("image_id", ignore_index=True)
    columns = list(PROBABILITY_COLUMNS)
    off = find_wrong_sums(table)
    table.loc[off.index, columns] = table.loc[off.index, columns].div(off, axis=0)
    return table


def find_wrong_sums(rows: pd.DataFrame) -> pd.Series:
    """The sums of probabilities that are further from 1 than :data:`SUM_TOLERANCE`, by the index of their rows."""
    sums = _sums(rows)
    return sums[(sums - 1).abs() > SUM_TOLERANCE]


def read_predictions(path: Path) -> pd.DataFrame:
    """Reads a predictions CSV: :func:`read_prediction_rows`, made :func:`tidy_predictions`.

    Args:
        path: Columns ``image_id``, ``p0`` … ``p4``, and ``grade`` where known. Further columns are kept as text.

    Returns:
        Columns :data:`PREDICTION_COLUMNS` (text, float64 in 0 to 1, nullable integer), :data:`LINE_COLUMN`, and the further ones;
        sorted by ``image_id``, which is unique.

    Raises:
        ManifestError: As for :func:`read_prediction_rows`.
    """
    return tidy_predictions(read_prediction_rows(path))


def write_predictions(predictions: pd.DataFrame, path: Path) -> None:
    """Writes predictions as CSV, atomically, sorted by ``image_id``, with all digits.

    Args:
        predictions: Columns :data:`PREDICTION_COLUMNS`; others are left out.
        path: The file to write.
    """
    table = predictions[list(PREDICTION_COLUMNS)].sort_values("image_id")
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_grades(path: Path) -> pd.DataFrame:
    """Reads the grades of photographs from a CSV, such as a manifest.

    Args:
        path: Columns ``image_id`` and ``grade``; others are kept as text. A grade may be missing.

    Returns:
        Columns ``image_id`` (text), ``grade`` (nullable integer), :data:`GRADES_LINE_COLUMN`, and the further ones, in the
        order of the file.

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
    ids = clean["image_id"]
    problems += [(row, "image_id", f"{ids[row]!r} is repeated") for row in ids.index[ids.duplicated() & (ids != "")]]
    _refuse(problems, f"{path} is not a valid table of grades")
    clean[GRADES_LINE_COLUMN] = np.arange(len(clean)) + 2
    return clean.join(_further(table, {*PREDICTION_COLUMNS, LINE_COLUMN, GRADES_LINE_COLUMN}))


def join_grades(predictions: pd.DataFrame, grades: pd.DataFrame) -> pd.DataFrame:
    """Gives predictions the grades of another table; every id must be in both, once.

    Args:
        predictions: As :func:`read_predictions` returns them; a grade that they carry is replaced.
        grades: Columns ``image_id`` and ``grade``, in any order of rows. Further columns that the predictions don't
            have come along.

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
    kept = predictions.drop(columns="grade", errors="ignore")
    brought = ["image_id", *(column for column in grades.columns if column not in kept)]
    joined = kept.merge(grades[brought], on="image_id", validate="1:1")
    return joined.sort_values("image_id", ignore_index=True)


def _ids(table: pd.DataFrame, problems: list[tuple[int, str, str]]) -> pd.DataFrame:
    ids = table["image_id"].str.strip()
    problems += [(row, "image_id", "is empty") for row in ids.index[ids == ""]]
    return pd.DataFrame({"image_id": ids})


def _further(table: pd.DataFrame, ours: Container[str]) -> pd.DataFrame:
    """The columns of a table of text that are not ours; empty cells are missing."""
    further = {column: table[column].astype("string").str.strip() for column in table.columns if column not in ours}
    stripped = pd.DataFrame(further, index=table.index)
    return stripped.replace("", pd.NA)


def _sums(table: pd.DataFrame) -> pd.Series:
    return table[list(PROBABILITY_COLUMNS)].sum(axis=1, skipna=False)


def _scale_hint(clean: pd.DataFrame) -> str:
    """What numbers that are no probabilities may be instead."""
    numbers = clean[list(PROBABILITY_COLUMNS)]
    outside = ((numbers < 0) | (numbers > 1)).any(axis=1)
    if outside.mean() < 0.5:
        return ""
    if (numbers >= 0).all(axis=None) and (_sums(clean) - 100).abs().median() < 100 * SUM_TOLERANCE:
        return "They look like percentages: divide them by 100"
    return "They look like raw outputs of a network (logits): apply softmax first"


def _refuse(problems: list[tuple[int, str, str]], what: str, hint: str = "") -> None:
    if problems:
        shown = [f"line {row + 2}, column {column}: {problem}" for row, column, problem in sorted(problems)]
        more = [f"… and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
        raise ManifestError("\n  ".join([f"{what}:", *shown[:_SHOWN], *more, *([hint] if hint else [])]))


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
