"""Leave-one-data-set-out evaluation: each data set is graded by a network that was trained on all other ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Final

import numpy as np
import pandas as pd

from retinagrade.arguments import NOT_NEGATIVE, check_arguments
from retinagrade.datasets.split import EXCLUDED
from retinagrade.datasets.stratification import photograph_groups
from retinagrade.errors import ExperimentError, UsageError
from retinagrade.evaluation.intervals import metric_intervals
from retinagrade.evaluation.metrics import Undefined, pairwise_auc
from retinagrade.evaluation.named_metrics import compute_metrics
from retinagrade.evaluation.predictions import graded_predictions, join_grades, read_predictions, write_predictions
from retinagrade.evaluation.resampling import RESAMPLES
from retinagrade.execution.progress import Progress, begin_stage, prefix_stages
from retinagrade.experiments.experiment import Experiment, load_experiment
from retinagrade.manifest import Manifest
from retinagrade.runs.leave_one_out import MEASURED, LeaveOneOut, LeaveOneOutRecord, MeasuredDataSet
from retinagrade.runs.predictions import PREDICT
from retinagrade.storage.files import is_free_folder, write_text
from retinagrade.storage.locking import locked
from retinagrade.storage.output_guard import continued_folder, guard_outputs, write_origin
from retinagrade.training.predict import predict
from retinagrade.training.start import training_inputs
from retinagrade.training.train import train

_NAMED: Final = tuple(name for name in MEASURED if name != pairwise_auc.__name__)


@check_arguments(workers=NOT_NEGATIVE, resamples=NOT_NEGATIVE)
def leave_one_data_set_out(
    prepared: str | os.PathLike[str],
    experiment: str | os.PathLike[str] | Experiment,
    out: str | os.PathLike[str],
    *,
    settings: Sequence[str] = (),
    start: str | os.PathLike[str] | None = None,
    resamples: int = RESAMPLES,
    workers: int | None = None,
    progress: Progress | None = None,
) -> LeaveOneOut:
    """Trains an experiment once for each data set of a joined set, without it, and measures the network on it.

    The protocol is that of GDRBench: the training photographs of all other data sets train the network, their
    validation photographs select its epoch, and all photographs of the data set that is held out, whatever their split,
    measure it. The other data sets' own test photographs stay unused. A photograph that has a copy, an eye or a patient
    in common with the data set that is held out stays unused, too.

    The same call again continues runs that were cut off and leaves finished ones unchanged.

    Source: H. Che et al., "Towards generalizable diabetic retinopathy grading in unseen domains", MICCAI 2023, and
    https://github.com/chehx/DGDR.

    Args:
        prepared: Folder of a joined set with a split, which :func:`~retinagrade.datasets.join.join` makes; its column
            ``dataset`` names the data sets.
        experiment: The experiment: its name, a YAML file, or an object.
        out: Folder of the evaluation.
        settings: Settings to change, as ``section.key=value``.
        start: The evaluation of the same data sets that an experiment with ``starts_from`` starts from; by default the
            one of that name beside ``out``.
        resamples: Number of resamples of patients for the intervals; 0 for no intervals.
        workers: Processes that load photographs, as in :func:`~retinagrade.training.train.train`.
        progress: Receives the progress of each training.

    Returns:
        The finished evaluation.

    Raises:
        ExperimentError: A training fails, as in :func:`~retinagrade.training.train.train`; the experiment outlines
            lesions; or ``out`` holds something else.
        ManifestError: The other data sets of one have no training photographs, or no validation photographs.
        UsageError: The set has fewer than two data sets; or ``out`` is, holds or lies in an input, or another call is
            writing it.
    """
    guard_outputs([continued_folder(Path(out))], training_inputs(prepared, experiment, start))
    experiment, prepared, result = load_experiment(experiment, settings), Path(prepared), LeaveOneOut(out)
    if experiment.outlines_lesions:
        raise ExperimentError(f"{experiment.name} outlines lesions and grades nothing: choose one that grades")
    manifest = Manifest.read(prepared / "manifest.csv")
    names = data_set_names(manifest)
    if experiment.starts_from is not None:
        start = start or result.folder.parent / experiment.starts_from
    with locked(result.record_file):
        _begin(result, LeaveOneOutRecord(experiment=experiment.name, names=names))
        for number, name in enumerate(names):
            stages = prefix_stages(progress, f"without {name} ({number + 1} of {len(names)})")
            run = train(
                prepared,
                experiment,
                result.run(name).folder,
                start=None if start is None else LeaveOneOut(start).run(name),
                workers=workers,
                manifest=hold_out(manifest, name),
                progress=stages,
            )
            if not run.predictions_file("test").is_file():
                predict(prepared, run, split="test", workers=workers, progress=stages)
        begin_stage(progress, "measuring the data sets")
        tables = {name: read_predictions(result.run(name).predictions_file("test")) for name in names}
        predicted = pd.concat(list(tables.values()), ignore_index=True)
        write_origin(result.predictions_file, PREDICT, [prepared, result.folder])
        # Joining fails unless each photograph is predicted exactly once.
        write_predictions(join_grades(predicted, manifest.graded().table), result.predictions_file)
        patients = manifest.table[["image_id", "patient_id"]]
        measured = tuple(_measure(name, tables[name].merge(patients), resamples) for name in names)
        result.write_record(
            LeaveOneOutRecord(
                status="finished", experiment=experiment.name, names=names, measured=measured, mean=_means(measured)
            )
        )
        write_text(result.table_file, result.metrics().to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    return result


def data_set_names(manifest: Manifest) -> tuple[str, ...]:
    """Returns the names of the data sets of a joined set, in alphabetical order.

    Raises:
        UsageError: There are fewer than two, or photographs that belong to none.
    """
    names = manifest.graded().table["dataset"]
    if names.nunique() < 2 or names.isna().any():
        raise UsageError(
            f"{manifest.root} has {names.nunique()} named data sets, and leaving one out needs at least two: join sets "
            "with `retinagrade data join`"
        )
    return tuple(sorted(map(str, names.unique())))


def hold_out(manifest: Manifest, name: str) -> Manifest:
    """Returns the photographs with a data set as the split ``test``, and all others in their own ``train`` and ``val``.

    Args:
        manifest: The photographs of a joined set.
        name: Name of the data set that is held out.

    Returns:
        The manifest. Photographs without a grade, other data sets' test photographs, and those that belong together
        with a photograph of the data set are ``excluded``.
    """
    table = manifest.table
    held_out = table["dataset"].eq(name).fillna(False).to_numpy(dtype=bool)
    groups = photograph_groups(table)
    split = table["split"].where(table["split"].isin(["train", "val"]), EXCLUDED)
    split = split.mask(np.isin(groups, groups[held_out]), EXCLUDED).mask(held_out, "test")
    return Manifest(table.assign(split=split.mask(table["grade"].isna(), EXCLUDED)), manifest.root)


def _begin(result: LeaveOneOut, record: LeaveOneOutRecord) -> None:
    """Begins an evaluation, or recognises it as one that the same call began earlier."""
    if not result.is_leave_one_out:
        if not is_free_folder(result.folder):
            raise ExperimentError(f"{result.folder} is not empty and holds no such evaluation: choose another --out")
        result.write_record(record)
    earlier = result.record()
    if (earlier.experiment, earlier.names) != (record.experiment, record.names):
        raise ExperimentError(
            f"{result.folder} holds an evaluation of {earlier.experiment} on {', '.join(earlier.names)}: choose "
            "another --out, or delete that folder"
        )


def _measure(name: str, table: pd.DataFrame, resamples: int) -> MeasuredDataSet:
    predictions = graded_predictions(table)
    values = compute_metrics(predictions).values
    try:
        pairs: float | None = pairwise_auc(predictions.grades, predictions.probabilities)
    except Undefined:
        pairs = None
    found = metric_intervals(predictions, _NAMED, resamples=resamples, seed=0).values
    intervals = {each: None if (one := found.get(each)) is None else (one.low, one.high) for each in _NAMED}
    metrics = {each: pairs if each == pairwise_auc.__name__ else values[each] for each in MEASURED}
    return MeasuredDataSet(name=name, photographs=len(predictions), metrics=metrics, intervals=intervals)


def _means(measured: Sequence[MeasuredDataSet]) -> dict[str, float | None]:
    """Computes the mean of each metric over the data sets; ``None`` where it is undefined for one of them."""
    values = {name: [each.metrics[name] for each in measured] for name in MEASURED}
    return {
        name: None if None in each else mean(value for value in each if value is not None)
        for name, each in values.items()
    }
