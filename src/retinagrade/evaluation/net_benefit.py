"""Net benefit: the worth of a decision, against referring everybody and referring nobody.

Source: A. J. Vickers, E. B. Elkin, "Decision Curve Analysis: A Novel Method for Evaluating Prediction Models", Medical
Decision Making 26(6), 2006.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.evaluation.metrics import sensitivity, specificity

THRESHOLDS: Final[NDArray[np.float64]] = np.arange(1, 51) / 100
"""Threshold probabilities of a decision curve: the probability of disease from which on a referral is worth it."""


def net_benefit(
    tables: NDArray[Any], thresholds: NDArray[np.float64] = THRESHOLDS, prevalence: float | None = None
) -> NDArray[np.float64]:
    """Computes the net benefit of a decision: true referrals minus weighted false ones, per person screened.

    At a threshold probability t, a false referral weighs t / (1 - t): at t = 0.1, nine false referrals are worth one
    true one.

    Args:
        tables: Two-by-two tables (…, 2, 2).
        thresholds: Threshold probabilities (T,), from 0 up to, but without, 1.
        prevalence: Share of people with the disease; by default that of each table.

    Returns:
        Net benefits (…, T); NaN where a table is empty, or doesn't tell the sensitivity or the specificity that a
        prevalence needs.

    Example:
        >>> net_benefit(np.array([[60, 20], [4, 16]]), np.array([0.2])).round(6).tolist()
        [0.11]
    """
    counts = np.asarray(tables, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        if prevalence is None:
            total = counts.sum(axis=(-2, -1))
            true, false = counts[..., 1, 1] / total, counts[..., 0, 1] / total
        else:
            true = prevalence * sensitivity.stacked(counts)
            false = (1 - prevalence) * (1 - specificity.stacked(counts))
    return np.asarray(true[..., None] - false[..., None] * thresholds / (1 - thresholds))


def net_benefit_of_all(prevalence: float, thresholds: NDArray[np.float64] = THRESHOLDS) -> NDArray[np.float64]:
    """Returns the net benefit (T,) of referring everybody; that of referring nobody is 0."""
    return np.asarray(prevalence - (1 - prevalence) * thresholds / (1 - thresholds))
