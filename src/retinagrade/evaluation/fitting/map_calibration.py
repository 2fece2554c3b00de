"""Fitting of the calibration of lesion maps to the counts of their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from sklearn.linear_model import LogisticRegression

from retinagrade.evaluation.lesion_counts import PhotographCounts
from retinagrade.evaluation.lesion_metrics import level_logits
from retinagrade.lesion_maps.calibration import MapCalibration

_LEAST_PIXELS: Final = 100
"""Pixels with and without a lesion that a fit needs."""
_UNREGULARISED: Final = 1e6


def fit_map_calibration(counts: PhotographCounts, kinds: Sequence[str]) -> MapCalibration:
    """Fits a line to the logits of each kind, with which the pixels have the right probabilities.

    Args:
        counts: Counts of outlined photographs that the networks were not trained on.
        kinds: The kinds of lesions of the maps.

    Returns:
        The calibration. A kind with too few pixels, or whose maps are no better than chance, stays as it is.
    """
    lines = [_fit_line(counts, kind) for kind in kinds]
    return MapCalibration(
        kinds=tuple(kinds), scales=tuple(line[0] for line in lines), biases=tuple(line[1] for line in lines)
    )


def _fit_line(counts: PhotographCounts, kind: str) -> tuple[float, float]:
    of_kind = [each[kind] for each in counts.values() if kind in each]
    inside = np.sum([each.inside for each in of_kind], axis=0) if of_kind else np.zeros(1)
    outside = np.sum([each.outside for each in of_kind], axis=0) if of_kind else np.zeros(1)
    if min(inside.sum(), outside.sum()) < _LEAST_PIXELS:
        return 1.0, 0.0
    logits = level_logits()
    fitted = LogisticRegression(C=_UNREGULARISED, max_iter=1000).fit(
        np.concatenate([logits, logits])[:, None],
        np.repeat([1, 0], len(logits)),
        np.concatenate([inside, outside]).astype(np.float64),
    )
    scale, bias = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return (scale, bias) if scale > 0 else (1.0, 0.0)
