"""Evaluates the lesion maps of a run, with the groups of photographs that its manifest knows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from retinagrade.arguments import NOT_NEGATIVE, check_arguments
from retinagrade.datasets.prepared_set import PREPARED_MANIFEST
from retinagrade.datasets.stratification import photograph_groups
from retinagrade.errors import ExperimentError, JoinError, ManifestError, UsageError
from retinagrade.evaluation.lesion_counts import PhotographCounts, read_counts
from retinagrade.evaluation.lesion_evaluation import LesionEvaluation, evaluate_lesion_counts
from retinagrade.execution.progress import Progress
from retinagrade.manifest import Manifest
from retinagrade.messages import first_few
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.full_resolution import count_at_full_resolution
from retinagrade.runs.lesion_maps import LesionMaps
from retinagrade.runs.run import Run


@check_arguments(advice={"maps": "of a run, write run.lesion_counts_file('val')"}, resamples=NOT_NEGATIVE)
def evaluate_lesions(
    maps: str | os.PathLike[str],
    *,
    masks_from: str | os.PathLike[str] | None = None,
    resamples: int = 1000,
    workers: int | None = None,
    progress: Progress | None = None,
) -> LesionEvaluation:
    """Measures lesion maps against the outlines of people.

    Args:
        maps: The counts of a run's maps, such as ``RUN/predictions/val-lesions.npz``, which ``train`` writes at the
            resolution of the network; a cross-validation has the counts of all its folds. Or a folder of lesion maps,
            which ``outline`` writes; it needs ``masks_from``.
        masks_from: The data set with masks. Maps are enlarged to the resolution of each photograph, and compared with
            its masks there, as in the IDRiD challenge. Photographs are known by their bytes.
        resamples: Number of draws for the intervals, of patients and of copies of a photograph together; 0 for no
            intervals.
        workers: Number of worker processes that read maps and masks; ``None`` takes one per processor.
        progress: Callback for progress.

    Returns:
        Average precision, Dice and FROC of every kind of lesion. ``write(folder)`` writes them.

    Raises:
        ExperimentError: The folder holds no finished lesion maps, or a map can't be read.
        JoinError: The file can't be read, or has photographs that the run's manifest doesn't have; or no photograph
            of the maps has masks.
        LayoutError: The data set has no masks in a known layout.
        UsageError: ``masks_from`` is missing for a folder of maps, or given for a file of counts.
    """
    path = Path(maps)
    if path.is_dir() != (masks_from is not None):
        raise UsageError(
            f"{path} is a folder of lesion maps: name the data set with masks of its photographs with --masks-from"
            if masks_from is None
            else f"{path} is a file of counts, which needs no --masks-from: name a folder of lesion maps"
        )
    if masks_from is None:
        evaluation = evaluate_lesion_counts(read_run_counts(path), _groups(path.parent.parent), resamples)
        return replace(evaluation, inputs=(path,))
    of_maps = LesionMaps(path)
    counts = count_at_full_resolution(of_maps, Path(masks_from), workers, progress)
    evaluation = evaluate_lesion_counts(counts, _groups_of(of_maps.prepared / PREPARED_MANIFEST), resamples)
    return replace(evaluation, inputs=(of_maps.record_file, Path(masks_from)))


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
        return _groups_of(run.split_file)
    except (ExperimentError, ManifestError):
        return None


def _groups_of(manifest: Path) -> Mapping[str, object]:
    table = Manifest.read(manifest).table
    return dict(zip(table["image_id"], photograph_groups(table).tolist(), strict=True))
