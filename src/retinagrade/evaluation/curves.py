"""Curves behind the pictures: ROC curve, precision and recall, and reliability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from retinagrade.evaluation.metrics import CALIBRATION_BINS, calibration_terms, disease_scores
from retinagrade.evaluation.named_metrics import TASKS
from retinagrade.evaluation.predictions import GradedPredictions

TASK_NAMES: Final = {"referable": "referable (grade ≥ 2)", "vision_threatening": "vision-threatening (grade ≥ 3)"}
"""Names of the screening tasks for people."""
_DRAWN_POINTS: Final = 2000
"""Number of points of a drawn curve; more points only increase the size of the file."""


@dataclass(frozen=True)
class Curve:
    """A curve.

    Attributes:
        x: Ascending (K,).
        y: (K,).
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def thinned(self) -> Curve:
        """Returns the curve with at most 2000 of its points, the first and the last among them."""
        if len(self.x) <= _DRAWN_POINTS:
            return self
        kept = np.unique(np.linspace(0, len(self.x) - 1, _DRAWN_POINTS).astype(int))
        return Curve(self.x[kept], self.y[kept])


@dataclass(frozen=True)
class Reliability:
    """Share of right grades by confidence, in B bins of equal width.

    Attributes:
        confidence: Mean largest probability of each bin (B,); NaN where a bin is empty.
        accuracy: Share of right grades in each bin (B,), likewise.
        photographs: Number of photographs in each bin (B,).
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    photographs: NDArray[np.int64]


def roc(predictions: GradedPredictions, task: str) -> Curve:
    """Computes the ROC curve of a screening task: true-positive rate (y) against false-positive rate (x).

    Raises:
        Undefined: All photographs have the disease, or none has.
    """
    false_positive, true_positive, _ = roc_curve(*_disease_scores(predictions, task))
    return Curve(false_positive, true_positive)


def precision_recall(predictions: GradedPredictions, task: str) -> Curve:
    """Computes precision (positive predictive value, y) against recall (sensitivity, x) of a screening task.

    Raises:
        Undefined: All photographs have the disease, or none has.
    """
    precision, recall, _ = precision_recall_curve(*_disease_scores(predictions, task))
    return Curve(recall[::-1], precision[::-1])


def reliability(predictions: GradedPredictions) -> Reliability:
    """Computes accuracy by confidence, in the bins of the expected calibration error.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    confidence = predictions.probabilities.max(axis=1)
    excess, bins = calibration_terms(predictions.grades, predictions.probabilities)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(bins, confidence, CALIBRATION_BINS) / counts
        accuracy = mean_confidence - np.bincount(bins, excess, CALIBRATION_BINS) / counts
        return Reliability(mean_confidence, accuracy, counts)


def _disease_scores(predictions: GradedPredictions, task: str) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    return disease_scores(predictions.grades, predictions.probabilities, TASKS[task])
