"""Clear messages for a training that fails: memory, disk, a loss that is not finite, lost processes."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import Experiment, TrainingSettings
from retinagrade.messages import counted

CHECKPOINTS: Final = 3
"""Number of checkpoints that a run needs room for: the best, the last, and the one being written."""

_OUT_OF_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory")
"""Phrases in torch's errors where it has no exception type: MPS, and processors on Linux and Windows."""

_LOST_CONNECTION: Final = "gloo/transport"
"""Phrase in torch's errors for processes without GPUs, for which it has no exception type."""


class FiniteLossCheck(pl.Callback):
    """Stops a training at the first loss or weight that is not a finite number.

    It must come before the callbacks that write history and checkpoints, so that they never record such an epoch.
    """

    def __init__(self, folder: Path) -> None:
        """Args: ``folder`` of the run."""
        self.folder = folder

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Checks a step's loss before it changes the weights."""
        if not torch.isfinite(loss):
            self._stop(trainer, f"step {trainer.fit_loop.batch_idx + 1}: the training loss is {float(loss.detach())}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Checks the validation loss and the weights, which the last step may have spoilt."""
        loss = trainer.callback_metrics.get("val_loss")
        if loss is not None and not torch.isfinite(loss):
            self._stop(trainer, f"the validation loss is {float(loss)}")
        for name, tensor in pl_module.state_dict().items():
            if not torch.isfinite(tensor).all():
                self._stop(trainer, f"the weights {name} are no longer finite")

    def _stop(self, trainer: pl.Trainer, reason: str) -> None:
        done = trainer.current_epoch
        kept = f"the checkpoints of the {counted(done, 'epoch')} before are kept" if done else "no epoch was finished"
        raise ExperimentError(
            f"epoch {done + 1}, {reason}; {kept} in {self.folder}. The same command would fail again: with another "
            "--out, lower training.learning_rate (--find-rate suggests one), set training.gradient_clip=1, or compute "
            "with training.precision=32"
        )


class EndAtSigterm(pl.Callback):
    """Lets SIGTERM end a training like any other command. Lightning would end it with exit code 0, which means done."""

    def __init__(self) -> None:
        """Remembers the handler of the signal."""
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts the handler back in its place."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)


@contextmanager
def clear_training_errors(experiment: Experiment, folder: Path) -> Iterator[None]:
    """Turns the errors of a training into messages that a person can act on.

    Args:
        experiment: The experiment that is trained.
        folder: Folder of the run.

    Raises:
        ExperimentError: Memory is used up (the message suggests a smaller batch with the same step), or another process
            of a training on several devices has ended.
        KeyboardInterrupt: Ctrl-C, which Lightning turns into ``SystemExit``; afterwards, Ctrl-C works as before.
        SystemExit: SIGTERM, where its handler has not ended the process.
    """
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        if isinstance(error, SIGTERMException):  # the signal came before `EndAtSigterm`, and the exit code would be 0
            signal.raise_signal(signal.SIGTERM)  # whose handler Lightning has put back by now
            raise SystemExit(128 + signal.SIGTERM) from error
        raise
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise ExperimentError(_out_of_memory(experiment, folder, error)) from error
        if is_lost_connection(error):
            raise ExperimentError(
                f"{folder}: another process of this training has ended, and printed its own error; the same command "
                "continues after the last whole epoch"
            ) from error
        raise
    finally:
        if threading.current_thread() is threading.main_thread() and on_interrupt is not None:
            signal.signal(signal.SIGINT, on_interrupt)  # Lightning leaves the signal ignored


def is_out_of_memory(error: BaseException) -> bool:
    """True for an exception that means that the memory of the machine or the GPU is used up."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in _OUT_OF_MEMORY)
    )


def is_lost_connection(error: BaseException) -> bool:
    """True for an exception that means that another process of the training can no longer be reached."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and _LOST_CONNECTION in str(error))


def smaller_batch(batch_size: int, accumulate: int) -> tuple[int, int] | None:
    """Finds a smaller batch whose accumulated steps have the same number of photographs.

    Args:
        batch_size: Photographs in a batch.
        accumulate: Batches in a step.

    Returns:
        The largest proper divisor of ``batch_size``, and the number of such batches in a step; ``None`` where a batch
        is a single photograph already.

    Example:
        >>> smaller_batch(16, 1), smaller_batch(15, 2)
        ((8, 2), (5, 6))
    """
    if batch_size == 1:
        return None
    smaller = next(size for size in range(batch_size // 2, 0, -1) if batch_size % size == 0)
    return smaller, accumulate * batch_size // smaller


def checkpoint_bytes(network: nn.Module, settings: TrainingSettings) -> int:
    """Estimates the size in bytes of a checkpoint with everything that resuming needs.

    Args:
        network: The network that is trained.
        settings: Its training settings, which decide the state of the optimiser and of the average.
    """
    weights = sum(int(tensor.nbytes) for tensor in network.state_dict().values())
    trained = sum(int(parameter.nbytes) for parameter in network.parameters() if parameter.requires_grad)
    moments = {"adam": 2, "adamw": 2, "sgd": int(settings.momentum > 0)}[settings.optimizer]
    return weights * (1 if settings.ema is None else 2) + trained * moments


def require_space(folder: Path, needed: int) -> None:
    """Checks that a run's checkpoints fit on the disk.

    Args:
        folder: Folder of the run; its present checkpoints will be replaced, so their space counts as free.
        needed: Bytes of all checkpoints.

    Raises:
        ExperimentError: The checkpoints don't fit.
    """
    present = sum(path.stat().st_size for path in folder.glob("checkpoints/*.ckpt"))
    free = shutil.disk_usage(folder).free
    if free < needed - present:
        raise ExperimentError(
            f"{folder}: checkpoints need {_megabytes(needed - present)}, but the disk has {_megabytes(free)} free: "
            "free some space, or choose an --out on another disk"
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


def _out_of_memory(experiment: Experiment, folder: Path, error: BaseException) -> str:
    settings = experiment.training
    message = str(error).splitlines()[0] if str(error) else type(error).__name__
    batch = f"training.batch_size={settings.batch_size} at {experiment.network.image_size} px"
    smaller = smaller_batch(settings.batch_size, settings.accumulate)
    if smaller is None:
        advice = "lower network.image_size, or choose a smaller network"
    else:
        step = settings.batch_size * settings.accumulate
        advice = (
            f"try --set training.batch_size={smaller[0]} --set training.accumulate={smaller[1]}, which takes the same "
            f"{step} photographs a step"
        )
    return f"{folder}: out of memory with {batch}: {advice}, with another --out or without that folder ({message})"
