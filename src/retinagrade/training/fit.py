"""The fit of a run: Lightning's trainer, the module to train, and the epochs that are left to train."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.strategies import DDPStrategy

from retinagrade.datasets.balance import inverse_frequency_weights
from retinagrade.execution.progress import Progress
from retinagrade.experiments.experiment import Experiment, TrainingSettings
from retinagrade.manifest import Manifest
from retinagrade.models.network import Network
from retinagrade.runs.run import Run
from retinagrade.training.batch_norm import convert_batch_norm
from retinagrade.training.callbacks import AtomicCheckpointIO, ProgressReport, training_callbacks
from retinagrade.training.checkpoints import read_checkpoint, restore_lesion_network, restore_network
from retinagrade.training.data import TrainingData
from retinagrade.training.devices import keep_freed_memory, lightning_precision
from retinagrade.training.distributed import ONE_DEVICE, Devices
from retinagrade.training.failures import (
    CHECKPOINTS,
    EndAtSigterm,
    checkpoint_bytes,
    clear_training_errors,
    require_space,
)
from retinagrade.training.features import cache_folder, feature_loaders
from retinagrade.training.lesions.crops import crop_loader, whole_loader
from retinagrade.training.lesions.module import LesionModule
from retinagrade.training.loading import evaluation_loader, training_loader
from retinagrade.training.module import GradingModule
from retinagrade.training.start import initial_lesion_network, initial_network


def fit_run(
    run: Run,
    experiment: Experiment,
    data: TrainingData,
    *,
    start: Run | None,
    workers: int,
    devices: Devices = ONE_DEVICE,
    callbacks: Sequence[pl.Callback] = (),
    progress: Progress | None = None,
) -> None:
    """Trains the epochs that a run has left, and writes its history, checkpoints and logs.

    Args:
        run: The run, as :func:`~retinagrade.training.start.begin_run` began it.
        experiment: The experiment, as :func:`~retinagrade.training.start.complete_experiment` returns it.
        data: The photographs to train and validate on.
        start: The run whose network the training starts from.
        workers: Processes that load photographs.
        devices: The devices to train on.
        callbacks: Further callbacks, which run before those that write checkpoints.
        progress: Receives the progress.

    Raises:
        ExperimentError: Weights, memory, disk or loss don't allow the training.
        KeyboardInterrupt: Ctrl-C.
    """
    if _is_over(run, experiment):
        return
    resume = run.last_checkpoint if run.last_checkpoint.is_file() else None
    module = (
        initial_lesion_module(experiment, start, resume)
        if experiment.outlines_lesions
        else initial_module(experiment, data.training, start, resume)
    )
    if devices.count > 1 and torch.cuda.is_available():
        convert_batch_norm(module.network, experiment.network)
    if devices.rank == 0:
        require_space(run.folder, CHECKPOINTS * checkpoint_bytes(module.network, experiment.training))
    leads = devices.rank == 0
    own_callbacks = training_callbacks(experiment, run.folder, leads=leads)
    report = [ProgressReport(progress)] if progress is not None and leads else []
    trainer = make_trainer(experiment.training, run.folder, [*own_callbacks, *report, *callbacks], devices=devices)
    with clear_training_errors(experiment, run.folder):
        if isinstance(module, LesionModule):
            trainer.fit(
                module,
                crop_loader(data.training, experiment, workers, devices),
                whole_loader(data.validation, experiment, workers, devices),
                ckpt_path=resume,
            )
        else:
            cache = cache_folder(data.training.root, run.folder)
            loaders = feature_loaders(
                module.network, data.training, data.validation, experiment, workers, cache, devices, progress
            ) or (
                training_loader(data.training, experiment, workers, devices),
                evaluation_loader(data.validation, experiment, workers, devices),
            )
            trainer.fit(module, *loaders, ckpt_path=resume)
        if trainer.interrupted:
            raise KeyboardInterrupt


def initial_lesion_module(experiment: Experiment, start: Run | None, resume: Path | None = None) -> LesionModule:
    """Makes the module of a network that outlines lesions, as :func:`initial_module` makes one that grades."""
    pl.seed_everything(experiment.training.seed, workers=True, verbose=False)
    if resume is not None:
        return LesionModule(restore_lesion_network(experiment, resume), experiment)
    return LesionModule(initial_lesion_network(experiment, start), experiment)


def initial_module(
    experiment: Experiment, training: Manifest, start: Run | None, resume: Path | None = None
) -> GradingModule:
    """Makes the module to train, after seeding everything random.

    Args:
        experiment: The experiment, as :func:`~retinagrade.training.start.complete_experiment` returns it.
        training: Training photographs, whose grades may weight the loss.
        start: The run whose network the training starts from.
        resume: The last checkpoint of the same run. Lightning restores its weights too, but only after the digest of
            the frozen backbone has selected the cached features.

    Raises:
        ExperimentError: The weights can't be read or downloaded, or don't fit the network.
    """
    pl.seed_everything(experiment.training.seed, workers=True, verbose=False)
    network: Network = initial_network(experiment, start) if resume is None else restore_network(experiment, resume)
    weights = None
    if experiment.training.class_weights == "inverse-frequency":
        weights = inverse_frequency_weights(training.table["grade"].to_numpy(dtype=np.int64))
    return GradingModule(network, experiment, weights)


def make_trainer(
    settings: TrainingSettings,
    folder: Path,
    callbacks: list[pl.Callback],
    trial_steps: int | None = None,
    devices: Devices = ONE_DEVICE,
) -> pl.Trainer:
    """Makes the trainer that every experiment is trained with.

    Args:
        settings: Section ``training`` of the experiment.
        folder: Folder of the run.
        callbacks: The trainer's callbacks.
        trial_steps: Steps of the optimiser after which a trial stops that validates and saves nothing; by default, the
            training ends after the experiment's epochs.
        devices: The devices to train on.

    Returns:
        A trainer in the precision that the machine computes in.
    """
    quiet_lightning()
    keep_freed_memory()
    # Deterministic algorithms fill all new memory first by default, an aid for finding operations that don't write it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # made at run time
    return pl.Trainer(
        max_epochs=settings.epochs if trial_steps is None else -1,
        max_steps=trial_steps or -1,
        check_val_every_n_epoch=settings.validate_every,
        limit_val_batches=1.0 if trial_steps is None else 0,
        enable_checkpointing=trial_steps is None,
        devices=devices.per_machine,
        num_nodes=devices.nodes,
        # All processes hold the same batch-norm statistics, so none are sent. A process waits for the others as long as
        # they take for validation: the launcher notices one that has died, so no time limit has to.
        strategy=DDPStrategy(broadcast_buffers=False, timeout=timedelta(days=7)) if devices.count > 1 else "auto",
        use_distributed_sampler=False,
        precision=lightning_precision(settings.precision),
        gradient_clip_val=settings.gradient_clip,
        accumulate_grad_batches=settings.accumulate,
        callbacks=[EndAtSigterm(), *callbacks],
        plugins=[AtomicCheckpointIO()],
        logger=False,
        deterministic="warn",
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )


def quiet_lightning() -> None:
    """Silences messages that Lightning prints in every training and that no user can act on."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*The number of training batches.*")
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
    warnings.filterwarnings("ignore", ".*`broadcast_buffers` is deprecated.*")  # older releases know no other name
    warnings.filterwarnings("ignore", ".*recommended to use `self.log.*sync_dist.*")
    warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")
    warnings.filterwarnings("ignore", ".*have no `val_dataloader`.*")
    warnings.filterwarnings("ignore", ".*Total length of `DataLoader` across ranks is zero.*")


def _is_over(run: Run, experiment: Experiment) -> bool:
    """True where all epochs of a run are trained, and only the steps after them were cut off."""
    if not run.last_checkpoint.is_file():
        return False
    # The checkpoint is written after history.csv, so the file may hold one epoch that will be repeated.
    checkpoint = read_checkpoint(run.last_checkpoint)
    history = pd.DataFrame(checkpoint["callbacks"]["History"]["rows"])
    settings = experiment.training
    if len(history) >= settings.epochs or settings.keep == "last" or settings.patience is None:
        return len(history) >= settings.epochs
    return len(history) - 1 - int(history["val_loss"].argmin()) >= settings.patience
