"""The folds of a cross-validation: the metrics of each, their mean and their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class FoldMetric:
    """A metric over all folds.

    Attributes:
        values: The value in each fold; ``None`` where it is undefined there.
        mean: Mean of the folds; ``None`` where a value is undefined.
        sd: Standard deviation of the folds; ``None`` where a value is undefined.
    """

    values: tuple[float | None, ...]
    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class FoldResults:
    """The folds behind out-of-fold predictions.

    Attributes:
        metrics: The metrics of each fold's network on the photographs that it didn't learn from, by name.
        histories: The training history of each fold.
    """

    metrics: Sequence[Mapping[str, float | None]]
    histories: Sequence[pd.DataFrame] = field(repr=False)

    def metric(self, name: str) -> FoldMetric:
        """Returns a metric over all folds."""
        values = tuple(fold.get(name) for fold in self.metrics)
        defined = [value for value in values if value is not None]
        if len(defined) < len(values):
            return FoldMetric(values, None, None)
        return FoldMetric(values, mean(defined), stdev(defined))

    def to_json(self) -> dict[str, Any]:
        """Returns the section ``folds`` of ``metrics.json``: mean, standard deviation and values of each metric."""
        metrics = {name: self.metric(name) for name in self.metrics[0]}
        return {name: {"mean": one.mean, "sd": one.sd, "values": list(one.values)} for name, one in metrics.items()}
