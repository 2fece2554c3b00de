"""The predictions table: five probabilities for each photograph, keyed by ``image_id``, from any program."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade.cells import parse_number
from retinagrade.errors import JoinError, ManifestError
from retinagrade.evaluation.text_table import read_text_table
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS
from retinagrade.gradings.table import read_gradings
from retinagrade.manifest import OEDEMA_RISK, protect_text
from retinagrade.messages import count_and_first_few, describe_alike
from retinagrade.row_check import CHECK, count_changed, is_check, row_check
from retinagrade.storage.files import write_text
from retinagrade.storage.output_guard import FOLDER_RECORD

PREDICTION_COLUMNS: Final = ("image_id", *PROBABILITY_COLUMNS, "grade")
"""Columns of a predictions table."""
SUM_TOLERANCE: Final = 0.01
"""Largest distance of a sum of probabilities from 1: rounding to two decimals stays below it, mistakes don't."""
LINE_COLUMN: Final = "line"
"""Name of the column with the line (int64, from 2) of a row in its file, for the checks of order; no join uses it."""
GRADES_LINE_COLUMN: Final = "grades_line"
"""Name of the column with the line of a row in the table of grades."""
NO_GRADE_COLUMN: Final = "no_grade"
"""Name of the column with the reason why ``retinagrade grade`` gave no grade, in the rows of its tables only."""
_RESULT_COLUMNS: Final = {"predicted_grade", "quality_reasons", "study", "error"}
"""Columns by which a table of results is known."""
_CHECKED_DECIMALS: Final = 4
"""Decimals of probabilities that a check depends on. Spreadsheets save nine or ten, and round the last one."""
_SHOWN: Final = 10
_Problem = tuple[int, str, str]
"""A row number, a column and the problem there."""


@dataclass(frozen=True)
class GradedPredictions:
    """Predictions of photographs with known grades, as arrays in the order of ``image_id``.

    Attributes:
        image_ids: Ids (N,).
        grades: Grades (N,), 0 to 4.
        probabilities: Probabilities (N, 5).
        patients: Number of the patient of each photograph (N,), from 0. A photograph without a known patient is a
            patient of its own.
    """

    image_ids: NDArray[np.str_]
    grades: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    patients: NDArray[np.int64]

    def __len__(self) -> int:
        """Returns the number of photographs."""
        return len(self.grades)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Predicted grade (N,): the grade with the largest probability, the lower one of two equals."""
        predicted: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return predicted

    def rows(self, selection: NDArray[Any]) -> GradedPredictions:
        """Returns the photographs of a mask (N,) or of indices (M,), in that order; patients keep their numbers."""
        return GradedPredictions(
            self.image_ids[selection], self.grades[selection], self.probabilities[selection], self.patients[selection]
        )


def graded_predictions(table: pd.DataFrame) -> GradedPredictions:
    """Returns the graded photographs of a predictions table.

    Args:
        table: Columns ``image_id``, ``p0`` … ``p4``, ``grade`` (nullable) and, where known, ``patient_id``.

    Returns:
        Arrays, in the order of ``image_id``; photographs without a grade are left out.
    """
    graded = table[table["grade"].notna()].sort_values("image_id")
    return GradedPredictions(
        graded["image_id"].to_numpy(dtype=str),
        graded["grade"].to_numpy(dtype=np.int64),
        graded[list(PROBABILITY_COLUMNS)].to_numpy(dtype=np.float64),
        patient_numbers(graded),
    )


def patient_numbers(table: pd.DataFrame) -> NDArray[np.int64]:
    """Numbers the patients of photographs (N,) from 0; a photograph without a known patient has one of its own.

    Args:
        table: Columns ``image_id`` and, where known, ``patient_id``.
    """
    ids = table["image_id"].astype(str)
    names = table["patient_id"].fillna("").astype(str) if "patient_id" in table else pd.Series("", index=table.index)
    patients = ("patient " + names).where(names != "", "photograph " + ids)
    return pd.factorize(patients)[0].astype(np.int64)


def read_prediction_rows(path: Path) -> pd.DataFrame:
    """Reads the rows of a predictions file unchanged: ids may repeat, and probabilities may not sum to 1.

    Args:
        path: A CSV file, or a file ``.jsonl``, ``.parquet`` or ``.xlsx``, with ``image_id``, ``p0`` … ``p4``, and
            ``grade`` where known; or a table of results of ``retinagrade grade``.

    Returns:
        Columns :data:`PREDICTION_COLUMNS` (text, float64 in 0 to 1, nullable integer), :data:`LINE_COLUMN`, and the
        further columns of the file as text, in the order of the file. Further columns with a name that this module
        uses are left out. A table of results also has :data:`NO_GRADE_COLUMN`; its rows with a reason may lack
        probabilities, and its studies are the patients.

    Raises:
        ManifestError: The file is unreadable or empty, a column is missing, cells are invalid (named by line and
            column), or a row of a table that retinagrade wrote has been changed.
        UsageError: The file is Parquet or Excel, and its package isn't installed.
    """
    if path.is_dir() and (tables := sorted(path.glob("predictions/*.csv"))):
        raise ManifestError(f"{path} is a folder with tables of predictions: name one, such as {tables[-1]}")
    table = read_text_table(path)
    missing = [column for column in PREDICTION_COLUMNS[:-1] if column not in table.columns]
    if missing:
        raise ManifestError(
            f"{path}, line 1: no column {', '.join(map(repr, missing))}; found {', '.join(map(repr, table.columns))}. "
            f"A predictions table has {', '.join(PREDICTION_COLUMNS[:-1])} and, where known, grade"
        )
    if table.empty:
        raise ManifestError(f"{path}: the table has no rows")
    if {*table.columns} >= _RESULT_COLUMNS:
        if CHECK in table:
            read_gradings(path, further_columns=True)  # which refuses changed rows
        table = _name_ungraded(table)
    problems: list[_Problem] = []
    clean = _ids(table, problems)
    for column in PROBABILITY_COLUMNS:
        clean[column] = _numbers(table[column])
    given = ~_may_lack_probabilities(table)
    for column in PROBABILITY_COLUMNS:
        for row in clean.index[given & ~clean[column].between(0, 1)]:
            problems.append((row, column, f"{table[column][row]!r} is not a probability from 0 to 1"))
    for row in clean.index[given & (_sums(clean) == 0)]:
        problems.append((row, "p0 … p4", "are all 0"))
    clean["grade"] = _grades(table, problems)
    hint = _scale_hint(clean) or _count_hint(table)
    _raise_problems(problems, f"{path} is not a valid predictions table", hint)
    if CHECK in table and not {*table.columns} >= _RESULT_COLUMNS:
        _require_unchanged(clean, table[CHECK], path)
    elif path.parent.name == "predictions" and (path.parent.parent / FOLDER_RECORD).is_file():
        raise ManifestError(
            f"{path}: no column {CHECK!r}, which every table of predictions in the folder of a run has: predict again, "
            "or keep a table of your own elsewhere"
        )
    clean[LINE_COLUMN] = clean.index.to_numpy() + 2
    return clean.join(_further_columns(table, {*clean.columns, CHECK}))


def tidy_predictions(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns one row for each photograph, with probabilities that sum to 1.

    Photographs to which ``retinagrade grade`` gave no grade are left out. The first of several rows with the same id
    counts. Probabilities whose sum is further from 1 than
    :data:`SUM_TOLERANCE` are divided by it. :func:`~retinagrade.evaluation.integrity.checks.check_rows` reports all
    three.

    Args:
        rows: The rows of a file, from :func:`read_prediction_rows`.

    Returns:
        The same columns, sorted by ``image_id``.
    """
    usable = rows.drop(find_ungraded(rows).index).drop(columns=NO_GRADE_COLUMN, errors="ignore")
    table = usable.drop_duplicates("image_id").sort_values("image_id", ignore_index=True)
    columns = list(PROBABILITY_COLUMNS)
    off = find_wrong_sums(table)
    table.loc[off.index, columns] = table.loc[off.index, columns].div(off, axis=0)
    return table


def find_wrong_sums(rows: pd.DataFrame) -> pd.Series:
    """Returns the sums of probabilities further from 1 than :data:`SUM_TOLERANCE`, by the index of the rows."""
    sums = _sums(rows).dropna()
    return sums[(sums - 1).abs() > SUM_TOLERANCE]


def find_ungraded(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows to which ``retinagrade grade`` gave no grade, with the reason in :data:`NO_GRADE_COLUMN`."""
    return rows[rows[NO_GRADE_COLUMN].notna()] if NO_GRADE_COLUMN in rows else rows[:0]


def read_predictions(path: Path) -> pd.DataFrame:
    """Reads a predictions file: one row for each photograph, with probabilities that sum to 1.

    Args:
        path: A file as for :func:`read_prediction_rows`. Further columns are kept as text.

    Returns:
        The columns of :func:`read_prediction_rows`, as :func:`tidy_predictions` returns them: sorted by ``image_id``,
        which is unique.

    Raises:
        ManifestError: As for :func:`read_prediction_rows`.
    """
    return tidy_predictions(read_prediction_rows(path))


def write_predictions(predictions: pd.DataFrame, path: Path, further: Sequence[str] = ()) -> None:
    """Writes predictions as CSV, atomically, sorted by ``image_id``, with all digits and a check of each row.

    Args:
        predictions: Columns :data:`PREDICTION_COLUMNS`; other columns are left out.
        path: The file to write.
        further: Names of further columns to write.
    """
    table = predictions[[*PREDICTION_COLUMNS, *further]].sort_values("image_id")
    table = table.assign(**{CHECK: _checks(table)})
    write_text(path, protect_text(table).to_csv(index=False, lineterminator="\n"))


def _checks(table: pd.DataFrame) -> list[str]:
    """Returns the check of each row of :data:`PREDICTION_COLUMNS`, from the digits that every spreadsheet keeps."""
    columns = [table[name].tolist() for name in PREDICTION_COLUMNS]
    return [
        row_check(
            {
                "image_id": str(image_id),
                "probabilities": [f"{p:.{_CHECKED_DECIMALS}f}" for p in probabilities],
                "grade": None if pd.isna(grade) else int(grade),
            }
        )
        for image_id, *probabilities, grade in zip(*columns, strict=True)
    ]


def _require_unchanged(clean: pd.DataFrame, checks: pd.Series, path: Path) -> None:
    """Raises a ManifestError where a row is not as it was written. A column ``check`` of another program is ignored."""
    if not checks.map(is_check).any():
        return
    wrong = (checks.str.strip() != pd.Series(_checks(clean), index=checks.index)).to_numpy().nonzero()[0]
    if len(wrong):
        raise ManifestError(
            f"{path}, line {wrong[0] + 2}: the row of {clean['image_id'][wrong[0]]!r} is not as it was written: a cell "
            f"was changed{count_changed([f'line {row + 2}' for row in wrong])}. Undo the change, or predict again"
        )


def read_grades(path: Path) -> pd.DataFrame:
    """Reads the grades of photographs from a CSV, JSON Lines or Parquet file, such as a manifest.

    Args:
        path: Columns ``image_id`` and ``grade``; other columns are kept as text. A grade may be missing. A risk of
            macular oedema is 0, 1 or 2.

    Returns:
        Columns ``image_id`` (text), ``grade`` (nullable integer), :data:`GRADES_LINE_COLUMN`, and the further columns,
        in the order of the file.

    Raises:
        ManifestError: The file is unreadable, a column is missing, or cells are invalid (named by line and column).
    """
    table = read_text_table(path)
    missing = [column for column in ("image_id", "grade") if column not in table.columns]
    if missing:
        raise ManifestError(
            f"{path}, line 1: no column {', '.join(map(repr, missing))}; found {', '.join(map(repr, table.columns))}"
        )
    problems: list[_Problem] = []
    clean = _ids(table, problems).assign(grade=_grades(table, problems))
    ids = clean["image_id"]
    problems += [(row, "image_id", f"{ids[row]!r} is repeated") for row in ids.index[ids.duplicated() & (ids != "")]]
    problems += _wrong_risks(table)
    _raise_problems(problems, f"{path} is not a valid table of grades", _count_hint(table))
    clean[GRADES_LINE_COLUMN] = clean.index.to_numpy() + 2
    return clean.join(_further_columns(table, {*PREDICTION_COLUMNS, LINE_COLUMN, GRADES_LINE_COLUMN}))


def _wrong_risks(table: pd.DataFrame) -> list[_Problem]:
    """Returns risks of macular oedema that are neither 0, 1 nor 2; an empty cell is an unknown risk."""
    if OEDEMA_RISK not in table:
        return []
    cells = table[OEDEMA_RISK].fillna("").astype(str).str.strip()
    wrong = ~cells.isin(["", "0", "1", "2", "0.0", "1.0", "2.0"])
    return [
        (row, OEDEMA_RISK, f"{cells[row]!r} is no risk of macular oedema: write 0, 1 or 2, or leave the cell empty")
        for row in cells.index[wrong]
    ]


def join_grades(predictions: pd.DataFrame, grades: pd.DataFrame) -> pd.DataFrame:
    """Joins predictions with the grades of another table; every id must be in both tables, once.

    Args:
        predictions: Predictions from :func:`read_predictions`; their own grades are replaced.
        grades: Columns ``image_id`` and ``grade``, in any order of rows. The result also has the further columns that
            the predictions lack.

    Returns:
        The predictions with the grades, sorted by ``image_id``.

    Raises:
        JoinError: Ids are missing from one of the tables, or repeated; the message counts them and names the first.
    """
    for name, table in (("predictions", predictions), ("grades", grades)):
        repeated = table["image_id"][table["image_id"].duplicated()]
        if len(repeated):
            raise JoinError(
                f"the {name} name photographs twice ({count_and_first_few(repeated)}): remove the repeated rows"
            )
    prediction_ids, grade_ids = set(predictions["image_id"]), set(grades["image_id"])
    problems = []
    if prediction_ids - grade_ids:
        problems.append(f"predictions without a grade ({count_and_first_few(prediction_ids - grade_ids)})")
    if grade_ids - prediction_ids:
        problems.append(f"grades without a prediction ({count_and_first_few(grade_ids - prediction_ids)})")
    if problems:
        alike = describe_alike((*(prediction_ids - grade_ids), *(grade_ids - prediction_ids)))
        raise JoinError(f"{'; '.join(problems)}{alike}: both tables must have the same photographs")
    kept = predictions.drop(columns="grade", errors="ignore")
    added = ["image_id", *(column for column in grades.columns if column not in kept)]
    joined = kept.merge(grades[added], on="image_id", validate="1:1")
    return joined.sort_values("image_id", ignore_index=True)


def _may_lack_probabilities(table: pd.DataFrame) -> pd.Series:
    """Returns which rows (bool) of a table of text are those of photographs that could not be used."""
    if NO_GRADE_COLUMN not in table:
        return pd.Series(False, index=table.index)
    return (table[NO_GRADE_COLUMN] != "") & (table[list(PROBABILITY_COLUMNS)] == "").all(axis=1)


def _name_ungraded(table: pd.DataFrame) -> pd.DataFrame:
    """Adds the reasons for missing grades to a table of results, and the patients; else a study stands for a patient.

    The predicted risk of macular oedema is left out: a table of grades has the true one in a column of this name.
    """
    reasons = table["error"].where(table["error"] != "", "ungradable: " + table["quality_reasons"])
    known = table["patient"] if "patient" in table else pd.Series("", index=table.index)
    patients = {} if "patient_id" in table else {"patient_id": known.where(known != "", table["study"])}
    named = table.assign(**{NO_GRADE_COLUMN: reasons.where(table["predicted_grade"] == "", "")}, **patients)
    return named.drop(columns=OEDEMA_RISK, errors="ignore")


def _numbers(cells: pd.Series) -> pd.Series:
    """Returns the numbers (float64) of a column of text, with a decimal point or a decimal comma; else NaN."""
    numbers = pd.to_numeric(cells, errors="coerce").astype(float)
    with_comma = numbers.isna() & cells.str.contains(",", regex=False)
    return numbers.where(~with_comma, cells.where(with_comma).map(_number_or_nan, na_action="ignore").astype(float))


def _number_or_nan(cell: str) -> float:
    try:
        return parse_number(cell)
    except ValueError:
        return np.nan


def _ids(table: pd.DataFrame, problems: list[_Problem]) -> pd.DataFrame:
    ids = table["image_id"].str.strip()
    problems += [(row, "image_id", "is empty") for row in ids.index[ids == ""]]
    return pd.DataFrame({"image_id": ids})


def _further_columns(table: pd.DataFrame, used: Container[str]) -> pd.DataFrame:
    """Returns the columns of a table of text without the used ones; empty cells become missing."""
    further = {column: table[column].astype("string").str.strip() for column in table.columns if column not in used}
    stripped = pd.DataFrame(further, index=table.index)
    return stripped.replace("", pd.NA)


def _sums(table: pd.DataFrame) -> pd.Series:
    return table[list(PROBABILITY_COLUMNS)].sum(axis=1, skipna=False)


def _scale_hint(clean: pd.DataFrame) -> str:
    """Returns a guess about numbers that are not probabilities."""
    numbers = clean[list(PROBABILITY_COLUMNS)]
    outside = ((numbers < 0) | (numbers > 1)).any(axis=1)
    if outside.mean() < 0.5:
        return ""
    if (numbers >= 0).all(axis=None) and (_sums(clean) - 100).abs().median() < 100 * SUM_TOLERANCE:
        return "They look like percentages: divide them by 100"
    if (numbers <= 0).all(axis=None) and (numbers.map(np.exp).sum(axis=1) - 1).abs().median() < SUM_TOLERANCE:
        return "They look like logarithms of probabilities: apply exp first"
    return "They look like raw outputs of a network (logits): apply softmax first"


def _count_hint(table: pd.DataFrame) -> str:
    """Returns a guess about grades that are counted from 1."""
    numbers = _numbers(table["grade"].str.strip()) if "grade" in table.columns else pd.Series(dtype=float)
    counts_from_one = numbers.max() == N_GRADES and numbers.min() == 1
    return "The grades look shifted by one, as if counted from 1: subtract 1 from each" if counts_from_one else ""


def _raise_problems(problems: list[_Problem], message: str, hint: str = "") -> None:
    if problems:
        shown = [f"line {row + 2}, column {column}: {problem}" for row, column, problem in sorted(problems)]
        more = [f"… and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
        raise ManifestError("\n  ".join([f"{message}:", *shown[:_SHOWN], *more, *([hint] if hint else [])]))


def _grades(table: pd.DataFrame, problems: list[_Problem]) -> pd.Series:
    """Returns the nullable grades of a table of text, and adds invalid cells to ``problems``."""
    if "grade" not in table.columns:
        return pd.Series(pd.NA, index=table.index, dtype="Int64")
    text = table["grade"].str.strip()
    numbers = _numbers(text)
    for row in table.index[(text != "") & ~numbers.isin(range(N_GRADES))]:
        problems.append((row, "grade", f"{text[row]!r} is not a grade 0 to {N_GRADES - 1}"))
    return numbers.where(numbers.isin(range(N_GRADES)), np.nan).astype("Int64")
