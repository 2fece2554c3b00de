"""Pooling and head: from feature maps to a vector of features, and from that to raw outputs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from retinagrade.models.outputs import make_output
from retinagrade.models.scratch import initialise_glorot
from retinagrade.models.settings import NetworkSettings


class StageAverages(nn.Module):
    """Averages each stage's feature maps and joins the averages: early stages add texture and colour."""

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Computes vectors (N, F) from feature maps (N, Cᵢ, hᵢ, wᵢ), F = ΣCᵢ."""
        return torch.cat([maps.mean((2, 3)) for maps in stages], dim=1)


def make_pooling(settings: NetworkSettings) -> nn.Module:
    """Builds the module from feature maps (N, C, h, w) to a vector (N, F): by averaging, or by flattening."""
    if settings.stages is not None:
        return StageAverages()
    average: list[nn.Module] = [nn.AdaptiveAvgPool2d(1)] if settings.pooling == "gap" else []
    return nn.Sequential(*average, nn.Flatten())


class Heads(nn.ModuleList):
    """A head for each backbone's part of the features, and their raw outputs side by side."""

    def __init__(self, heads: Sequence[nn.Module], widths: Sequence[int]) -> None:
        """Args: ``heads``, and the number of features that each takes."""
        super().__init__(heads)
        self.widths = list(widths)

    def forward(self, features: Tensor) -> Tensor:
        """Computes raw outputs (N, Σ units) of features (N, Σ widths)."""
        parts = torch.split(features, self.widths, dim=1)
        return torch.cat([head(part) for head, part in zip(self, parts, strict=True)], dim=1)


def make_head(settings: NetworkSettings, *widths: int) -> nn.Module:
    """Builds hidden dense layers with dropout, and the output layer; features of several stages are standardised first.

    Args:
        settings: Dense layers, dropout and output.
        widths: Number of features after pooling, for each backbone.

    Returns:
        A module from vectors (N, Σ widths) to raw outputs (N, units of the output).
    """
    heads = [_one_head(settings, width) for width in widths]
    return heads[0] if len(heads) == 1 else Heads(heads, widths)


def feature_width(head: nn.Module) -> int:
    """Returns the number of features that a head takes."""
    if isinstance(head, Heads):
        return sum(head.widths)
    return next(layer.in_features for layer in head.modules() if isinstance(layer, nn.Linear))


def _one_head(settings: NetworkSettings, features: int) -> nn.Sequential:
    # Stages differ in scale. The running statistics belong to the head, so that training doesn't change the features.
    layers: list[nn.Module] = [nn.BatchNorm1d(features, affine=False)] if settings.stages is not None else []
    layers += _dropout(settings.feature_dropout)
    for inputs, outputs in pairwise((features, *settings.dense)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), *_dropout(settings.dense_dropout)]
    layers.append(nn.Linear((features, *settings.dense)[-1], make_output(settings.grading_output).units))
    head = nn.Sequential(*layers)
    initialise_glorot(head)
    return head


def _dropout(rate: float) -> list[nn.Module]:
    return [nn.Dropout(rate)] if rate else []
