"""Cross-validation: one run for each fold, and each photograph predicted by the run that never saw its patient."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Final

import pandas as pd

from retinagrade.arguments import NOT_NEGATIVE, NumberRange, check_arguments
from retinagrade.datasets.split import fold_splits
from retinagrade.errors import ExperimentError
from retinagrade.evaluation.lesion_counts import encode_counts, read_counts
from retinagrade.evaluation.predictions import join_grades, read_predictions, write_predictions
from retinagrade.execution.progress import Progress, prefix_stages
from retinagrade.experiments.experiment import Experiment, load_experiment
from retinagrade.manifest import Manifest
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.predictions import PREDICT
from retinagrade.runs.records import FinishedFolds, FoldRecord, MeanAndDeviation, StartedFolds
from retinagrade.storage.files import is_free_folder, write_bytes
from retinagrade.storage.locking import locked
from retinagrade.storage.output_guard import continued_folder, guard_outputs, write_origin
from retinagrade.storage.system_errors import reason
from retinagrade.training.start import training_inputs
from retinagrade.training.train import train

METRICS: Final = ("val_loss", "val_accuracy", "val_qwk", "val_average_precision")
"""Metrics of each fold's kept epoch that are averaged."""


@check_arguments(folds=NumberRange(at_least=2), workers=NOT_NEGATIVE)
def cross_validate(
    prepared: str | os.PathLike[str],
    experiment: str | os.PathLike[str] | Experiment,
    out: str | os.PathLike[str],
    folds: int,
    *,
    settings: Sequence[str] = (),
    start: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CrossValidation:
    """Trains an experiment once for each fold, each time validated on another part of the photographs.

    The parts are those of ``retinagrade split PREPARED --folds``, with the seed that the set was last split with. The
    set's own manifest stays unchanged; each run keeps its own. The same call again continues folds that were cut off
    and leaves finished ones unchanged.

    Args:
        prepared: Folder of a prepared set; a split ``test`` stays out of all folds.
        experiment: The experiment: its name, a YAML file, or an object.
        out: Folder of the cross-validation.
        folds: Number of folds, at least 2.
        settings: Settings to change, as ``section.key=value``.
        start: The cross-validation, with the same folds, that an experiment with ``starts_from`` starts from; by
            default the one of that name beside ``out``.
        workers: Processes that load photographs, as in :func:`~retinagrade.training.train.train`.
        progress: Receives the progress of each fold's training.

    Returns:
        The finished cross-validation.

    Raises:
        ExperimentError: A training fails, as in :func:`~retinagrade.training.train.train`, or ``out`` holds something
            else.
        UsageError: The set has too few photographs for so many folds; or ``out`` is, holds or lies in an input, or
            another call is writing it.
    """
    guard_outputs([continued_folder(Path(out))], training_inputs(prepared, experiment, start))
    experiment, prepared, out = load_experiment(experiment, settings), Path(prepared), Path(out)
    manifest = Manifest.read(prepared / "manifest.csv")
    seed = _split_seed(prepared)
    parts = fold_splits(manifest, folds, seed)
    result = CrossValidation(out)
    with locked(result.record_file):
        _begin(result, StartedFolds(experiment=experiment.name, folds=folds, seed=seed))
        if experiment.starts_from is not None:
            start = start or out.parent / experiment.starts_from
        for number, part in enumerate(parts):
            train(
                prepared,
                experiment,
                result.fold(number).folder,
                start=None if start is None else Path(start) / f"fold-{number}",
                workers=workers,
                manifest=part,
                progress=prefix_stages(progress, f"fold {number} ({number + 1} of {folds})"),
            )
        runs = [result.fold(number) for number in range(folds)]
        if experiment.outlines_lesions:
            counts = {name: each for run in runs for name, each in read_counts(run.lesion_counts_file("val")).items()}
            write_bytes(result.lesion_counts_file, encode_counts(counts))
        else:
            predicted = pd.concat([read_predictions(run.predictions_file("val")) for run in runs], ignore_index=True)
            divided = Manifest(parts[0].table[parts[0].table["fold"].notna()], manifest.root).graded()
            # Joining fails unless each photograph is predicted exactly once.
            write_origin(result.predictions_file, PREDICT, [prepared, out])
            write_predictions(join_grades(predicted, divided.table), result.predictions_file)
        kept = tuple(FoldRecord(fold=number, **dict(run.finished_record().kept)) for number, run in enumerate(runs))
        result.write_record(
            FinishedFolds(experiment=experiment.name, folds=folds, seed=seed, kept=kept, over_folds=_over_folds(kept))
        )
    return result


def _begin(result: CrossValidation, record: StartedFolds) -> None:
    """Begins a cross-validation, or recognises it as one that the same call began earlier."""
    if not result.record_file.is_file():
        if not is_free_folder(result.folder):
            raise ExperimentError(f"{result.folder} is not empty and no cross-validation: choose another --out")
        result.write_record(record)
    earlier = result.record()
    changed = [key for key in ("experiment", "folds", "seed") if getattr(earlier, key) != getattr(record, key)]
    if changed:
        raise ExperimentError(
            f"{result.folder} holds a cross-validation with another {', '.join(changed)} "
            f"({', '.join(str(getattr(earlier, key)) for key in changed)}): choose another --out, or delete that folder"
        )


def _split_seed(prepared: Path) -> int:
    """Reads the seed that a set was split with, so that its column ``fold``, if any, has the same folds."""
    path = prepared / "split.json"
    if not path.is_file():
        return 0
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["settings"]["seed"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ExperimentError(
            f"{path}: not a readable record of a split ({reason(error)}): split the set again"
        ) from error


def _over_folds(kept: Sequence[FoldRecord]) -> dict[str, MeanAndDeviation | None]:
    """Computes mean and standard deviation of each metric; ``None`` where it is undefined in a fold."""
    result: dict[str, MeanAndDeviation | None] = {}
    for name in METRICS:
        values = [getattr(fold, name) for fold in kept]
        undefined = any(value is None for value in values)
        result[name] = None if undefined else MeanAndDeviation(mean=mean(values), sd=stdev(values))
    return result
