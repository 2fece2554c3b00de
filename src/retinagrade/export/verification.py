"""Proof that a file is the network, and what it changes where it keeps its weights in fewer bits."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from retinagrade.errors import GraderFileError
from retinagrade.evaluation.paired import Difference, paired_differences
from retinagrade.evaluation.predictions import graded_predictions
from retinagrade.grader.metadata import MeasuredMetrics, MetricValue, Verification
from retinagrade.grades import PROBABILITY_COLUMNS

PROBABILITIES: Final = 1e-4
"""Largest difference of a probability that a file may have."""
EVIDENCE: Final = 0.999
"""Least correlation of a map of evidence that a file may have."""
CHANGES: Final = ("quadratic_weighted_kappa", "referable_auc", "vision_threatening_auc", "accuracy")
"""Figures whose change is measured."""

Answer = tuple[np.ndarray, np.ndarray]
"""Calibrated probabilities (N, 5), and evidence (N, 5, h, w)."""


def measure_agreement_with_file(file: Answer, network: Answer) -> Verification:
    """How near a file comes to the network that it was made of.

    Args:
        file: What it says of photographs.
        network: What the network says of them.
    """
    (probabilities, evidence), (expected, heat) = file, network
    pairs = zip(evidence.reshape(-1, heat[0, 0].size), heat.reshape(-1, heat[0, 0].size), strict=True)
    return Verification(
        photographs=len(probabilities),
        probabilities=float(np.abs(probabilities - expected).max()),
        evidence=min(_correlation(ours, theirs, float(heat.max())) for ours, theirs in pairs),
    )


def require_agreement(proof: Verification) -> Verification:
    """A proof that is good enough.

    Raises:
        ArtefactError: It differs by more than :data:`PROBABILITIES`, or its evidence by more than :data:`EVIDENCE`
            allows.
    """
    if not (proof.probabilities <= PROBABILITIES and proof.evidence >= EVIDENCE):
        raise GraderFileError(
            f"the file is not the network: probabilities differ by {proof.probabilities:.2g} (at most "
            f"{PROBABILITIES:g}), evidence correlates by {proof.evidence:.4f} (at least {EVIDENCE:g}) on "
            f"{proof.photographs} photographs. Nothing was written"
        )
    return proof


def _correlation(ours: np.ndarray, theirs: np.ndarray, largest: float) -> float:
    """The correlation of two maps; 1 for maps that are level and the same, which have none."""
    if np.abs(ours - theirs).max() <= 1e-5 * largest:
        return 1.0
    if ours.std() == 0 or theirs.std() == 0:
        return 0.0
    return float(np.corrcoef(ours, theirs)[0, 1])


def measure_change(photographs: pd.DataFrame, exact: np.ndarray, changed: np.ndarray) -> MeasuredMetrics:
    """What other probabilities change: figures less those of the exact ones, on the same resamples of patients.

    Args:
        photographs: Validation photographs, ``image_id``, ``grade`` (nullable) and, where known, ``patient_id``.
        exact: Probabilities (N, 5) of the file in float32.
        changed: Those of the file as it is written.
    """
    before, after = (
        graded_predictions(photographs.assign(**dict(zip(PROBABILITY_COLUMNS, each.T.astype(np.float64), strict=True))))
        for each in (exact, changed)
    )
    figures = {
        name: _figure(difference) for name, difference in paired_differences(after, before).items() if name in CHANGES
    }
    others = float((before.predicted != after.predicted).mean())
    figures["share_of_other_grades"] = MetricValue(value=others, interval=None)
    return MeasuredMetrics(photographs=len(before), figures=figures)


def _figure(difference: Difference) -> MetricValue:
    around = difference.interval
    return MetricValue(value=difference.difference, interval=None if around is None else (around.low, around.high))
