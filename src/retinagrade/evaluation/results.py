"""Results of an evaluation: metrics, intervals, findings and subgroups, and their context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade.evaluation.decisions import DecisionResults
from retinagrade.evaluation.examples import Example
from retinagrade.evaluation.fitting.applied_calibration import AppliedCalibration, metric_to_json
from retinagrade.evaluation.folds import FoldResults
from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.integrity.independence import Independence
from retinagrade.evaluation.intervals import LEVEL, Interval
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.subgroups import Subgroup

METRICS_SCHEMA_VERSION: Final = 5
"""Version of ``metrics.json``, which ``docs/metrics.schema.json`` describes."""


@dataclass(frozen=True)
class EvaluationContext:
    """Describes the evaluated predictions, for the report.

    Attributes:
        name: Heading of the report, such as the name of the experiment.
        description: One sentence on the network, the data and the split.
        history: Training history of the run (``history.csv``), for the training curves; ``None`` without a run.
        loss: Name of the loss in the history.
        examples: Photographs to show.
        inputs: The files that identify the evaluation; none for data in memory.
        sources: SHA-256 digests of all files that were read, by path.
        folds: The folds of a cross-validation, whose out-of-fold predictions these are; ``None`` for others.
    """

    name: str = "predictions"
    description: str = ""
    history: pd.DataFrame | None = field(default=None, repr=False)
    loss: str = "cross-entropy"
    examples: Sequence[Example] = field(default=(), repr=False)
    inputs: Sequence[Path] = field(default=(), repr=False)
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    folds: FoldResults | None = field(default=None, repr=False)


@dataclass(frozen=True, repr=False)
class EvaluationResults:
    """All metrics of one table of predictions, or of one confusion matrix.

    Attributes:
        confusion_matrix: Counts (5, 5) by grade (row) and predicted grade (column).
        metrics: Values by the names of the metrics; ``None`` where a metric is undefined.
        undefined: Reasons why metrics or intervals are ``None``, by name.
        independence: Test of the hypothesis that the predictions are independent of the grades; ``None`` where it is
            undefined.
        findings: Reasons not to trust the metrics; empty if the integrity checks found nothing.
        intervals: 95 % intervals by the names of the metrics; empty for a bare confusion matrix.
        ungraded: Number of photographs that were left out because they have no grade.
        predictions: The graded photographs; ``None`` for a bare confusion matrix.
        applied_calibration: Results of a calibration that was fitted on other photographs; ``None`` without one.
        subgroups: Metrics of subgroups.
        decisions: Metrics of the decisions in a table of results of ``retinagrade grade``; ``None`` for others.
        resamples: Number of resamples behind the intervals.
        seed: Seed of the resamples.
        context: Description of the evaluated predictions.
    """

    confusion_matrix: NDArray[np.int64]
    metrics: dict[str, float | None]
    undefined: dict[str, str]
    independence: Independence | None
    findings: list[Finding]
    intervals: dict[str, Interval | None] = field(default_factory=dict)
    ungraded: int = 0
    predictions: GradedPredictions | None = None
    applied_calibration: AppliedCalibration | None = None
    subgroups: list[Subgroup] = field(default_factory=list)
    decisions: DecisionResults | None = None
    resamples: int = 0
    seed: int = 0
    context: EvaluationContext = field(default_factory=EvaluationContext)

    @property
    def photographs(self) -> int:
        """Number of graded photographs."""
        return int(self.confusion_matrix.sum())

    @property
    def patients(self) -> int:
        """Number of patients; the number of photographs if the patients are unknown."""
        return self.photographs if self.predictions is None else len(np.unique(self.predictions.patients))

    @property
    def support(self) -> list[int]:
        """Number of photographs of each grade."""
        counts: list[int] = self.confusion_matrix.sum(axis=1).tolist()
        return counts

    @property
    def quadratic_weighted_kappa(self) -> float | None:
        """Quadratic weighted kappa, the main metric for comparing networks."""
        return self.metrics["quadratic_weighted_kappa"]

    def to_json(self) -> dict[str, Any]:
        """Returns the content of ``metrics.json``; an undefined metric is ``null``, with a reason in ``undefined``."""
        return {
            "schema_version": METRICS_SCHEMA_VERSION,
            "photographs": self.photographs,
            "patients": self.patients,
            "ungraded": self.ungraded,
            "metrics": {name: metric_to_json(self.metrics, self.intervals, name) for name in self.metrics},
            "support": self.support,
            "confusion_matrix": self.confusion_matrix.tolist(),
            "independence": None if self.independence is None else asdict(self.independence),
            "findings": [finding.to_json() for finding in self.findings],
            "undefined": self.undefined,
            "bootstrap": {"level": LEVEL, "resamples": self.resamples, "seed": self.seed},
            "calibration": None if self.applied_calibration is None else self.applied_calibration.to_json(),
            "subgroups": [subgroup.to_json() for subgroup in self.subgroups],
            "decisions": None if self.decisions is None else self.decisions.to_json(),
            "folds": None if self.context.folds is None else self.context.folds.to_json(),
        }
