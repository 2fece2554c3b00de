"""Heads: from feature maps to one logit a grade."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from retinagrade.grades import N_GRADES
from retinagrade.models.scratch import glorot
from retinagrade.models.settings import NetworkSettings


def make_head(settings: NetworkSettings, channels: int, height: int, width: int) -> nn.Sequential:
    """Builds pooling, hidden dense layers with dropout, and the output layer.

    Args:
        settings: Pooling, dense layers and dropout.
        channels: Channels of the backbone's feature maps.
        height: Their height, in cells.
        width: Their width, in cells.

    Returns:
        A module from feature maps (N, channels, height, width) to logits (N, 5).
    """
    pooled = channels if settings.pooling == "gap" else channels * height * width
    layers: list[nn.Module] = [nn.AdaptiveAvgPool2d(1)] if settings.pooling == "gap" else []
    layers.append(nn.Flatten())
    layers += _dropout(settings.feature_dropout)
    for inputs, outputs in pairwise((pooled, *settings.dense)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), *_dropout(settings.dense_dropout)]
    layers.append(nn.Linear((pooled, *settings.dense)[-1], N_GRADES))
    head = nn.Sequential(*layers)
    glorot(head)
    return head


def _dropout(rate: float) -> list[nn.Module]:
    return [nn.Dropout(rate)] if rate else []
