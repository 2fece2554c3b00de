"""Training of one experiment on one prepared set."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import lightning.pytorch as pl
import numpy as np

from retinagrade.arguments import NOT_NEGATIVE, check_arguments
from retinagrade.datasets.balance import describe_repetition, describe_source_repetition
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.experiments.experiment import Experiment, load_experiment
from retinagrade.manifest import Manifest
from retinagrade.runs.run import Run
from retinagrade.storage.locking import locked
from retinagrade.storage.output_guard import continued_folder, guard_outputs
from retinagrade.training.data import TrainingData, read_training_data
from retinagrade.training.devices import loader_workers
from retinagrade.training.distributed import ONE_DEVICE, Devices, disconnect
from retinagrade.training.finish import finish_run
from retinagrade.training.fit import fit_run
from retinagrade.training.loading import epoch_sampler
from retinagrade.training.loggers import require_logger
from retinagrade.training.start import begin_run, complete_experiment, find_start_run, training_inputs


@check_arguments(advice={"devices": "Devices(4) stands for four devices of this machine"}, workers=NOT_NEGATIVE)
def train(
    prepared: str | os.PathLike[str],
    experiment: str | os.PathLike[str] | Experiment,
    out: str | os.PathLike[str],
    *,
    settings: Sequence[str] = (),
    start: str | os.PathLike[str] | Run | None = None,
    workers: int | None = None,
    devices: Devices = ONE_DEVICE,
    manifest: Manifest | None = None,
    callbacks: Sequence[pl.Callback] = (),
    progress: Progress | None = None,
) -> Run:
    """Trains an experiment, keeps one epoch's weights and predicts the validation photographs with them.

    The same call again continues a run that was cut off, after its last whole epoch and to the same history, and
    returns a finished run unchanged.

    Args:
        prepared: Folder of a prepared set with splits ``train`` and ``val``. An experiment that keeps its last epoch
            can do without ``val``, and then predicts nothing; of a set that nobody has split, it takes all photographs
            for training.
        experiment: The experiment: its name, a YAML file, or an object.
        out: Folder of the run.
        settings: Settings to change, as ``section.key=value``.
        start: The run that an experiment with ``starts_from`` starts from; by default the run of that name beside
            ``out``.
        workers: Processes that load photographs, 0 for none beside this one; by default as many as speed this
            machine up.
        devices: The devices to train on. Each of several devices has its own process, which makes this same call in an
            environment prepared by ``torchrun`` or SLURM, with shared folders. Together, they train on the same batches
            as one device would; the first process writes the run, and all return when it is finished.
        manifest: The set's photographs with another split than in its ``manifest.csv``, such as a fold's; the run keeps
            a copy.
        callbacks: Further Lightning callbacks. They run after an epoch is in the history and before its checkpoint.
        progress: Receives the steps of the training, and every epoch's metrics in the name of a stage. Before them, it
            receives a notice where ``training.balance`` asks for more photographs of a grade than there are; without
            ``progress``, the notice is a warning.

    Returns:
        The finished run. Its ``experiment.yaml`` also holds the architecture's arguments and the input scaling, which
        belong to the weights.

    Raises:
        ExperimentError: The experiment isn't valid; ``out`` holds another experiment or was trained on other data; the
            run to start from is missing or was trained on another split; weights can't be read; a logger's package is
            missing; memory or disk is too small; batches can't be divided among the devices; or the loss is no longer
            finite.
        ManifestError: The prepared set has no graded photographs in a split.
        UsageError: ``out`` is, holds or lies in an input, or another call is writing it.
    """
    guard_outputs([continued_folder(Path(out))], training_inputs(prepared, experiment, start))
    experiment = load_experiment(experiment, settings)
    require_logger(experiment.training.logger)
    devices.batch_share(experiment.training.batch_size)
    data = read_training_data(Path(prepared), experiment, manifest)

    run = Run(Path(out))
    workers = loader_workers(devices.per_machine) if workers is None else workers
    with nullcontext() if devices.rank else locked(run.record_file):  # the first process writes for all of a training
        _train(run, experiment, data, start, workers, devices, callbacks, progress)
    return run


def _train(
    run: Run,
    experiment: Experiment,
    data: TrainingData,
    start: str | os.PathLike[str] | Run | None,
    workers: int,
    devices: Devices,
    callbacks: Sequence[pl.Callback],
    progress: Progress | None,
) -> None:
    """Trains a run, or continues it; a finished one stays unchanged."""
    resumed = run.last_checkpoint.is_file()  # it holds all weights
    start_run = None if resumed else find_start_run(experiment, run.folder, start, data.digest)
    experiment = complete_experiment(experiment, run, start_run)
    if begin_run(run, experiment, data, start_run, devices):
        return
    if devices.rank == 0:
        _report_repetition(experiment, data, progress)
    fit_run(
        run,
        experiment,
        data,
        start=start_run,
        workers=workers,
        devices=devices,
        callbacks=callbacks,
        progress=progress,
    )
    if devices.rank == 0:
        finish_run(run, experiment, data, workers=workers, devices=devices, progress=progress)
    disconnect()


def _report_repetition(experiment: Experiment, data: TrainingData, progress: Progress | None) -> None:
    """Says before the training that balancing asks for more photographs than there are."""
    settings, table = experiment.training, data.training.table
    if settings.sources is not None:
        drawn = [draw.row for draw in epoch_sampler(data.training, experiment)]
        text = describe_source_repetition(table["dataset"].fillna("").to_numpy(dtype=str), drawn)
        remedy = "weights nearer to the numbers of photographs repeat fewer"
    elif settings.balance is not None:
        text = describe_repetition(table["grade"].to_numpy(dtype=np.int64), settings.balance)
        remedy = "a smaller number, square-root or null repeats fewer"
    else:
        return
    if text is None:
        return
    advice = f"{text}: {remedy}"
    if progress is None:
        warnings.warn(advice, stacklevel=2)
    else:
        begin_stage(progress, advice)
