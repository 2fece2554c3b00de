"""The Lightning module: loss, optimiser, schedule, and validation figures keyed by photograph."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from retinagrade.evaluation.metrics import Undefined, accuracy, confusion_matrix, quadratic_weighted_kappa
from retinagrade.models.bfloat16 import avoid_slow_kernels
from retinagrade.models.network import Network
from retinagrade.models.weights import SETTINGS_KEY
from retinagrade.training.devices import lightning_precision
from retinagrade.training.experiment import Experiment
from retinagrade.training.loading import Batch

WARM_UP = 0.15
"""Share of the steps in which a one-cycle schedule climbs to its peak."""

KERAS_EPSILON = 1e-7
"""What Keras, and so the report, adds to Adam's denominator."""


class GradingModule(pl.LightningModule):
    """Trains a :class:`Network` with categorical cross-entropy, as the report does."""

    def __init__(self, network: Network, experiment: Experiment) -> None:
        """Args: ``network`` to train, ``experiment`` that says how."""
        super().__init__()
        if not torch.cuda.is_available() and lightning_precision(experiment.training.precision) == "bf16-mixed":
            avoid_slow_kernels(network)
        self.network = network
        self.experiment = experiment
        self._seen: dict[str, tuple[int, int, float]] = {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the network's settings, so that whoever loads the file's weights can check them."""
        checkpoint[SETTINGS_KEY] = self.experiment.network.model_dump(mode="json")

    def forward(self, photographs: Tensor) -> Tensor:
        """Logits (N, 5) of photographs (N, 3, S, S), 0 to 255."""
        logits: Tensor = self.network(photographs)
        return logits

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seeds dropout from seed, epoch and step, so that a resumed epoch repeats what the killed one did.

        Lightning leaves ``on_train_epoch_start`` out of the first epoch after resuming.
        """
        place = (self.experiment.training.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))

    def training_step(self, batch: Batch) -> Tensor:
        """Mean cross-entropy of a batch."""
        loss = F.cross_entropy(self(batch["photographs"]).float(), batch["grades"])
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch["grades"]))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forgets the last epoch's photographs."""
        self._seen = {}

    def validation_step(self, batch: Batch) -> None:
        """Notes grade, predicted grade and loss of every photograph by its id.

        In float32 whatever the training's precision, so that the logged figures are those of the predictions.
        """
        with torch.autocast(self.device.type, enabled=False):
            logits = self(batch["photographs"]).float()
        losses = F.cross_entropy(logits, batch["grades"], reduction="none")
        for image_id, grade, predicted, loss in zip(
            batch["image_ids"],
            batch["grades"].tolist(),
            logits.argmax(1).tolist(),
            losses.tolist(),
            strict=True,
        ):
            self._seen[image_id] = (grade, predicted, loss)

    def on_validation_epoch_end(self) -> None:
        """Logs the figures of the whole split, each photograph counted once and in the order of ids."""
        rows = [self._seen[image_id] for image_id in sorted(self._seen)]
        grades, predicted, losses = (torch.tensor(column) for column in zip(*rows, strict=True))
        matrix = confusion_matrix(grades.numpy(), predicted.numpy())
        try:
            kappa = quadratic_weighted_kappa(matrix)
        except Undefined:
            kappa = float("nan")
        self.log("val_loss", losses.double().mean().float())
        self.log("val_accuracy", accuracy(matrix))
        self.log("val_qwk", kappa)

    def configure_optimizers(self) -> Any:
        """The experiment's optimiser over what is not frozen, and its schedule a step."""
        settings = self.experiment.training
        rates = {
            "backbone": settings.backbone_learning_rate or settings.learning_rate,
            "head": settings.learning_rate,
        }
        groups: list[dict[str, Any]] = []
        for name, rate in rates.items():
            trained = [p for p in self.network.get_submodule(name).parameters() if p.requires_grad]
            groups += [{"params": trained, "lr": rate, "name": name}] if trained else []
        # Lightning can't clip gradients for an optimiser that does its step in one kernel.
        fused = settings.gradient_clip is None
        optimizer: torch.optim.Optimizer
        match settings.optimizer:
            case "adam":
                optimizer = torch.optim.Adam(groups, eps=KERAS_EPSILON, fused=fused)
            case "adamw":
                optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=fused)
            case "sgd":
                optimizer = torch.optim.SGD(groups, momentum=settings.momentum, fused=fused)
        if settings.schedule == "constant":
            return optimizer
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in groups],
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=WARM_UP,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
