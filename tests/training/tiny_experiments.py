"""A tiny experiment that trains in seconds, and its history in comparable form."""

from __future__ import annotations

from typing import Final

import pandas as pd

from retinagrade.experiments.experiment import Experiment, load_experiment
from retinagrade.runs.run import Run

TINY: Final = [
    "network.image_size=48",
    "network.scratch.filters=[4,8]",
    "network.scratch.kernel=3",
    "network.scratch.pools=[3,3]",
    "network.dense=[16]",
    "training.epochs=4",
    "training.batch_size=8",
    "training.balance=6",
    "training.learning_rate=1e-3",
]
"""Settings that make ``scratch-2`` tiny."""


def tiny(*settings: str) -> Experiment:
    """Returns ``scratch-2`` with the settings of :data:`TINY` and further ones."""
    return load_experiment("scratch-2", [*TINY, *settings])


def comparable(run: Run) -> pd.DataFrame:
    """Returns a run's history without the time that it took."""
    return run.history().drop(columns="seconds")
