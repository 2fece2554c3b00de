"""Generated predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS


def predictions(grades: np.ndarray, skill: float, seed: int = 0) -> pd.DataFrame:
    """Predictions of photographs ``i00000`` …: ``skill`` 0 knows nothing, 5 is almost always right."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (len(grades), N_GRADES))
    logits -= skill * np.abs(np.arange(N_GRADES) - grades[:, None])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = pd.DataFrame(probabilities, columns=list(PROBABILITY_COLUMNS))
    table.insert(0, "image_id", [f"i{index:05d}" for index in range(len(grades))])
    return table.assign(grade=pd.array(grades, dtype="Int64"))


def some_grades(count: int, seed: int = 0) -> np.ndarray:
    """Grades in EyePACS's proportions, each at least once."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(N_GRADES, count, p=[0.73, 0.07, 0.15, 0.03, 0.02])
    drawn[:N_GRADES] = range(N_GRADES)
    return drawn
