"""Curves behind the pictures: ROC, precision and recall, and how often predictions of a confidence are right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from retinagrade.evaluation.metrics import CALIBRATION_BINS, calibration_terms, disease_scores
from retinagrade.evaluation.named_metrics import TASKS
from retinagrade.evaluation.predictions import GradedPredictions

TASK_NAMES: Final = {"referable": "referable (grade ≥ 2)", "vision_threatening": "vision-threatening (grade ≥ 3)"}

_DRAWN: Final = 2000
"""Points of a curve that a picture can show; more only make its file larger."""


@dataclass(frozen=True)
class Curve:
    """One curve.

    Attributes:
        x: Ascending (K,).
        y: (K,).
    """

    x: np.ndarray
    y: np.ndarray

    def thinned(self) -> Curve:
        """At most :data:`_DRAWN` of its points, first and last among them."""
        if len(self.x) <= _DRAWN:
            return self
        kept = np.unique(np.linspace(0, len(self.x) - 1, _DRAWN).astype(int))
        return Curve(self.x[kept], self.y[kept])


@dataclass(frozen=True)
class Reliability:
    """How often predictions of a confidence are right, in bins of equal width.

    Attributes:
        confidence: Mean largest probability of each bin (B,); NaN where a bin is empty.
        accuracy: Share of right grades in each bin (B,), likewise.
        photographs: How many fall into each bin (B,).
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    photographs: np.ndarray


def roc(photographs: GradedPredictions, task: str) -> Curve:
    """The ROC curve of a task: false-positive rates against true-positive rates.

    Raises:
        Undefined: All photographs have the disease, or none has.
    """
    false_positive, true_positive, _ = roc_curve(*_disease(photographs, task))
    return Curve(false_positive, true_positive)


def precision_recall(photographs: GradedPredictions, task: str) -> Curve:
    """Recall (sensitivity) against precision (positive predictive value) of a task.

    Raises:
        Undefined: All photographs have the disease, or none has.
    """
    precision, recall, _ = precision_recall_curve(*_disease(photographs, task))
    return Curve(recall[::-1], precision[::-1])


def reliability(photographs: GradedPredictions) -> Reliability:
    """Confidence against accuracy, in the bins of the expected calibration error.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017.

    Args:
        photographs: Graded photographs.

    Returns:
        One entry a bin.
    """
    confidence = photographs.probabilities.max(axis=1)
    excess, place = calibration_terms(photographs.grades, photographs.probabilities)
    counts = np.bincount(place, minlength=CALIBRATION_BINS)
    with np.errstate(invalid="ignore"):
        sure = np.bincount(place, confidence, CALIBRATION_BINS) / counts
        return Reliability(sure, sure - np.bincount(place, excess, CALIBRATION_BINS) / counts, counts)


def _disease(photographs: GradedPredictions, task: str) -> tuple[np.ndarray, np.ndarray]:
    return disease_scores(photographs.grades, photographs.probabilities, TASKS[task])
