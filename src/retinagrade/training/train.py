"""Training one experiment on one prepared set: from nothing, or from where a killed run stopped."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar
from lightning.pytorch.strategies import DDPStrategy

from retinagrade import provenance
from retinagrade.datasets.balance import inverse_frequency_weights
from retinagrade.datasets.prepare import preparation_settings
from retinagrade.errors import ExperimentError
from retinagrade.evaluation.predictions import write_predictions
from retinagrade.evaluation.report.plots import figure_png, training_curves
from retinagrade.experiments.experiment import Experiment, TrainingSettings
from retinagrade.files import is_free_folder, sha256, write_bytes, write_json, write_text
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.manifest import Manifest
from retinagrade.models.cut_points import fit_cut_points
from retinagrade.models.network import Network, build_network, count_parameters
from retinagrade.models.outputs import Output, RegressionOutput
from retinagrade.models.weights import complete_settings, describe_weights
from retinagrade.runs.run import RATE_FILES, Run
from retinagrade.training.callbacks import AtomicCheckpointIO, training_callbacks
from retinagrade.training.devices import keep_freed_memory, lightning_precision, loader_workers
from retinagrade.training.distributed import ONE, Devices, disconnect
from retinagrade.training.failures import CHECKPOINTS, checkpoint_bytes, clear_training_errors, require_space
from retinagrade.training.features import cache_folder, feature_loaders
from retinagrade.training.loading import evaluation_loader, training_loader
from retinagrade.training.loggers import require_logger
from retinagrade.training.module import GradingModule, validation_metrics
from retinagrade.training.predict import (
    RawBatch,
    head_outputs,
    load_network,
    predictions_table,
    raw_outputs,
    restore_network,
)


def train(
    experiment: Experiment,
    prepared: Path,
    out: Path,
    workers: int | None = None,
    start: Path | None = None,
    manifest: Manifest | None = None,
    callbacks: Sequence[pl.Callback] = (),
    devices: Devices = ONE,
) -> Run:
    """Trains an experiment, keeps an epoch of it and predicts the validation split with that.

    The same call again continues a run that was cut off, from its last whole epoch and to the same history, and
    returns a finished run as it is.

    Args:
        experiment: What to train.
        prepared: A prepared set with splits ``train`` and ``val``; an experiment that keeps its last epoch can do
            without ``val``, and then predicts nothing.
        out: The run's folder.
        workers: Processes that load photographs; by default what the machine is worth.
        start: The run that an experiment with ``starts_from`` goes on with; by default the one of that name beside
            ``out``.
        manifest: The set's photographs with another split than its ``manifest.csv`` has, such as a fold's; kept in the
            run.
        callbacks: Who else is told of every epoch, after it stands in the history and before its checkpoint.
        devices: What to train on. Of several, each is a process that makes this same call, in an environment as
            ``torchrun`` or SLURM make it; folders are shared. They take their shares of the experiment's batches, so
            it is the same training; the first writes the run, and all return when it is finished.

    Returns:
        The finished run. Its ``experiment.yaml`` says what belongs to the weights as well: the architecture's
        arguments, and the input scaling.

    Raises:
        ExperimentError: ``out`` holds another experiment or was trained on other data, the run to start from is
            missing or was trained on another split, weights can't be had, a logger's package is missing, memory or the
            disk is too small, batches can't be shared out among the devices, or the loss is no longer finite.
        ManifestError: The prepared set has no graded photographs in a split.
    """
    require_logger(experiment.training.logger)
    devices.share_of(experiment.training.batch_size)
    manifest_file = prepared / "manifest.csv"
    graded = (Manifest.read(manifest_file) if manifest is None else manifest).graded()
    training, validation = graded.split("train"), _validation(graded, experiment)
    run = Run(out)
    fingerprint = sha256(manifest_file) if manifest is None else manifest.digest()
    resumed = run.last_checkpoint.is_file()  # which holds all weights: those that it started from may be gone
    start_run = None if resumed else find_start_run(experiment, out, start, fingerprint)
    experiment = complete_experiment(experiment, run, start_run)
    record: dict[str, Any] = {
        "status": "training",
        "experiment": experiment.name,
        "data": {
            "prepared": str(prepared.resolve()),
            "manifest_sha256": fingerprint,
            "own_split": manifest is not None,
            "preparation": preparation_settings(prepared),
            "photographs": {"train": len(training), "val": len(validation)},
        },
        "start": run.record()["start"] if resumed else _about_start(experiment, start_run),
    }
    if _begin(run, experiment, record, devices):
        return run
    if manifest is not None and devices.rank == 0:
        manifest.write(run.manifest_file)
    workers = loader_workers(devices.here) if workers is None else workers
    _fit(run, experiment, training, validation, workers, start_run, callbacks, devices)
    if devices.rank == 0:
        _finish(run, experiment, training, validation, workers, record, devices)
    disconnect()
    return run


def _finish(
    run: Run,
    experiment: Experiment,
    training: Manifest,
    validation: Manifest,
    workers: int,
    record: dict[str, Any],
    devices: Devices,
) -> None:
    """Predicts the validation photographs with the best epoch, and completes the record."""
    network = load_network(run)
    history = run.history()
    write_bytes(run.folder / "curves.png", figure_png(training_curves(history, experiment.network.loss)))
    total, trainable = count_parameters(network)
    kept = history[history["kept"]].iloc[0]
    figures = {name: float(kept[name]) for name in ("epoch", "val_loss", "val_accuracy", "val_qwk")}
    if len(validation):
        predictions = _predicted(run, network, experiment, training, validation, workers)
        write_predictions(predictions, run.predictions_file("val"))
        if run.output_file.is_file():  # its history was written before the cut points were fitted
            predicted = predictions[list(PROBABILITY_COLUMNS)].to_numpy().argmax(axis=1)
            figures |= validation_metrics(predictions["grade"].to_numpy(dtype=np.int64), predicted)
    finished = {
        "status": "finished",
        "parameters": {"total": total, "trainable": trainable},
        "epochs": len(history),
        "best": {name: _defined(figure) for name, figure in figures.items()},
        "training_seconds": float(history["seconds"].sum()),
        "devices": _device() if devices.count == 1 else f"{devices.count} × {_device()}",
        "precision": lightning_precision(experiment.training.precision),
    }
    write_json(run.record_file, {**record, **finished, **provenance.provenance_record()})


def _validation(graded: Manifest, experiment: Experiment) -> Manifest:
    """The photographs to validate on: none where nothing is chosen by them, and there are none."""
    if experiment.training.keep == "best" or graded.table["split"].eq("val").any():
        return graded.split("val")
    if experiment.network.output == "regression":
        raise ExperimentError(
            f"{experiment.name} is a regression, whose cut points are fitted on validation photographs, and there are "
            f"none: run `retinagrade split {graded.root}`"
        )
    return Manifest(graded.table.iloc[:0], graded.root)


def find_start_run(experiment: Experiment, out: Path, start: Path | None, manifest_sha256: str) -> Run | None:
    """The run that an experiment starts from.

    Args:
        experiment: What is to be trained.
        out: Its run's folder.
        start: The run to start from, where it is known.
        manifest_sha256: Digest of the manifest that is trained on.

    Returns:
        The run; ``None`` where the experiment starts from none.

    Raises:
        ExperimentError: It is missing, unfinished, of another experiment, or was trained on another split, so that it
            may have seen the photographs that this one is validated on.
    """
    if experiment.starts_from is None:
        if start is not None:
            raise ExperimentError(f"{experiment.name} starts from no run: leave {start} out")
        return None
    run = Run(start or out.parent / experiment.starts_from)
    if not run.record_file.is_file():
        raise ExperimentError(
            f"{experiment.name} starts from a run of {experiment.starts_from}, and there is none in {run.folder}: "
            "train it first, or say where it is with --start"
        )
    record = run.record()
    if record["experiment"] != experiment.starts_from:
        raise ExperimentError(
            f"{run.folder} is a run of {record['experiment']}, but {experiment.name} starts from one of "
            f"{experiment.starts_from}: say where it is with --start"
        )
    if record["status"] != "finished":
        raise ExperimentError(f"{run.folder} is not finished: train it to the end first")
    if record["data"]["manifest_sha256"] != manifest_sha256:
        raise ExperimentError(
            f"{run.folder} was trained on other data or another split, and may have seen what {experiment.name} is to "
            f"be validated on: train {experiment.starts_from} on this set first"
        )
    return run


def complete_experiment(experiment: Experiment, run: Run, start: Run | None) -> Experiment:
    """The experiment with what belongs to its weights: from its own run, the one it starts from, or the weights.

    Raises:
        ExperimentError: Weights that can't be read, or contradict it.
    """
    if (known := run if run.experiment_file.is_file() else start) is not None:
        network = known.experiment().network
        filled = {
            name: getattr(network, name)
            for name in ("arguments", "scaling")
            if getattr(experiment.network, name) is None and network.backbone == experiment.network.backbone
        }
        return experiment.model_copy(update={"network": experiment.network.model_copy(update=filled)})
    return experiment.model_copy(update={"network": complete_settings(experiment.network)})


def initial_module(experiment: Experiment, training: Manifest, start: Run | None) -> GradingModule:
    """A module as its training begins, after everything random has been seeded.

    Args:
        experiment: What is trained, as :func:`complete_experiment` gives it.
        training: Training photographs, of which its loss may weigh the grades.
        start: The run that it goes on with.

    Raises:
        ExperimentError: Its weights can't be had, or don't fit.
    """
    pl.seed_everything(experiment.training.seed, workers=True, verbose=False)
    return _module(_initial_network(experiment, start), experiment, training)


def _module(network: Network, experiment: Experiment, training: Manifest) -> GradingModule:
    weights = None
    if experiment.training.class_weights == "inverse-frequency":
        weights = inverse_frequency_weights(training.table["grade"].to_numpy(dtype=np.int64))
    return GradingModule(network, experiment, weights)


def _initial_network(experiment: Experiment, start: Run | None) -> Network:
    network = build_network(experiment.network)
    if start is not None:
        try:
            network.load_state_dict(load_network(start).state_dict())
        except RuntimeError as error:
            raise ExperimentError(f"{experiment.name} is another network than {start.folder}: {error}") from error
    return network


def _about_start(experiment: Experiment, start: Run | None) -> dict[str, str]:
    if start is None:
        return describe_weights(experiment.network)
    return {"run": str(start.folder.resolve()), "sha256": sha256(start.best_checkpoint)}


def _defined(figure: Any) -> float | None:
    """A figure for JSON, which has no NaN: QWK is undefined where all photographs have and are given one grade."""
    return None if pd.isna(figure) else float(figure)


def _begin(run: Run, experiment: Experiment, record: dict[str, Any], devices: Devices) -> bool:
    """Starts or recognises the run's folder; true when there is nothing left to do."""
    if devices.rank:
        return run.record_file.is_file() and bool(run.record()["status"] == "finished")
    if not run.experiment_file.exists():
        if not is_free_folder(run.folder, besides=RATE_FILES):
            raise ExperimentError(f"{run.folder} is not empty and not a run: choose another --out")
        write_text(run.experiment_file, experiment.to_yaml())
    before, now = run.experiment().model_dump(mode="json"), experiment.model_dump(mode="json")
    changed = [
        f"{section}.{key}" if isinstance(now[section], dict) else section
        for section in now
        for key in (now[section] if isinstance(now[section], dict) else [""])
        if (now[section] != before[section] if key == "" else now[section][key] != before[section][key])
    ]
    if changed:
        raise ExperimentError(
            f"{run.folder} holds a run with another {', '.join(changed)}: choose another --out, or delete that folder"
        )
    if not run.record_file.is_file():
        write_json(run.record_file, record)
    earlier = run.record()
    if earlier["data"]["manifest_sha256"] != record["data"]["manifest_sha256"]:
        raise ExperimentError(
            f"{run.folder} was trained on other data or another split: choose another --out, or delete that folder"
        )
    return bool(earlier["status"] == "finished")


def _fit(
    run: Run,
    experiment: Experiment,
    training: Manifest,
    validation: Manifest,
    workers: int,
    start: Run | None,
    further: Sequence[pl.Callback],
    devices: Devices,
) -> None:
    settings = experiment.training
    if _is_over(run, experiment):
        return
    if run.last_checkpoint.is_file():  # which Lightning will restore as well; but features are kept by the weights
        pl.seed_everything(settings.seed, workers=True, verbose=False)
        module = _module(restore_network(experiment, run.last_checkpoint), experiment, training)
    else:
        module = initial_module(experiment, training, start)
    if devices.rank == 0:
        require_space(run.folder, CHECKPOINTS * checkpoint_bytes(module.network, settings))
    on_terminal = sys.stderr.isatty()
    callbacks = [
        *training_callbacks(experiment, run.folder, announce=not on_terminal, leads=devices.rank == 0),
        *further,
        *([TQDMProgressBar()] if on_terminal else []),
    ]
    trainer = make_trainer(settings, run.folder, callbacks, devices=devices)
    with clear_training_errors(experiment, run.folder):
        cache = cache_folder(training.root, run.folder)
        loaders = feature_loaders(module.network, training, validation, experiment, workers, cache, devices) or (
            training_loader(training, experiment, workers, devices),
            evaluation_loader(validation, experiment, workers, devices),
        )
        trainer.fit(module, *loaders, ckpt_path=run.last_checkpoint if run.last_checkpoint.is_file() else None)
        if trainer.interrupted:
            raise KeyboardInterrupt


def _predicted(
    run: Run, network: Network, experiment: Experiment, training: Manifest, validation: Manifest, workers: int
) -> pd.DataFrame:
    """What the trained network says of the validation photographs; of a regression, by cut points fitted on them."""
    cache = cache_folder(training.root, run.folder)
    loaders = feature_loaders(network, training, validation, experiment, workers, cache)
    raw = list(
        raw_outputs(network, experiment, validation, workers)
        if loaders is None
        else head_outputs(network, loaders[1], experiment.training.batch_size)
    )
    if experiment.network.output == "regression":
        network.output = _fit_output(run, raw, validation)
    return predictions_table(network.output, raw, validation)


def _fit_output(run: Run, raw: list[RawBatch], validation: Manifest) -> Output:
    """Fits the cut points of a regression on its best epoch's validation predictions, and stores them in the run."""
    grades = validation.table.set_index("image_id")["grade"]
    image_ids = [image_id for batch, _ in raw for image_id in batch]
    predicted = torch.cat([numbers[:, 0] for _, (numbers,) in raw]).double().cpu().numpy()
    cut_points = fit_cut_points(predicted, grades.loc[image_ids].to_numpy(dtype=np.int64))
    write_json(run.output_file, cut_points.model_dump(mode="json"))
    return RegressionOutput(cut_points)


def make_trainer(
    settings: TrainingSettings,
    folder: Path,
    callbacks: list[pl.Callback],
    trial_steps: int | None = None,
    devices: Devices = ONE,
) -> pl.Trainer:
    """Makes the trainer that every experiment is trained with.

    Args:
        settings: The experiment's section ``training``.
        folder: The run's folder.
        callbacks: What watches it, a progress bar included.
        trial_steps: Stop after so many steps of the optimiser, validating and keeping nothing; by default after the
            experiment's epochs.
        devices: What to train on.

    Returns:
        A trainer in the precision that the machine computes in.
    """
    quiet_lightning()
    keep_freed_memory()
    # Deterministic algorithms would else fill all new memory first, an aid for finding operations that don't write it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # made at run time
    return pl.Trainer(
        max_epochs=settings.epochs if trial_steps is None else -1,
        max_steps=trial_steps or -1,
        limit_val_batches=1.0 if trial_steps is None else 0,
        enable_checkpointing=trial_steps is None,
        devices=devices.here,
        num_nodes=devices.nodes,
        # Batch-norm's statistics are the same everywhere, and validation takes as long as each one's share does. Who
        # starts the processes notices one that is gone, so that nobody has to watch the clock.
        strategy=DDPStrategy(broadcast_buffers=False, timeout=timedelta(days=7)) if devices.count > 1 else "auto",
        use_distributed_sampler=False,
        precision=lightning_precision(settings.precision),
        gradient_clip_val=settings.gradient_clip,
        accumulate_grad_batches=settings.accumulate,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        logger=False,
        deterministic="warn",
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )


def _is_over(run: Run, experiment: Experiment) -> bool:
    """Whether all epochs of a cut-off run are done, and only what comes after them was lost."""
    if not run.last_checkpoint.is_file():
        return False
    # The checkpoint is written after history.csv, so the file may hold one epoch that will be repeated.
    checkpoint = torch.load(run.last_checkpoint, map_location="cpu", weights_only=True)
    history = pd.DataFrame(checkpoint["callbacks"]["History"]["rows"])
    if len(history) >= experiment.training.epochs or experiment.training.keep == "last":
        return len(history) >= experiment.training.epochs
    return len(history) - 1 - int(history["val_loss"].argmin()) >= experiment.training.patience


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"


def quiet_lightning() -> None:
    """Silences what Lightning says of every training and no user can act on."""
    for room in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(room).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*The number of training batches.*")
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
    warnings.filterwarnings("ignore", ".*`broadcast_buffers` is deprecated.*")  # older releases know no other name
    warnings.filterwarnings("ignore", ".*recommended to use `self.log.*sync_dist.*")
    warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")
    warnings.filterwarnings("ignore", ".*have no `val_dataloader`.*")
    warnings.filterwarnings("ignore", ".*Total length of `DataLoader` across ranks is zero.*")
