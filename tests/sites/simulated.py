"""Simulated sites: graded photographs of a grader whose errors have a known size, on shared grades."""

from __future__ import annotations

import numpy as np

from retinagrade.evaluation.fitting.operating_points import fit_operating_point
from retinagrade.evaluation.intervals import metric_intervals
from retinagrade.evaluation.named_metrics import compute_metrics
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.grader.metadata import MeasuredMetrics, Metadata, MetricValue, Threshold
from retinagrade.sites.card_comparison import RANKED
from tests.grader.graders import metadata

SHARES = (0.33, 0.05, 0.33, 0.18, 0.11)


def simulated(
    photographs: int, seed: int, *, noise: float = 0.8, shift: float = 0.0, eyes: int = 1
) -> GradedPredictions:
    """Draws photographs with grades as in IDRiD, and the probabilities of a grader with errors of ``noise`` grades.

    Args:
        photographs: Number of photographs.
        seed: Seed of all draws.
        noise: Standard deviation of the errors.
        shift: Grades by which the site's look moves the grader's scale, without its knowledge.
        eyes: Photographs of each patient.
    """
    random = np.random.default_rng(seed)
    grades = random.choice(5, photographs, p=SHARES)
    seen = grades + shift + random.normal(0, noise, photographs)
    weights = np.exp(-((seen[:, None] - np.arange(5)) ** 2) / (2 * noise**2)) + 1e-9
    return GradedPredictions(
        np.array([f"{number:06}" for number in range(photographs)]),
        grades,
        weights / weights.sum(axis=1, keepdims=True),
        np.arange(photographs) // eyes,
    )


def card_of(photographs: GradedPredictions, resamples: int = 200) -> Metadata:
    """Returns the metadata of a grader file whose card was measured on these photographs."""
    values = compute_metrics(photographs).values
    intervals = metric_intervals(photographs, RANKED, resamples=resamples).values
    measured = {}
    for name in RANKED:
        interval = intervals[name]
        measured[name] = MetricValue(
            value=values[name], interval=None if interval is None else (interval.low, interval.high)
        )
    point = fit_operating_point(photographs, 2)
    threshold = Threshold.model_validate(point.model_dump(include=set(Threshold.model_fields)))
    return metadata(validation=MeasuredMetrics(photographs=len(photographs), metrics=measured), referable=threshold)
