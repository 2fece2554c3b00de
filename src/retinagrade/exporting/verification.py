"""Comparison of a grader file with its network, and of a compressed file with the file in float32."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade.errors import GraderFileError
from retinagrade.evaluation.paired import Difference, paired_differences
from retinagrade.evaluation.predictions import graded_predictions
from retinagrade.grader.metadata import MeasuredMetrics, MetricValue, Verification
from retinagrade.grades import PROBABILITY_COLUMNS

MAX_PROBABILITY_DIFFERENCE: Final = 1e-4
"""Largest permitted difference of a probability."""
MIN_SALIENCY_CORRELATION: Final = 0.999
"""Lowest permitted correlation of two saliency maps."""
COMPARED_METRICS: Final = ("quadratic_weighted_kappa", "referable_auc", "vision_threatening_auc", "accuracy")
"""Metrics whose change by a smaller number format is measured."""

GradeOutputs = tuple[NDArray[np.floating], NDArray[np.floating]]
"""Calibrated probabilities (N, 5) and saliency maps (N, 5, h, w)."""


def measure_agreement_with_network(file: GradeOutputs, network: GradeOutputs) -> Verification:
    """Measures how far the outputs of a file differ from those of its network on the same photographs.

    Args:
        file: Outputs of the file.
        network: Outputs of the network.
    """
    (probabilities, saliency), (expected_probabilities, expected_saliency) = file, network
    pixels, largest = expected_saliency[0, 0].size, float(expected_saliency.max())
    pairs = zip(saliency.reshape(-1, pixels), expected_saliency.reshape(-1, pixels), strict=True)
    return Verification(
        photographs=len(probabilities),
        max_probability_difference=float(np.abs(probabilities - expected_probabilities).max()),
        min_saliency_correlation=min(_correlation(first, second, largest) for first, second in pairs),
    )


def require_agreement(verification: Verification) -> Verification:
    """Returns a verification whose differences are small enough.

    Raises:
        GraderFileError: A probability differs by more than :data:`MAX_PROBABILITY_DIFFERENCE`, or a saliency map
            correlates by less than :data:`MIN_SALIENCY_CORRELATION`.
    """
    difference, correlation = verification.max_probability_difference, verification.min_saliency_correlation
    assert correlation is not None
    if not (difference <= MAX_PROBABILITY_DIFFERENCE and correlation >= MIN_SALIENCY_CORRELATION):
        raise GraderFileError(
            f"the exported graph does not agree with the network on {verification.photographs} photographs: "
            f"probabilities differ by up to {difference:.2g} (permitted: {MAX_PROBABILITY_DIFFERENCE:g}), saliency "
            f"maps correlate by {correlation:.4f} or more (required: {MIN_SALIENCY_CORRELATION:g}). No file was "
            "written"
        )
    return verification


def _correlation(first: NDArray[np.floating], second: NDArray[np.floating], largest: float) -> float:
    """Pearson correlation of two maps; 1 for equal constant maps, which have no correlation."""
    if np.abs(first - second).max() <= 1e-5 * largest:
        return 1.0
    if first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def measure_change(
    photographs: pd.DataFrame, float32: NDArray[np.floating], compressed: NDArray[np.floating]
) -> MeasuredMetrics:
    """Measures how metrics change by a smaller number format, with intervals from the same resamples of patients.

    Args:
        photographs: Photographs with ``image_id``, ``grade`` (nullable) and, where known, ``patient_id``.
        float32: Probabilities (N, 5) of the file in float32.
        compressed: Probabilities (N, 5) of the compressed file.

    Returns:
        Differences of metrics, and the share of photographs whose grade changed.
    """
    before, after = (
        graded_predictions(photographs.assign(**dict(zip(PROBABILITY_COLUMNS, each.T.astype(np.float64), strict=True))))
        for each in (float32, compressed)
    )
    differences = paired_differences(after, before)
    metrics = {name: _metric_value(differences[name]) for name in differences if name in COMPARED_METRICS}
    changed = float((before.predicted != after.predicted).mean())
    metrics["share_of_changed_grades"] = MetricValue(value=changed, interval=None)
    return MeasuredMetrics(photographs=len(before), metrics=metrics)


def _metric_value(difference: Difference) -> MetricValue:
    interval = difference.interval
    return MetricValue(
        value=difference.difference, interval=None if interval is None else (interval.low, interval.high)
    )
