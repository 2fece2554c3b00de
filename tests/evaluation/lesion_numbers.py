"""Made-up lesion numbers of photographs, and a grade model that was fitted on others of the same kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retinagrade.evaluation.fitting.ordinal import fit_ordinal
from retinagrade.lesion_maps.grade_model import OrdinalModel

NAMES = ("count", "area", "peak", "noise")


def draw(
    photographs: int, seed: int, shift: float = 0.0, order: tuple[int, ...] = (0, 1, 2, 3)
) -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]]:
    """Draws numbers (N, 4), grades (N,) and patients (N,); each patient has two photographs.

    Args:
        photographs: Number of photographs, N.
        seed: Seed.
        shift: What the site's camera adds to the numbers.
        order: The numbers that carry information, from the most on; the site may have another order.
    """
    generator = np.random.default_rng(seed)
    eyes: NDArray[Any] = np.repeat(generator.normal(size=(photographs + 1) // 2), 2)[:photographs]
    severity = 0.8 * eyes + 0.6 * generator.normal(size=photographs)
    grades = np.searchsorted([-0.5, 0.0, 0.7, 1.4], severity)
    signal = np.array([1.2, 0.8, 0.4, 0.0])[list(order)]
    numbers = severity[:, None] * signal + generator.normal(size=(photographs, 4)) * 0.4 + shift
    return numbers, grades.astype(np.int64), [f"p{number // 2}" for number in range(photographs)]


def fit(seed: int = 0) -> OrdinalModel:
    """Fits the old model on 400 photographs."""
    numbers, grades, _ = draw(400, seed)
    return fit_ordinal(NAMES, numbers, grades, 4, [0.3] * 4)
