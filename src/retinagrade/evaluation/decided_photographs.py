"""Photographs that a grader has decided on, from a table of results: errors and refused photographs included."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade.cells import parse_flag
from retinagrade.errors import ManifestError
from retinagrade.evaluation.named_metrics import TASKS
from retinagrade.evaluation.predictions import LINE_COLUMN, NO_GRADE_COLUMN, patient_numbers
from retinagrade.manifest import OEDEMA_RISK

REVIEWED: Final = "referable_or_review"
"""Name of the decision "referable, or a person should look"."""
DECISION_TASKS: Final = {
    "referable": "referable",
    REVIEWED: "referable",
    "vision_threatening": "vision_threatening",
}
"""The disease that each decision is about, by the name of the decision."""
_OEDEMA: Final = "retinopathy-or-oedema"
_WITHOUT_THRESHOLD: Final = "the results have no such decision: their grader file has no threshold or no rule for it"


@dataclass(frozen=True)
class DecidedPhotographs:
    """Labelled photographs of a table of results.

    Attributes:
        patients: Number of the patient of each photograph (N,), from 0. A photograph without a known patient is a
            patient of its own.
        refused: True for photographs without a grade, as ungradable or by an error (N,).
        errors: True for those that could not be used, by an error (N,).
        truths: True for photographs with the disease (N,), by ``referable`` and ``vision_threatening``.
        decisions: True for referred photographs (N,), by the names of :data:`DECISION_TASKS`; without the decisions
            that the table doesn't have. The values of refused photographs mean nothing.
        undecided: True for photographs that have a grade, but not this decision (N,), likewise.
        missing: Reasons why the table doesn't have a decision, by its name.
        unlabelled: Number of photographs of the table that are left out because they have no label.
        oedema: True where the table refers for macular oedema, too: its ``referral`` says so.
        oedema_labelled: True where a label of macular oedema counts as referable.
        table: All columns of these photographs, for groups.
    """

    patients: NDArray[np.int64]
    refused: NDArray[np.bool_]
    errors: NDArray[np.bool_]
    truths: dict[str, NDArray[np.bool_]]
    decisions: dict[str, NDArray[np.bool_]]
    undecided: dict[str, NDArray[np.bool_]]
    missing: dict[str, str]
    unlabelled: int
    oedema: bool
    oedema_labelled: bool
    table: pd.DataFrame = field(repr=False)

    def __len__(self) -> int:
        """Returns the number of photographs."""
        return len(self.patients)


def decided_photographs(
    rows: pd.DataFrame, grades: pd.DataFrame | None, name: str = "results"
) -> DecidedPhotographs | None:
    """Reads the decisions in a table of results.

    A photograph without a grade is left out and counted. Where the results refer for macular oedema, and there are
    labels of it, one without such a label is left out as well: it may be referable or not.

    Args:
        rows: The rows of a table of results, from
            :func:`~retinagrade.evaluation.predictions.read_prediction_rows`. The first row of a photograph counts.
        grades: Grades from :func:`~retinagrade.evaluation.predictions.read_grades`, where known with ``patient_id`` and
            ``oedema_risk``; ``None`` where the rows have them.
        name: Name of the table in errors.

    Returns:
        The labelled photographs; ``None`` where the table is no table of results, or has no labels.

    Raises:
        ManifestError: A decision is neither true nor false.
    """
    if NO_GRADE_COLUMN not in rows or "referable" not in rows:
        return None
    table = rows.drop_duplicates("image_id").sort_values("image_id", ignore_index=True)
    if grades is not None:
        own = {"grade", *(["patient_id"] if "patient_id" in grades else [])}
        kept = table.drop(columns=[column for column in own if column in table])
        added = ["image_id", *(column for column in grades.columns if column not in kept)]
        table = kept.merge(grades[added], on="image_id", how="left", validate="1:1")
    oedema = "referral" in table and bool((table["referral"] == _OEDEMA).any())
    risks = pd.Series(np.nan, index=table.index)
    if OEDEMA_RISK in table:
        risks = pd.to_numeric(table[OEDEMA_RISK], errors="coerce").astype(float)
    oedema_labelled = oedema and bool(risks.notna().any())
    labelled = table["grade"].notna() & (risks.notna() | (not oedema_labelled))
    if not labelled.any():
        return None
    unlabelled = int((~labelled).sum())
    table, risks = table[labelled].reset_index(drop=True), risks[labelled]
    true_grades = table["grade"].to_numpy(dtype=np.int64)
    truths = {task: true_grades >= grade for task, grade in TASKS.items()}
    if oedema_labelled:
        truths["referable"] |= risks.to_numpy() >= 1
    refused = table[NO_GRADE_COLUMN].notna().to_numpy(dtype=bool)
    flags = {column: _flags(table, column, name) for column in ("referable", "vision_threatening", "needs_review")}
    sources = {
        "referable": ["referable"],
        REVIEWED: ["referable", "needs_review"],
        "vision_threatening": ["vision_threatening"],
    }
    decisions, undecided, missing = {}, {}, {}
    for decision, columns in sources.items():
        if not refused.all() and any(flags[column][~refused].isna().all() for column in columns):
            missing[decision] = _WITHOUT_THRESHOLD
            continue
        answer = flags[columns[0]]
        for column in columns[1:]:
            answer = answer | flags[column]  # true where one of them is, though the other is unknown
        decisions[decision] = answer.fillna(False).to_numpy(dtype=bool)
        undecided[decision] = answer.isna().to_numpy(dtype=bool) & ~refused
    return DecidedPhotographs(
        patient_numbers(table),
        refused,
        refused & (table["error"].notna().to_numpy(dtype=bool) if "error" in table else False),
        truths,
        decisions,
        undecided,
        missing,
        unlabelled,
        oedema,
        oedema_labelled,
        table,
    )


def _flags(table: pd.DataFrame, column: str, name: str) -> pd.Series:
    """Returns the flags of a column of text, as nullable booleans."""
    if column not in table:
        return pd.Series(pd.NA, index=table.index, dtype="boolean")
    values = []
    for line, cell in zip(table[LINE_COLUMN], table[column], strict=True):
        try:
            values.append(pd.NA if pd.isna(cell) else parse_flag(str(cell).removesuffix(".0")))
        except ValueError as error:
            raise ManifestError(
                f"{name}, line {line}, column {column}: {error}: write true or false, or leave the cell empty"
            ) from None
    return pd.Series(values, index=table.index, dtype="boolean")
