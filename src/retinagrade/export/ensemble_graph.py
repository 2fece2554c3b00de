"""Ensembles as graphs: the formulas of :mod:`retinagrade.ensembles` in operators, and evidence on one grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinagrade.ensembles.combination import Combination, MajorityVote, WeightedMean
from retinagrade.ensembles.stacking import LEAST, SecondStage
from retinagrade.evaluation.fitting.probability_calibration import PROBABILITY_FLOOR as LEAST_PROBABILITY
from retinagrade.grades import N_GRADES

_LEVEL: Final = 1e-12
"""Evidence below which a member says nothing."""


class EnsembleGraph(nn.Module):
    """Members side by side, and their answers combined."""

    def __init__(self, members: Sequence[nn.Module], combination: Combination, shares: Sequence[float]) -> None:
        """Args: graphs of the ``members``, how they are combined, and the ``shares`` of their evidence."""
        super().__init__()
        self.members = nn.ModuleList(members)
        self.combine = combination_rule(combination)
        self.shares = tuple(shares)

    def forward(self, photographs: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (N, 5) and evidence (N, 5, h, w) of photographs (N, S, S, 3), uint8."""
        probabilities, evidence = zip(*[member(photographs) for member in self.members], strict=True)
        return self.combine(torch.stack(probabilities, dim=1)), combine_saliency(evidence, self.shares)


def combine_saliency(evidence: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """The members' evidence as one: the mean, by their shares, of each one by its largest value on the photograph.

    Scores and features of two networks have different scales, so that sums of them as they are would be the evidence
    of the louder one. Coarser maps are enlarged to the finest.

    Args:
        evidence: Of each member (N, 5, hᵢ, wᵢ), from 0.
        shares: Of the members, of sum 1.

    Returns:
        Evidence (N, 5, h, w), 0 to 1.
    """
    finest = max((maps.shape[-2:] for maps in evidence), key=lambda size: size[0] * size[1])
    total = torch.zeros(())
    for maps, share in zip(evidence, shares, strict=True):
        scaled = maps / maps.amax((1, 2, 3), keepdim=True).clamp(min=_LEVEL)
        if scaled.shape[-2:] != finest:
            scaled = F.interpolate(scaled, finest, mode="bilinear", align_corners=False)
        total = total + share * scaled
    return total


def combination_rule(combination: Combination) -> Callable[[Tensor], Tensor]:
    """What makes probabilities (N, 5) of those of members (N, M, 5), float32, in the operators of a graph.

    Args:
        combination: As it was fitted; not of both eyes.
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
    best_voter = (votes * (accuracies[:, None] + 1)).amax(1)  # 0 where nobody voted
    winner = F.one_hot((tied * best_voter).argmax(1), N_GRADES).float()
    counts = counts + winner * (tied.sum(1, keepdim=True) > 1).float() / 2
    return counts / counts.sum(1, keepdim=True)


def _second_stage(fitted: SecondStage, probabilities: Tensor) -> Tensor:
    values = probabilities.flatten(1)
    if fitted.inputs == "logarithms":
        values = values.clamp(min=LEAST).log()
    for number, layer in enumerate(fitted.layers):
        values = values.relu() if number else values
        values = values @ torch.tensor(layer.coefficients) + torch.tensor(layer.intercepts)
    return values.softmax(1) @ torch.eye(N_GRADES)[list(fitted.grades)]
