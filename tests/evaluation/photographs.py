"""Graded photographs for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retinagrade.evaluation.predictions import Graded


def some_photographs(count: int, seed: int, grades: Sequence[int] = range(5), skill: float = 1.0) -> Graded:
    """Photographs with some of the grades, of patients with one to three; probabilities rounded, so that some tie."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(np.array(grades), count)
    logits = rng.normal(0, 1, (count, 5)) - skill * np.abs(np.arange(5) - drawn[:, None])
    shares = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) * 64).round()
    shares[:, 0] += 64 - shares.sum(axis=1)
    shares = np.where(shares.min(axis=1, keepdims=True) < 0, np.eye(5)[drawn] * 64, shares)
    patients = np.repeat(np.arange(count), rng.integers(1, 4, count))[:count]
    return Graded(np.array([f"i{row:05d}" for row in range(count)]), drawn, shares / 64, patients)
