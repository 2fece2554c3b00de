"""Ensembles as graphs: the combination rules of :mod:`retinagrade.ensembles` in graph operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinagrade.ensembles.combination import Combination, MajorityVote, WeightedMean
from retinagrade.ensembles.stacking import SCORE_FLOOR, SecondStage
from retinagrade.evaluation.fitting.probability_calibration import PROBABILITY_FLOOR as LEAST_PROBABILITY
from retinagrade.grades import N_GRADES

_NO_SALIENCY: Final = 1e-12
"""Largest value below which a member's saliency maps count as zero."""


class EnsembleGraph(nn.Module):
    """Members side by side, with a rule that combines their outputs."""

    def __init__(
        self, members: Sequence[nn.Module], combination: Combination, saliency_weights: Sequence[float]
    ) -> None:
        """Takes graphs of the ``members``, the rule that combines them, and the weights of their saliency maps."""
        super().__init__()
        self.members = nn.ModuleList(members)
        self.combine = combination_rule(combination)
        self.saliency_weights = tuple(saliency_weights)

    def forward(self, photographs: Tensor) -> tuple[Tensor, Tensor]:
        """Computes probabilities (N, 5) and saliency maps (N, 5, h, w) of photographs (N, S, S, 3), uint8."""
        probabilities, saliency = zip(*[member(photographs) for member in self.members], strict=True)
        return self.combine(torch.stack(probabilities, dim=1)), combine_saliency(saliency, self.saliency_weights)


def combine_saliency(maps: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Computes the weighted mean of the members' saliency maps, each divided by its largest value on the photograph.

    Scores and features of two networks have different scales. Without the division, the member with the larger numbers
    would dominate the mean. Coarser maps are enlarged to the size of the finest.

    Args:
        maps: Saliency maps (N, 5, hᵢ, wᵢ) of each member, at least 0.
        weights: Weights of the members; their sum is 1.

    Returns:
        Saliency maps (N, 5, h, w), 0 to 1.
    """
    finest = max((each.shape[-2:] for each in maps), key=lambda size: size[0] * size[1])
    total = torch.zeros(())
    for each, weight in zip(maps, weights, strict=True):
        scaled = each / each.amax((1, 2, 3), keepdim=True).clamp(min=_NO_SALIENCY)
        if scaled.shape[-2:] != finest:
            scaled = F.interpolate(scaled, finest, mode="bilinear", align_corners=False)
        total = total + weight * scaled
    return total


def combination_rule(combination: Combination) -> Callable[[Tensor], Tensor]:
    """Returns a function from the members' probabilities (N, M, 5), float32, to those of the ensemble (N, 5).

    Args:
        combination: A fitted combination of any method except ``eyes``.
    """
    if isinstance(combination, MajorityVote):
        accuracies = torch.tensor(combination.accuracies)
        return lambda probabilities: _vote(probabilities, accuracies)
    if isinstance(combination, WeightedMean):
        weights = torch.tensor(combination.weights)[:, None]
        return lambda probabilities: (probabilities * weights).sum(1)
    if isinstance(combination, SecondStage):
        return lambda probabilities: _second_stage(combination, probabilities)
    return lambda probabilities: probabilities.clamp(min=LEAST_PROBABILITY).log().mean(1).softmax(1)


def _vote(probabilities: Tensor, accuracies: Tensor) -> Tensor:
    votes = F.one_hot(probabilities.argmax(2), N_GRADES).float()
    counts = votes.sum(1)
    tied = (counts == counts.amax(1, keepdim=True)).float()
    best_voter = (votes * (accuracies[:, None] + 1)).amax(1)  # 0 for grades without votes
    winner = F.one_hot((tied * best_voter).argmax(1), N_GRADES).float()
    counts = counts + winner * (tied.sum(1, keepdim=True) > 1).float() / 2
    return counts / counts.sum(1, keepdim=True)


def _second_stage(fitted: SecondStage, probabilities: Tensor) -> Tensor:
    values = probabilities.flatten(1)
    if fitted.inputs == "logarithms":
        values = values.clamp(min=SCORE_FLOOR).log()
    for number, layer in enumerate(fitted.layers):
        values = values.relu() if number else values
        values = values @ torch.tensor(layer.coefficients) + torch.tensor(layer.intercepts)
    return values.softmax(1) @ torch.eye(N_GRADES)[list(fitted.grades)]
