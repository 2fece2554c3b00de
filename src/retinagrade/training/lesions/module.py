"""The Lightning module of networks that outline lesions: loss by pixel, and validation by whole photographs."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from retinagrade.datasets.masks import OPTIC_DISC
from retinagrade.evaluation.lesion_metrics import LesionCounts, average_precision
from retinagrade.evaluation.metrics import Undefined
from retinagrade.experiments.experiment import Experiment
from retinagrade.models.lesion_network import LesionNetwork
from retinagrade.training.batch_norm import SynchronisedBatchNorm
from retinagrade.training.distributed import gather, is_shared
from retinagrade.training.lesions.counting import count_batch
from retinagrade.training.lesions.crops import LesionBatch
from retinagrade.training.module import TrainingModule

PIXEL_WEIGHTS: Final = {"microaneurysms": 4.0, "haemorrhages": 2.0, "hard_exudates": 2.0, "soft_exudates": 3.0}
"""Weight of a pixel with a lesion, relative to one without; 1 for the other kinds. Rare and small kinds weigh more."""
_ENTROPY_WEIGHT: Final = 10.0
"""Weight of the cross-entropy, which is small because most pixels are easy, relative to the Dice loss."""
_SMOOTHING: Final = 100.0
"""Pixels that are added to both parts of the Dice coefficient, so that crops without lesions have a gradient."""


class LesionModule(TrainingModule):
    """Trains a :class:`LesionNetwork` with weighted cross-entropy and Dice.

    Attributes:
        validated: The counts of the last validation, by photograph and kind, of the kinds that are known.
    """

    network: LesionNetwork
    pixel_weights: Tensor

    def __init__(self, network: LesionNetwork, experiment: Experiment) -> None:
        """Args: ``network`` to train, and its ``experiment``."""
        super().__init__(network, experiment)
        weights = torch.tensor([PIXEL_WEIGHTS.get(kind, 1.0) for kind in network.lesions])
        self.register_buffer("pixel_weights", weights, persistent=False)
        self.validated: dict[str, dict[str, LesionCounts]] = {}

    def training_step(self, batch: LesionBatch) -> Tensor:
        """Computes the loss of a batch of crops."""
        # On GPUs, the layers themselves are synchronised; see training/batch_norm.py.
        with SynchronisedBatchNorm() if is_shared() and self.device.type == "cpu" else nullcontext():
            logits = self.network(batch["photographs"])
        loss = self._loss(logits, batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch["image_ids"]), sync_dist=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Discards the counts of the last epoch."""
        self.validated = {}

    def validation_step(self, batch: LesionBatch) -> None:
        """Computes the loss of a whole photograph, and counts its pixels and lesions."""
        with torch.autocast(self.device.type, enabled=False):
            logits = self.network(batch["photographs"])
        self.log("val_loss", self._loss(logits, batch), on_epoch=True, batch_size=1, sync_dist=True)
        self.validated |= dict(count_batch(logits.sigmoid(), self.network.lesions, batch))

    def on_validation_epoch_end(self) -> None:
        """Logs the mean average precision over the kinds of lesions."""
        self.validated = gather(self.validated)
        self.log("val_average_precision", mean_average_precision(self.validated))

    def _loss(self, logits: Tensor, batch: LesionBatch) -> Tensor:
        return lesion_loss(logits.float(), batch["masks"], batch["known"].float(), self.pixel_weights)


def lesion_loss(logits: Tensor, masks: Tensor, known: Tensor, weights: Tensor) -> Tensor:
    """Computes the weighted cross-entropy by pixel, plus one minus the Dice coefficient of the batch, over the kinds.

    Args:
        logits: Logits (N, kinds, h, w), which are enlarged to the size of the masks.
        masks: Share of each pixel that a lesion covers (N, kinds, H, W), 0 to 255, uint8 or float32.
        known: 1 (N, kinds) for kinds that people looked for in the photograph; the others count nothing.
        weights: Weight (kinds,) of a pixel with a lesion.

    Returns:
        The loss, a scalar.
    """
    # One photograph at a time: the values of a whole batch don't fit into a processor's cache.
    sums = [_pixel_sums(each, mask, weights) for each, mask in zip(logits, masks, strict=True)]
    entropy, both, likely, seen = (torch.stack(each) * known for each in zip(*sums, strict=True))
    dice = (2 * both.sum(0) + _SMOOTHING) / (likely.sum(0) + seen.sum(0) + _SMOOTHING)
    return _ENTROPY_WEIGHT * entropy.sum() / known.sum().clamp(min=1) + (1 - dice).mean()


def _pixel_sums(logits: Tensor, mask: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Computes for each kind: the mean cross-entropy, and the sums over all pixels that the Dice coefficient needs.

    Returns:
        Four times (kinds,): the mean cross-entropy; the sums of probability times mask, of probability, and of mask.
    """
    enlarged = F.interpolate(logits[None], size=mask.shape[1:], mode="bilinear", align_corners=False)[0]
    covered = mask.float() / 255
    weight = weights[:, None, None]
    entropy = F.binary_cross_entropy_with_logits(enlarged, covered, pos_weight=weight, reduction="none").mean((1, 2))
    likely = enlarged.sigmoid()
    return entropy, (likely * covered).sum((1, 2)), likely.sum((1, 2)), covered.sum((1, 2))


def mean_average_precision(counts: dict[str, dict[str, LesionCounts]]) -> float:
    """Computes the mean over the kinds of lesions of the average precision by pixel; NaN where no kind has any."""
    kinds = sorted({kind for of_photograph in counts.values() for kind in of_photograph} - {OPTIC_DISC})
    values = []
    for kind in kinds:
        try:
            values.append(average_precision([each[kind] for each in counts.values() if kind in each]))
        except Undefined:
            continue
    return float(np.mean(values)) if values else float("nan")
