"""Graded photographs as arrays, made up or drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from scipy.special import softmax

from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.grades import N_GRADES


def photographs(grades: np.ndarray, probabilities: np.ndarray, patients: np.ndarray | None = None) -> GradedPredictions:
    """Photographs ``i00000`` …, each of its own patient unless told otherwise."""
    ids = np.array([f"i{index:05d}" for index in range(len(grades))])
    whose = np.arange(len(grades)) if patients is None else patients
    return GradedPredictions(ids, np.asarray(grades, np.int64), np.asarray(probabilities, np.float64), whose)


def simulated(count: int, seed: int = 0, temperature: float = 1.0, spread: float = 2.0) -> GradedPredictions:
    """Photographs whose grades are drawn from the softmax of known logits, with probabilities off by a temperature."""
    rng = np.random.default_rng(seed)
    severity = rng.choice([-1.0, 1.0, 2.0, 3.0, 4.5], count, p=[0.45, 0.15, 0.2, 0.1, 0.1]) + rng.normal(0, 0.7, count)
    logits = -spread * np.abs(severity[:, None] - np.arange(N_GRADES)) + rng.normal(0, 0.5, (count, N_GRADES))
    drawn = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((count, 1))).sum(axis=1).clip(0, N_GRADES - 1)
    return photographs(drawn, softmax(logits * temperature, axis=1))


def some_photographs(count: int, seed: int, grades: Sequence[int] = range(5), skill: float = 1.0) -> GradedPredictions:
    """Photographs with some of the grades, of patients with one to three; probabilities rounded, so that some tie."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(np.array(grades), count)
    logits = rng.normal(0, 1, (count, 5)) - skill * np.abs(np.arange(5) - drawn[:, None])
    shares = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) * 64).round()
    shares[:, 0] += 64 - shares.sum(axis=1)
    shares = np.where(shares.min(axis=1, keepdims=True) < 0, np.eye(5)[drawn] * 64, shares)
    patients = np.repeat(np.arange(count), rng.integers(1, 4, count))[:count]
    return GradedPredictions(np.array([f"i{row:05d}" for row in range(count)]), drawn, shares / 64, patients)


@st.composite
def any_photographs(draw: st.DrawFn, at_least: int = 1, at_most: int = 40) -> GradedPredictions:
    """Any grades, absent ones included, with probabilities that are often equal, or 0."""
    count = draw(st.integers(at_least, at_most))
    grades = draw(st.lists(st.integers(0, N_GRADES - 1), min_size=count, max_size=count))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = draw(st.sampled_from([2, 5, 20, 10**6]))
    parts = rng.multinomial(steps, rng.dirichlet(np.ones(N_GRADES)), count)
    return photographs(np.array(grades), parts / steps, rng.integers(0, count, count))
