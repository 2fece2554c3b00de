"""Evaluates the lesion maps of a run, with the groups of photographs that its manifest knows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from retinagrade.arguments import NOT_NEGATIVE, check_arguments
from retinagrade.datasets.stratification import photograph_groups
from retinagrade.errors import ExperimentError, JoinError, ManifestError
from retinagrade.evaluation.lesion_counts import PhotographCounts, read_counts
from retinagrade.evaluation.lesion_evaluation import LesionEvaluation, evaluate_lesion_counts
from retinagrade.manifest import Manifest
from retinagrade.messages import first_few
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.run import Run


@check_arguments(advice={"file": "of a run, write run.lesion_counts_file('val')"}, resamples=NOT_NEGATIVE)
def evaluate_lesions(file: str | os.PathLike[str], *, resamples: int = 1000) -> LesionEvaluation:
    """Measures the lesion maps of a run.

    Args:
        file: The counts of a run's maps, such as ``RUN/predictions/val-lesions.npz``, which ``train`` writes; a
            cross-validation has the counts of all its folds.
        resamples: Number of draws for the intervals, of patients and of copies of a photograph together; 0 for no
            intervals.

    Returns:
        Average precision, Dice and FROC of every kind of lesion. ``write(folder)`` writes them.

    Raises:
        JoinError: The file can't be read, or has photographs that the run's manifest doesn't have.
    """
    path = Path(file)
    evaluation = evaluate_lesion_counts(read_run_counts(path), _groups(path.parent.parent), resamples)
    return replace(evaluation, inputs=(path,))


def read_run_counts(file: Path) -> PhotographCounts:
    """Reads the counts of the lesion maps of a run, or of a cross-validation.

    Raises:
        JoinError: The file can't be read, or has photographs that the run's manifest doesn't have.
    """
    counts, groups = read_counts(file), _groups(file.parent.parent)
    if groups is not None and (strange := counts.keys() - groups.keys()):
        raise JoinError(
            f"{file} has photographs that its run doesn't know ({first_few(strange)}): take the file from a backup, or "
            "train the network again"
        )
    return counts


def _groups(folder: Path) -> Mapping[str, object] | None:
    """Returns the group of each photograph by id; ``None`` where the run's manifest can't be found."""
    folds = CrossValidation(folder)
    try:
        run = folds.fold(0) if folds.is_cross_validation else Run(folder)
        table = Manifest.read(run.split_file).table
    except (ExperimentError, ManifestError):
        return None
    return dict(zip(table["image_id"], photograph_groups(table).tolist(), strict=True))
