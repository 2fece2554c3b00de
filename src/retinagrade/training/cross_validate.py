"""Cross-validation: one run a fold, and every photograph predicted by the one that has not seen it or its patient."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Final

import pandas as pd

from retinagrade.datasets.split import fold_splits
from retinagrade.errors import ExperimentError
from retinagrade.evaluation.predictions import join_grades, read_predictions, write_predictions
from retinagrade.experiments.experiment import Experiment
from retinagrade.files import is_free_folder, write_json
from retinagrade.manifest import Manifest
from retinagrade.runs.run import CrossValidation
from retinagrade.training.train import train

FIGURES: Final = ("val_loss", "val_accuracy", "val_qwk")
"""Figures of each fold's best epoch that are averaged."""


def cross_validate(
    experiment: Experiment,
    prepared: Path,
    out: Path,
    folds: int,
    workers: int | None = None,
    start: Path | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> CrossValidation:
    """Trains an experiment once a fold, each time validated on another part of the photographs.

    The parts are those of ``retinagrade split PREPARED --folds``, with the seed that the set was last split with. The
    set's own manifest stays as it is; each run keeps its own. The same call again continues what was cut off and leaves
    finished folds as they are.

    Args:
        experiment: What to train.
        prepared: A prepared set; a split ``test`` stays out of all folds.
        out: The folder of the cross-validation.
        folds: Number of folds, at least 2.
        workers: As for :func:`train`.
        start: The cross-validation that an experiment with ``starts_from`` goes on with, of as many folds; by default
            the one of that name beside ``out``.
        announce: Told, in a line, which fold begins.

    Returns:
        The finished cross-validation.

    Raises:
        ExperimentError: As for :func:`train`, or ``out`` holds something else.
        UsageError: Too few photographs for so many folds.
    """
    manifest = Manifest.read(prepared / "manifest.csv")
    seed = _split_seed(prepared)
    parts = fold_splits(manifest, folds, seed)
    result = CrossValidation(out)
    record = {"status": "training", "experiment": experiment.name, "folds": folds, "seed": seed}
    _begin(result, record)
    if experiment.starts_from is not None:
        start = start or out.parent / experiment.starts_from
    for number, part in enumerate(parts):
        announce(f"fold {number} ({number + 1} of {folds})")
        from_fold = None if start is None else start / f"fold-{number}"
        train(experiment, prepared, result.fold(number).folder, workers, from_fold, part)
    runs = [result.fold(number) for number in range(folds)]
    predicted = pd.concat([read_predictions(run.predictions_file("val")) for run in runs], ignore_index=True)
    divided = Manifest(parts[0].table[parts[0].table["fold"].notna()], manifest.root).graded()
    write_predictions(
        join_grades(predicted, divided.table), result.predictions_file
    )  # each photograph exactly once, or an error
    figures = [{"fold": number, **run.record()["best"]} for number, run in enumerate(runs)]
    write_json(
        result.record_file, {**record, "status": "finished", "best": figures, "over_folds": _over_folds(figures)}
    )
    return result


def _begin(result: CrossValidation, record: dict[str, Any]) -> None:
    """Starts or recognises the folder."""
    if not result.record_file.is_file():
        if not is_free_folder(result.folder):
            raise ExperimentError(f"{result.folder} is not empty and no cross-validation: choose another --out")
        write_json(result.record_file, record)
    earlier = result.record()
    changed = [key for key in ("experiment", "folds", "seed") if earlier.get(key) != record[key]]
    if changed:
        raise ExperimentError(
            f"{result.folder} holds a cross-validation with another {', '.join(changed)} "
            f"({', '.join(str(earlier.get(key)) for key in changed)}): choose another --out, or delete that folder"
        )


def _split_seed(prepared: Path) -> int:
    """The seed that a set was split with, so that its column ``fold``, where it has one, is what is trained on."""
    path = prepared / "split.json"
    if not path.is_file():
        return 0
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["settings"]["seed"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExperimentError(f"{path}: not a readable record of a split ({error}): split the set again") from error


def _over_folds(figures: list[dict[str, Any]]) -> dict[str, dict[str, float] | None]:
    """Mean and standard deviation of each figure; ``None`` where it is undefined in a fold."""
    result: dict[str, dict[str, float] | None] = {}
    for name in FIGURES:
        values = [fold[name] for fold in figures]
        undefined = any(value is None for value in values)
        result[name] = None if undefined else {"mean": mean(values), "sd": stdev(values)}
    return result
