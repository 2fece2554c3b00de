"""Training of the gate's heads on features of pictures: about a minute, so a stopped training simply starts again."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from retinagrade.errors import ExperimentError
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.models.gate_network import GateHeads, GateLogits, answer
from retinagrade.training.gate.features import FeatureSet
from retinagrade.training.gate.picture import Targets, make_targets
from retinagrade.training.gate.settings import GateTrainingSettings

_WEIGHTS: Final = {"modality": 1.0, "quality": 1.5, "reasons": 1.0, "visible": 0.7, "centre": 0.5}
"""Weight of each question's loss."""
_GRADIENT_CLIP: Final = 5.0
_JUDGED: Final = 256
"""Pictures that are judged together."""


def fit_heads(pictures: FeatureSet, settings: GateTrainingSettings, progress: Progress | None = None) -> GateHeads:
    """Trains heads from random initial values; the same call gives the same heads.

    Args:
        pictures: Features and labels.
        settings: Settings of the training.
        progress: Receives the number of epochs.

    Returns:
        The heads, in evaluation mode.

    Raises:
        ExperimentError: There are fewer than two pictures, or the loss is no longer finite.
    """
    if len(pictures) < 2:
        raise ExperimentError(f"{len(pictures)} pictures are too few to learn from: raise the number of pictures")
    steps = max(1, len(pictures) // settings.batch_size)
    targets = make_targets(pictures.labels)
    rng = np.random.default_rng(settings.seed)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        heads = GateHeads(settings.dropout).train()
        optimizer = torch.optim.AdamW(heads.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.learning_rate, total_steps=settings.epochs * steps
        )
        step = begin_stage(progress, "training the heads", settings.epochs)
        for _ in range(settings.epochs):
            for rows in np.array_split(rng.permutation(len(pictures)), steps):
                loss = gate_loss(heads(pictures.batch(rows)), _batch_targets(targets, rows), settings.label_smoothing)
                if not torch.isfinite(loss):
                    raise ExperimentError("the loss is no longer finite: train with another seed")
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(heads.parameters(), _GRADIENT_CLIP)
                optimizer.step()
                schedule.step()
            step()
    return heads.eval()


@torch.no_grad()
def judge_pictures(heads: GateHeads, pictures: FeatureSet) -> dict[str, NDArray[np.float32]]:
    """Returns the probabilities (N, K) of each question for pictures."""
    parts = []
    for start in range(0, len(pictures), _JUDGED):
        rows = np.arange(start, min(start + _JUDGED, len(pictures)))
        parts.append(answer(heads, pictures.batch(rows)))
    joined = (torch.cat(each).numpy() for each in zip(*parts, strict=True))
    return dict(zip(GateLogits._fields, joined, strict=True))


def gate_loss(logits: GateLogits, targets: dict[str, Tensor], label_smoothing: float) -> Tensor:
    """Computes the loss of a batch: cross-entropies of all questions whose answers are known.

    Args:
        logits: The network's answers.
        targets: The attributes of :class:`~retinagrade.training.gate.picture.Targets`.
        label_smoothing: Share of the modality's target that all answers have in common.
    """
    modality = F.cross_entropy(logits.modality, targets["modality"], reduction="none", label_smoothing=label_smoothing)
    known = targets["centre"] >= 0
    centre = logits.centre[known]
    losses = {
        "modality": (modality * targets["is_certain"]).mean(),
        "centre": F.cross_entropy(centre, targets["centre"][known]) if len(centre) else logits.centre.sum() * 0,
    }
    for name in ("quality", "reasons", "visible"):
        losses[name] = _yes_or_no(getattr(logits, name), targets[name])
    return torch.stack([_WEIGHTS[name] * loss for name, loss in losses.items()]).sum()


def _yes_or_no(logits: Tensor, targets: Tensor) -> Tensor:
    known = ~targets.isnan()
    losses = F.binary_cross_entropy_with_logits(logits, targets.nan_to_num(), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def _batch_targets(targets: Targets, rows: NDArray[np.int64]) -> dict[str, Tensor]:
    return {each.name: torch.from_numpy(getattr(targets, each.name)[rows]) for each in fields(Targets)}
