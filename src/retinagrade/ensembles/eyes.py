"""Both eyes of a study: the scores of the other eye are informative about the grade of this eye.

The best systems of the EyePACS competition (Kaggle, 2015) graded both eyes of a patient together: retinopathy affects
both eyes, and their grades are mostly equal or adjacent.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade.errors import JoinError
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS

QUALITY_COLUMN: Final = "quality"
"""Column with the image quality of a photograph, as a number; used if the table has it."""


def both_eyes_scores(table: pd.DataFrame, quality: bool = False) -> NDArray[np.float64]:
    """Joins the scores of each photograph with those of the patient's other eye.

    Args:
        table: Columns ``image_id``, ``p0`` … ``p4``, ``patient_id``, ``laterality`` (``L`` or ``R``) and, where known,
            ``dataset``: ids of patients are unique within a data set only.
        quality: Whether to add a sixth score: column :data:`QUALITY_COLUMN`.

    Returns:
        Scores (N, 2, 5), or (N, 2, 6): those of this eye, and the mean over the photographs of the patient's other eye
        in the table. NaN if there is none, or if patient or eye are unknown.

    Raises:
        JoinError: The column of quality is missing, or holds other values than numbers.

    Example:
        >>> pair = pd.DataFrame({"patient_id": ["a", "a"], "laterality": ["L", "R"], **dict.fromkeys("01234", 0.0)})
        >>> pair.columns = ["patient_id", "laterality", *PROBABILITY_COLUMNS]
        >>> both_eyes_scores(pair.assign(p0=[0.9, 0.2]))[:, :, 0].tolist()
        [[0.9, 0.2], [0.2, 0.9]]
    """
    scores = table[list(PROBABILITY_COLUMNS)].astype(float)
    if quality:
        if QUALITY_COLUMN not in table:
            raise JoinError(f"these photographs have no column {QUALITY_COLUMN!r}, which the ensemble was fitted with")
        try:
            scores[QUALITY_COLUMN] = pd.to_numeric(table[QUALITY_COLUMN]).astype(float)
        except (ValueError, TypeError) as error:
            raise JoinError(f"column {QUALITY_COLUMN!r} holds other values than numbers: {error}") from error
    eyes = _eyes(table)
    known = eyes["side"].isin(["L", "R"]) & (eyes["patient"] != "")
    means = scores[known].groupby([column[known] for _, column in eyes.items()]).mean()
    eyes["side"] = eyes["side"].map({"L": "R", "R": "L"})
    other_eyes = means.reindex(pd.MultiIndex.from_frame(eyes.where(known, "unknown"))).to_numpy()
    return np.stack([scores.to_numpy(), other_eyes], axis=1)


def has_quality(table: pd.DataFrame) -> bool:
    """Whether the quality of all photographs is known."""
    return QUALITY_COLUMN in table and bool(table[QUALITY_COLUMN].notna().all())


def has_both_eyes(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Returns whether each photograph (N,) has all scores of both eyes, given :func:`both_eyes_scores`."""
    return ~np.asarray(np.isnan(scores).any(axis=(1, 2)))


def this_eye(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the probabilities (N, 5) of the photographs themselves, given :func:`both_eyes_scores`."""
    return scores[:, 0, :N_GRADES]


def _eyes(table: pd.DataFrame) -> pd.DataFrame:
    """Returns data set, patient and side of each photograph as text, empty if unknown."""
    unknown = pd.Series("", table.index)
    columns = {"dataset": "dataset", "patient": "patient_id", "side": "laterality"}
    return pd.DataFrame(
        {
            name: table[column].astype("string").fillna("").astype(str) if column in table else unknown
            for name, column in columns.items()
        }
    )
