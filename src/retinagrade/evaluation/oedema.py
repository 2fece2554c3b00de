"""Evaluation of the probability of macular oedema, where a table has the probability and the risk."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from retinagrade.evaluation.intervals import Interval, metric_intervals
from retinagrade.evaluation.named_metrics import compute_metrics
from retinagrade.evaluation.predictions import GradedPredictions, graded_predictions
from retinagrade.manifest import OEDEMA_RISK

OEDEMA_PROBABILITY: Final = "oedema_probability"
"""Column of predictions: probability of a risk of macular oedema of 1 or 2."""
OEDEMA_AUC: Final = "oedema_auc"
"""Name of the area under the ROC curve of a risk of 1 or 2."""
_SAME_AREA: Final = "referable_auc"


def evaluate_oedema(
    table: pd.DataFrame, resamples: int, seed: int
) -> tuple[float | None, Interval | None, str | None] | None:
    """Measures the probability of macular oedema.

    Args:
        table: Predictions with their labels. Photographs without a risk or a probability are left out.
        resamples: Number of resamples for the interval; 0 for none.
        seed: Seed of the resamples.

    Returns:
        The area under the ROC curve of a risk of 1 or 2, its interval, and the reason why one of them is ``None``;
        ``None`` where the table lacks one of the columns.
    """
    graded = oedema_photographs(table)
    if graded is None:
        return None
    named = compute_metrics(graded)
    value = named.values[_SAME_AREA]
    if value is None:
        return None, None, "all photographs with a known risk of macular oedema have one, or none has"
    intervals = metric_intervals(graded, [_SAME_AREA], resamples=resamples, seed=seed)
    return value, intervals.values.get(_SAME_AREA), intervals.undefined.get(_SAME_AREA) if resamples else None


def oedema_photographs(table: pd.DataFrame) -> GradedPredictions | None:
    """Returns photographs with the risk of oedema in the place of a referable grade, for the same metrics.

    Args:
        table: Predictions with their labels. Photographs without a risk or a probability are left out.

    Returns:
        Grade 2 for a risk of 1 or 2, else grade 0; the probability of oedema as that of grade 2. ``None`` where the
        table lacks one of the columns.
    """
    if not {OEDEMA_PROBABILITY, OEDEMA_RISK} <= {*table.columns}:
        return None
    numbers = table[[OEDEMA_PROBABILITY, OEDEMA_RISK]].apply(pd.to_numeric, errors="coerce")
    known = numbers.notna().all(axis=1)
    probability = numbers[OEDEMA_PROBABILITY][known].to_numpy(np.float64)
    none = np.zeros(len(probability))
    places = {"p0": 1 - probability, "p1": none, "p2": probability, "p3": none, "p4": none}
    grades = 2 * (numbers[OEDEMA_RISK][known] >= 1).astype("Int64")
    return graded_predictions(table[known].assign(**places, grade=grades))
