"""Both eyes of a study: what a network says of the other eye says something of this one.

The best systems of the EyePACS competition (Kaggle, 2015) decided on both eyes of a patient at once: retinopathy is a
disease of the patient, and the two eyes' grades are mostly the same or neighbours.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from retinagrade.errors import JoinError
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS

QUALITY = "quality"
"""Column of a number that says how good a photograph is; used where the table has it."""


def both_eyes_scores(table: pd.DataFrame, quality: bool = False) -> np.ndarray:
    """Scores of each photograph beside those of the other eye.

    Args:
        table: Columns ``image_id``, ``p0`` … ``p4``, ``patient_id``, ``laterality`` (``L`` or ``R``) and, where known,
            ``dataset``, in which alone a patient's id means something.
        quality: Add a sixth score: column :data:`QUALITY`.

    Returns:
        Scores (N, 2, 5), or (N, 2, 6), float64: this eye's, and the mean over the photographs of the patient's other
        eye in the table. NaN where there is none, or either eye isn't known.

    Raises:
        JoinError: There is no column of quality, or it holds something else than numbers.

    Example:
        >>> pair = pd.DataFrame({"patient_id": ["a", "a"], "laterality": ["L", "R"], **dict.fromkeys("01234", 0.0)})
        >>> pair.columns = ["patient_id", "laterality", *PROBABILITY_COLUMNS]
        >>> both_eyes(pair.assign(p0=[0.9, 0.2]))[:, :, 0].tolist()
        [[0.9, 0.2], [0.2, 0.9]]
    """
    scores = table[list(PROBABILITY_COLUMNS)].astype(float)
    if quality:
        if QUALITY not in table:
            raise JoinError(f"these photographs have no column {QUALITY!r}, which the two eyes were fitted with")
        try:
            scores[QUALITY] = pd.to_numeric(table[QUALITY]).astype(float)
        except (ValueError, TypeError) as error:
            raise JoinError(f"column {QUALITY!r} holds something else than numbers: {error}") from error
    whose = _eyes(table)
    known = whose["side"].isin(["L", "R"]) & (whose["patient"] != "")
    means = scores[known].groupby([of[known] for _, of in whose.items()]).mean()
    whose["side"] = whose["side"].map({"L": "R", "R": "L"})
    others = means.reindex(pd.MultiIndex.from_frame(whose.where(known, "nobody's"))).to_numpy()
    return np.stack([scores.to_numpy(), others], axis=1)


def has_quality(table: pd.DataFrame) -> bool:
    """Whether the quality of all photographs is known."""
    return QUALITY in table and bool(table[QUALITY].notna().all())


def has_both_eyes(scores: np.ndarray) -> np.ndarray:
    """Which photographs (N,), bool, have all scores of both eyes, of scores as :func:`both_eyes_scores` gives them."""
    known: np.ndarray = ~np.isnan(scores).any(axis=(1, 2))
    return known


def this_eye(scores: np.ndarray) -> np.ndarray:
    """The probabilities (N, 5) of the photographs themselves."""
    return scores[:, 0, :N_GRADES]


def _eyes(table: pd.DataFrame) -> pd.DataFrame:
    """Data set, patient and side, as text, of each photograph; empty where unknown."""
    unknown = pd.Series("", table.index)
    columns = {"dataset": "dataset", "patient": "patient_id", "side": "laterality"}
    return pd.DataFrame(
        {
            name: table[column].astype("string").fillna("").astype(str) if column in table else unknown
            for name, column in columns.items()
        }
    )
