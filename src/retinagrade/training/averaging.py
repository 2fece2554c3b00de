"""A moving average of the weights: validation, the kept checkpoint and predictions use the average."""

from __future__ import annotations

from itertools import chain
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel


class AveragedWeights(pl.Callback):
    """Averages the network's weights exponentially, after each step.

    After step ``n`` the average becomes ``d·average + (1 - d)·weights`` with ``d = min(decay, (1 + n) / (10 + n))``, so
    that the first weights have little influence in a short training. Batch-norm's running statistics are averaged too.

    The module holds the average from the start of a validation, or the end of an epoch without one, to the next
    training batch, and the trained weights otherwise. So checkpoints, ``best.ckpt`` included, hold the network that was
    validated; the trained weights, which resuming needs, are in this callback's state. (Lightning's
    ``WeightAveraging`` restores the trained weights before checkpoints are written, and checkpoints of weights only
    don't have the average.)

    Source of the warm-up: TensorFlow, ``tf.train.ExponentialMovingAverage(num_updates=…)``.
    """

    def __init__(self, decay: float) -> None:
        """Args: ``decay`` of the average in a step, 0 to 1."""
        self.decay = decay
        self._other: AveragedModel | None = None  # the average; the trained weights while the module holds the average
        self._swapped = False
        self._steps = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Allocates the average, before a checkpoint is loaded."""
        if stage == "fit":
            network = pl_module.get_submodule("network")
            self._other = AveragedModel(network, avg_fn=self._average, use_buffers=True)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Moves the average to the network's device."""
        self._stored.to(pl_module.device)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins to count the optimiser's steps."""
        self._steps = trainer.global_step

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Restores the trained weights in the module."""
        if self._swapped:
            self._swap(pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Updates the average where the optimiser has taken a step."""
        if trainer.global_step > self._steps:
            self._stored.update_parameters(pl_module.get_submodule("network"))
            self._steps = trainer.global_step

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Loads the average into the module."""
        if not self._swapped:
            self._swap(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Loads the average into the module in an epoch without validation."""
        self.on_validation_start(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Returns the weights that the module doesn't hold, for the checkpoint."""
        return {"other": self._stored.state_dict(), "swapped": self._swapped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the weights from a checkpoint."""
        self._stored.load_state_dict(state_dict["other"])
        self._swapped = state_dict["swapped"]

    @property
    def _stored(self) -> AveragedModel:
        assert self._other is not None
        return self._other

    def _average(self, average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        if not average.is_floating_point():  # batch-norm's number of batches
            return current
        count = torch.as_tensor(count)
        decay = torch.clamp((1 + count) / (10 + count), max=self.decay)
        return average.lerp(current, (1 - decay).to(average.dtype))

    @torch.no_grad()
    def _swap(self, pl_module: pl.LightningModule) -> None:
        network = pl_module.get_submodule("network")
        stored = chain(self._stored.module.parameters(), self._stored.module.buffers())
        for other, own in zip(stored, chain(network.parameters(), network.buffers()), strict=True):
            kept = own.clone()
            own.copy_(other)
            other.copy_(kept)
        self._swapped = not self._swapped
