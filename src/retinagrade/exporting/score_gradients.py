"""Derivatives of the grades' scores with respect to raw outputs, in closed form and float32.

A graph has no autograd and only some of the operators. The scores are those of
:func:`retinagrade.explanations.scores.scores`; tests compare both.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from retinagrade.grades import N_GRADES
from retinagrade.models.cut_points import CutPoints
from retinagrade.models.outputs import MeanOutput, OrdinalOutput, Output, RegressionOutput, SoftmaxOutput

_FAR: Final = 1e6
"""Finite substitute for infinity, in standard deviations: infinity times 0 is not a number."""
_LEAST: Final = 1e-30
_LOG_SQRT_TAU: Final = math.log(2 * math.pi) / 2
_ERFC: Final = (
    -1.26551223,
    1.00002368,
    0.37409196,
    0.09678418,
    -0.18628806,
    0.27886807,
    -1.13520398,
    1.48851587,
    -0.82215223,
    0.17087277,
)


def probabilities_and_slopes(output: Output, raw: Tensor) -> tuple[Tensor, Tensor]:
    """Computes probabilities, and the slope of every grade's score with respect to every raw output.

    Args:
        output: Meaning of the raw outputs.
        raw: Raw outputs (N, units), float32.

    Returns:
        Probabilities (N, 5), float32, to about 1e-6, and slopes (N, 5, units), float32.

    Example:
        >>> p, slopes = probabilities_and_slopes(OrdinalOutput(), torch.zeros(1, 4))
        >>> p.tolist(), slopes[0, 1].tolist()
        ([[0.5, 0.25, 0.125, 0.0625, 0.0625]], [0.6666666865348816, -0.6666666865348816, 0.0, 0.0])
    """
    if isinstance(output, SoftmaxOutput):
        return raw.softmax(1), torch.eye(N_GRADES).expand(raw.shape[0], N_GRADES, N_GRADES)
    if isinstance(output, RegressionOutput):
        return _regression(raw, output.cut_points)
    if isinstance(output, MeanOutput):
        by_head = raw.reshape(-1, output.heads, output.output.units)
        parts = [_logarithmic(output.output, by_head[:, head]) for head in range(output.heads)]
        probabilities = torch.stack([each for each, _ in parts]).mean(0)
        shares = [each / (output.heads * probabilities.clamp(min=_LEAST)) for each, _ in parts]
        slopes = torch.cat([share[:, :, None] * slope for share, (_, slope) in zip(shares, parts, strict=True)], dim=2)
    else:
        probabilities, slopes = _logarithmic(output, raw)
    # The summed probability of all other grades; 1 - p would round to 0 where p is close to 1.
    complement = probabilities @ (1 - torch.eye(N_GRADES))
    return probabilities, slopes / complement.clamp(min=_LEAST)[:, :, None]


def _logarithmic(output: SoftmaxOutput | OrdinalOutput, raw: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities (N, 5), and slopes (N, 5, units) of their logarithms."""
    if isinstance(output, SoftmaxOutput):
        probabilities = raw.softmax(1)
        return probabilities, torch.eye(N_GRADES) - probabilities[:, None]
    return _ordinal(raw)


def _ordinal(raw: Tensor) -> tuple[Tensor, Tensor]:
    worse, stays = raw.sigmoid(), (-raw).sigmoid()
    columns = [torch.ones_like(raw[:, 0])]
    for step in range(OrdinalOutput.units):
        columns.append(columns[-1] * worse[:, step])
    probabilities = torch.stack(columns, dim=1) * F.pad(stays, (0, 1), value=1.0)
    # log p_k is the sum of log sigmoid(l_j) for j < k, plus log sigmoid(-l_k).
    below = torch.ones(N_GRADES, OrdinalOutput.units).tril(-1)
    own = torch.eye(N_GRADES, OrdinalOutput.units)
    return probabilities, below * stays[:, None] - own * worse[:, None]


def _regression(raw: Tensor, cut_points: CutPoints) -> tuple[Tensor, Tensor]:
    """Probabilities (N, 5), and slopes (N, 5, 1) of the scores."""
    edges = (torch.tensor(cut_points.cuts, dtype=torch.float32) - raw) / cut_points.sigma
    lower, upper = F.pad(edges, (1, 0), value=-_FAR), F.pad(edges, (0, 1), value=_FAR)
    above = lower + upper > 0
    low, high = torch.where(above, -upper, lower), torch.where(above, -lower, upper)
    log_high = _log_cdf(high)
    logarithms = log_high + (1 - (_log_cdf(low) - log_high).exp()).clamp(min=_LEAST).log()
    # Logarithms up to the end: where p is close to 1, the slope and 1 - p both round to 0.
    log_complement = (logarithms[:, None] - _FAR * torch.eye(N_GRADES)).logsumexp(2)
    by_lower, by_upper = ((-e.square() / 2 - _LOG_SQRT_TAU - logarithms - log_complement).exp() for e in (lower, upper))
    return logarithms.exp(), ((by_lower - by_upper) / cut_points.sigma)[:, :, None]


def _log_cdf(z: Tensor) -> Tensor:
    """Logarithm of the normal distribution function, with a relative error of 1e-7 of the function in both tails.

    Source: W. H. Press et al., "Numerical Recipes", 2nd edition, Cambridge 1992, section 6.2, ``erfcc``.
    """
    x = z.abs() / math.sqrt(2)
    t = 1 / (1 + x / 2)
    polynomial = torch.zeros_like(t)
    for factor in reversed(_ERFC):
        polynomial = polynomial * t + factor
    log_tail = t.log() - x.square() + polynomial - math.log(2)
    return torch.where(z > 0, (1 - log_tail.exp()).log(), log_tail)
