"""What can go wrong in a training, told so that a person knows what to do: memory, disk, NaN, Ctrl-C."""

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
from torch import Tensor, nn

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import Experiment, TrainingSettings

CHECKPOINTS: Final = 3
"""Checkpoints that a run needs room for: the best, the last, and the one that is being written."""

_OUT_OF_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory")
"""How torch says so where it has no exception of its own: MPS, and processors on Linux and Windows."""

_LOST_CONNECTION: Final = "gloo/transport"
"""How torch says so between processors, where it has no exception of its own."""


class FiniteLossCheck(pl.Callback):
    """Stops at the first loss, and before the first checkpoint, that is not a finite number.

    It must stand before the callbacks that write history and checkpoints, so that they never see such an epoch.
    """

    def __init__(self, folder: Path) -> None:
        """Args: ``folder`` of the run."""
        self.folder = folder

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Looks at a step's loss, before it can reach the weights."""
        if not torch.isfinite(loss):
            self._stop(trainer, f"step {trainer.fit_loop.batch_idx + 1}: the training loss is {float(loss.detach())}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Looks at the validation loss and the weights: the last step may have spoilt them without a bad loss."""
        loss = trainer.callback_metrics.get("val_loss")
        if loss is not None and not torch.isfinite(loss):
            self._stop(trainer, f"the validation loss is {float(loss)}")
        for name, tensor in pl_module.state_dict().items():
            if not torch.isfinite(tensor).all():
                self._stop(trainer, f"the weights {name} are no longer finite")

    def _stop(self, trainer: pl.Trainer, what: str) -> None:
        done = trainer.current_epoch
        kept = f"the checkpoints of the {done} epochs before are kept" if done else "no epoch was finished"
        raise ExperimentError(
            f"epoch {done + 1}, {what}; {kept} in {self.folder}. The same command would come to the same place: with "
            "another --out, lower training.learning_rate (--find-rate suggests one), set training.gradient_clip=1, or "
            "compute with training.precision=32"
        )


@contextmanager
def clear_training_errors(experiment: Experiment, folder: Path) -> Iterator[None]:
    """Turns what a training fails with into what a person can act on.

    Args:
        experiment: What is trained.
        folder: The run's folder.

    Raises:
        ExperimentError: Out of memory (the message has a smaller batch with the same step), or another process of a
            training on several devices is gone.
        KeyboardInterrupt: Ctrl-C, which Lightning turns into ``SystemExit``; further ones work again afterwards.
    """
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise ExperimentError(_out_of_memory(experiment, folder, error)) from error
        if is_lost_connection(error):
            raise ExperimentError(
                f"{folder}: another process of this training is gone; what it said stands elsewhere, and the same "
                "command goes on after the last whole epoch"
            ) from error
        raise
    finally:
        if threading.current_thread() is threading.main_thread() and on_interrupt is not None:
            signal.signal(signal.SIGINT, on_interrupt)  # Lightning leaves it ignored


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory, of the machine or the GPU, is used up."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in _OUT_OF_MEMORY)
    )


def is_lost_connection(error: BaseException) -> bool:
    """Whether an exception says that another process of the training can't be reached any more."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and _LOST_CONNECTION in str(error))


def smaller_batch(batch_size: int, accumulate: int) -> tuple[int, int] | None:
    """A smaller batch whose accumulated steps take as many photographs.

    Args:
        batch_size: Photographs a batch.
        accumulate: Batches a step.

    Returns:
        The largest divisor of ``batch_size`` below it, and the batches a step to go with it; ``None`` where a batch is
        one photograph already.

    Example:
        >>> smaller_batch(16, 1), smaller_batch(15, 2)
        ((8, 2), (5, 6))
    """
    if batch_size == 1:
        return None
    smaller = next(size for size in range(batch_size // 2, 0, -1) if batch_size % size == 0)
    return smaller, accumulate * batch_size // smaller


def checkpoint_bytes(network: nn.Module, settings: TrainingSettings) -> int:
    """The size of a checkpoint with everything that resuming needs, but for some kilobytes.

    Args:
        network: What is trained.
        settings: How: the optimiser's and the average's share depend on it.
    """
    weights = sum(int(tensor.nbytes) for tensor in network.state_dict().values())
    trained = sum(int(parameter.nbytes) for parameter in network.parameters() if parameter.requires_grad)
    moments = {"adam": 2, "adamw": 2, "sgd": int(settings.momentum > 0)}[settings.optimizer]
    return weights * (1 if settings.ema is None else 2) + trained * moments


def require_space(folder: Path, needed: int) -> None:
    """Makes sure that a run's checkpoints fit, before hours are spent on them.

    Args:
        folder: The run's folder; checkpoints that it has already are room that will be used again.
        needed: Bytes of all checkpoints.

    Raises:
        ExperimentError: They don't fit.
    """
    there = sum(path.stat().st_size for path in folder.glob("checkpoints/*.ckpt"))
    free = shutil.disk_usage(folder).free
    if free < needed - there:
        raise ExperimentError(
            f"{folder}: checkpoints need {_megabytes(needed - there)}, and {_megabytes(free)} are free on that disk: "
            "make room, or choose an --out on another one"
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


def _out_of_memory(experiment: Experiment, folder: Path, error: BaseException) -> str:
    settings = experiment.training
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
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
    return f"{folder}: out of memory with {batch}: {advice}, with another --out or without that folder ({said})"
