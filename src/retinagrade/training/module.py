"""The Lightning module: loss, optimiser, schedule, and validation figures keyed by photograph."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from retinagrade.evaluation.metrics import Undefined, accuracy, confusion_matrix, quadratic_weighted_kappa
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.experiments.experiment import Experiment
from retinagrade.models.bfloat16 import avoid_slow_kernels
from retinagrade.models.inference import inference_copy
from retinagrade.models.network import Network
from retinagrade.models.outputs import training_loss
from retinagrade.models.weights import SETTINGS_KEY
from retinagrade.training.batch_norm import SynchronisedBatchNorm
from retinagrade.training.devices import lightning_precision
from retinagrade.training.distributed import gather, is_shared
from retinagrade.training.loading import Batch, fill_batch

WARM_UP = 0.15
"""Share of the steps in which a one-cycle schedule climbs to its peak."""

KERAS_EPSILON = 1e-7
"""What Keras, and so the report, adds to Adam's denominator."""


def validation_metrics(grades: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """``val_accuracy`` and ``val_qwk`` (NaN where undefined) of grades (N,) and predicted grades (N,)."""
    matrix = confusion_matrix(grades, predicted)
    try:
        kappa = quadratic_weighted_kappa(matrix)
    except Undefined:
        kappa = float("nan")
    return {"val_accuracy": accuracy(matrix), "val_qwk": kappa}


class GradingModule(pl.LightningModule):
    """Trains a :class:`Network` with the loss of its output; the report's is categorical cross-entropy.

    Attributes:
        validated: What the last validation gave, photographs each on its own; ``None`` before the first.
    """

    grade_weights: Tensor | None

    def __init__(self, network: Network, experiment: Experiment, grade_weights: np.ndarray | None = None) -> None:
        """Args: ``network`` to train, ``experiment`` that says how, weights (5,) of the grades in the training loss."""
        super().__init__()
        if not torch.cuda.is_available() and lightning_precision(experiment.training.precision) == "bf16-mixed":
            avoid_slow_kernels(network)
        self.network = network
        self.experiment = experiment
        weights = None if grade_weights is None else torch.tensor(grade_weights, dtype=torch.float32)
        self.register_buffer("grade_weights", weights, persistent=False)  # the training photographs say it again
        self._seen: dict[str, tuple[int, list[float], float]] = {}
        self.validated: GradedPredictions | None = None
        self._predicting: list[Network] = []  # a module in a list is no part of this one, nor of its checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the network's settings, so that whoever loads the file's weights can check them."""
        checkpoint[SETTINGS_KEY] = self.experiment.network.model_dump(mode="json")

    def forward(self, photographs: Tensor) -> Tensor:
        """Raw outputs (N, units) of photographs (N, 3, S, S), 0 to 255."""
        raw: Tensor = self.network(photographs)
        return raw

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seeds dropout from seed, epoch and step, so that a resumed epoch repeats what the killed one did.

        Lightning leaves ``on_train_epoch_start`` out of the first epoch after resuming.
        """
        place = (self.experiment.training.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))

    def training_step(self, batch: Batch) -> Tensor:
        """The mean loss of a batch, weighted and smoothed as the experiment says."""
        with SynchronisedBatchNorm() if is_shared() else nullcontext():
            raw: Tensor = self.network.head(batch["features"]) if "features" in batch else self(batch["photographs"])
        raw = raw.float()
        smoothing = self.experiment.training.label_smoothing
        loss = training_loss(self.network.output, raw, batch["grades"], self.grade_weights, smoothing)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch["grades"]), sync_dist=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forgets the last epoch's photographs."""
        self._seen = {}

    def validation_step(self, batch: Batch) -> None:
        """Notes grade, probabilities and loss of every photograph by its id.

        They are predicted as ``predict`` does it, in float32 whatever the training's precision, so that the logged
        figures are those of the predictions. The loss is neither weighted nor smoothed, so that runs which
        differ in these can be compared by it.
        """
        with torch.autocast(self.device.type, enabled=False):
            raw = self._predict(batch)
        output = self.network.output
        losses = output.losses(raw, batch["grades"])
        rows = zip(batch["grades"].tolist(), output.probabilities(raw).tolist(), losses.tolist(), strict=True)
        self._seen.update(zip(batch["image_ids"], rows, strict=True))

    def _predict(self, batch: Batch) -> Tensor:
        if "features" in batch:
            raw: Tensor = self.network.head(batch["features"])
            return raw
        settings, size = self.experiment.training, self.experiment.network.image_size
        if not self._predicting:
            self._predicting.append(inference_copy(self.network, torch.float32, size))
        photographs = fill_batch(batch["photographs"], settings.batch_size)
        raw = self._predicting[0](photographs)
        return raw[: len(batch["grades"])]

    def on_validation_epoch_end(self) -> None:
        """Logs the figures of the whole split, each photograph counted once and in the order of ids."""
        self._predicting = []
        seen = gather(self._seen)
        image_ids = sorted(seen)
        grades, probabilities, losses = zip(*(seen[image_id] for image_id in image_ids), strict=True)
        self.validated = GradedPredictions(
            np.array(image_ids), np.array(grades), np.array(probabilities), patients=np.arange(len(image_ids))
        )
        self.log("val_loss", torch.tensor(losses).double().mean().float())
        self.log_dict(validation_metrics(self.validated.grades, self.validated.predicted))

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
