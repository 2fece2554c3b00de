"""The runs whose networks explain."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from retinagrade.runs.cross_validation import trained_runs
from retinagrade.runs.run import Run
from retinagrade.storage.files import short_names

RunOrFolder = Run | str | os.PathLike[str]


def name_runs(runs: RunOrFolder | Sequence[RunOrFolder]) -> dict[str, Run]:
    """Names the runs that have a network of their own.

    Args:
        runs: Trained runs, ensembles or cross-validations, or their folders; members and folds are listed one by one.

    Returns:
        Each run once, by the shortest name that tells it apart.

    Raises:
        ExperimentError: A record can't be read.
    """
    several = [runs] if isinstance(runs, Run | str | os.PathLike) else runs
    trained = trained_runs([run.folder if isinstance(run, Run) else Path(run) for run in several])
    return dict(zip(short_names([run.folder for run in trained]), trained, strict=True))
