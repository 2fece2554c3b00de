"""The Lightning module: loss, optimiser, schedule, and validation metrics computed by photograph."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from retinagrade.evaluation.metrics import Undefined, accuracy, confusion_matrix, quadratic_weighted_kappa
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.experiments.experiment import Experiment
from retinagrade.models.bfloat16 import avoid_slow_kernels
from retinagrade.models.inference import inference_copy
from retinagrade.models.network import Network
from retinagrade.models.outputs import training_loss
from retinagrade.models.weights import SETTINGS_KEY
from retinagrade.training.batch_norm import SynchronisedBatchNorm
from retinagrade.training.devices import lightning_precision, weights_dtype
from retinagrade.training.distributed import gather, is_shared
from retinagrade.training.loading import Batch, fill_batch
from retinagrade.training.parameter_groups import parameter_groups

WARM_UP = 0.15
"""Share of the steps in which the learning rate of a one-cycle schedule rises to its peak."""

KERAS_EPSILON = 1e-7
"""Term in Adam's denominator, with the value of Keras, which the report used."""


def validation_metrics(grades: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, float]:
    """Computes ``val_accuracy`` and ``val_qwk`` (NaN where undefined) of grades (N,) and predicted grades (N,)."""
    matrix = confusion_matrix(grades, predicted)
    try:
        kappa = quadratic_weighted_kappa(matrix)
    except Undefined:
        kappa = float("nan")
    return {"val_accuracy": accuracy(matrix), "val_qwk": kappa}


class TrainingModule(pl.LightningModule):
    """The parts that the trainings of all networks share: the checkpoint's settings, seeds, optimiser and schedule.

    A network has the submodules ``backbone`` and ``head``, whose learning rates may differ.
    """

    network: nn.Module

    def __init__(self, network: nn.Module, experiment: Experiment) -> None:
        """Args: ``network`` to train, and its ``experiment``."""
        super().__init__()
        if not torch.cuda.is_available() and lightning_precision(experiment.training.precision) == "bf16-mixed":
            avoid_slow_kernels(network)
        self.network = network
        self.experiment = experiment

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the network's settings, which are checked when another experiment loads the weights."""
        checkpoint[SETTINGS_KEY] = self.experiment.network.model_dump(mode="json")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seeds dropout from seed, epoch and step, so that a resumed epoch draws the same masks.

        Lightning doesn't call ``on_train_epoch_start`` in the first epoch after resuming.
        """
        state = (self.experiment.training.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(state).generate_state(1, np.uint64)[0]))

    def configure_optimizers(self) -> Any:
        """Makes the experiment's optimiser over all parameters that are not frozen, and its schedule by step."""
        settings = self.experiment.training
        groups = parameter_groups(self.network, settings)
        # Lightning can't clip gradients for a fused optimiser.
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


class GradingModule(TrainingModule):
    """Trains a :class:`Network` with the loss of its output; the report's is categorical cross-entropy.

    Attributes:
        validated: Predictions of the last validation, one photograph each; ``None`` before the first validation.
    """

    network: Network
    grade_weights: Tensor | None

    def __init__(
        self, network: Network, experiment: Experiment, grade_weights: NDArray[np.float64] | None = None
    ) -> None:
        """Args: ``network`` to train, its ``experiment``, and weights (5,) of the grades in the training loss."""
        super().__init__(network, experiment)
        weights = None if grade_weights is None else torch.tensor(grade_weights, dtype=torch.float32)
        self.register_buffer("grade_weights", weights, persistent=False)  # a resumed run computes them again
        self._rows: dict[str, tuple[int, list[float], float]] = {}
        self.validated: GradedPredictions | None = None
        self._inference: list[Network] = []  # in a list, it is no submodule, so checkpoints leave it out
        self._frozen_copies: list[Network] = []

    def forward(self, photographs: Tensor) -> Tensor:
        """Computes raw outputs (N, units) of photographs (N, 3, S, S), 0 to 255."""
        raw: Tensor = self.network(photographs)
        return raw

    def training_step(self, batch: Batch) -> Tensor:
        """Computes the mean loss of a batch, with the experiment's grade weights and label smoothing."""
        # On GPUs, the layers themselves are synchronised; see training/batch_norm.py.
        with SynchronisedBatchNorm() if is_shared() and self.device.type == "cpu" else nullcontext():
            raw = self._raw_outputs(batch)
        raw = raw.float()
        smoothing = self.experiment.training.label_smoothing
        loss = training_loss(self.network.output, raw, batch["grades"], self.grade_weights, smoothing)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch["grades"]), sync_dist=True)
        return loss

    def _raw_outputs(self, batch: Batch) -> Tensor:
        features = batch.get("features")
        if features is None and self.network.has_frozen_backbone:
            features = self._frozen_features(batch["photographs"])
        raw: Tensor = self(batch["photographs"]) if features is None else self.network.head(features)
        return raw

    def on_fit_start(self) -> None:
        """Discards the copy of a frozen backbone, whose weights may have changed since the last training."""
        self._frozen_copies = []

    @torch.no_grad()
    def _frozen_features(self, photographs: Tensor) -> Tensor:
        """Computes features as :class:`~retinagrade.training.features.FeatureDataset` does, which keeps them."""
        with torch.autocast(self.device.type, enabled=False):
            if not self._frozen_copies:
                dtype = weights_dtype(self.experiment.training.precision)
                self._frozen_copies.append(inference_copy(self.network, dtype, self.experiment.network.image_size))
            return self._frozen_copies[0].features(photographs)

    def on_validation_epoch_start(self) -> None:
        """Discards the predictions of the last epoch."""
        self._rows = {}

    def validation_step(self, batch: Batch) -> None:
        """Collects grade, probabilities and loss of every photograph by its id.

        Photographs are predicted as :func:`~retinagrade.training.predict.predict` does it, in float32 regardless of the
        training's precision, so that the logged metrics are those of the predictions. The loss is neither weighted nor
        smoothed, so that it is comparable between runs that differ in these.
        """
        with torch.autocast(self.device.type, enabled=False):
            raw = self._predict(batch)
        output = self.network.output
        losses = output.losses(raw, batch["grades"])
        rows = zip(batch["grades"].tolist(), output.probabilities(raw).tolist(), losses.tolist(), strict=True)
        self._rows.update(zip(batch["image_ids"], rows, strict=True))

    def _predict(self, batch: Batch) -> Tensor:
        if "features" in batch:
            raw: Tensor = self.network.head(batch["features"])
            return raw
        settings, size = self.experiment.training, self.experiment.network.image_size
        if not self._inference:
            self._inference.append(inference_copy(self.network, torch.float32, size))
        photographs = fill_batch(batch["photographs"], settings.batch_size)
        raw = self._inference[0](photographs)
        return raw[: len(batch["grades"])]

    def on_validation_epoch_end(self) -> None:
        """Logs the metrics of the whole split, with each photograph counted once, in the order of ids."""
        self._inference = []
        rows = gather(self._rows)
        image_ids = sorted(rows)
        grades, probabilities, losses = zip(*(rows[image_id] for image_id in image_ids), strict=True)
        self.validated = GradedPredictions(
            np.array(image_ids), np.array(grades), np.array(probabilities), patients=np.arange(len(image_ids))
        )
        self.log("val_loss", torch.tensor(losses).double().mean().float())
        self.log_dict(validation_metrics(self.validated.grades, self.validated.predicted))
