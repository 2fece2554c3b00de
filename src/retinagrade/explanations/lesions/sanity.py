"""Sanity check of saliency maps: a map that does not depend on the weights does not explain the network.

Source: J. Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018 (randomisation of all layers).
"""

from __future__ import annotations

import copy
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from retinagrade.models.network import Network

UNCHANGED_CORRELATION: Final = 0.5
"""Mean rank correlation from which maps count as unchanged by shuffled weights. This is a convention: the source has no
limit."""


def shuffle_weights(network: Network, seed: int = 0) -> Network:
    """Copies a network and shuffles the values of each of its tensors, which destroys everything it has learnt.

    New random weights would have a different scale, with which many networks only compute zeros. Their maps would then
    be different, whatever they show.

    Args:
        network: A network; it is not modified.
        seed: Seed of the shuffling.

    Returns:
        The copy in evaluation mode. All weights, biases and statistics of batch normalisation are shuffled; the scaling
        of the input is unchanged.
    """
    shuffled = copy.deepcopy(network).eval()
    generator = torch.Generator().manual_seed(seed)
    for tensor in shuffled.state_dict().values():
        if tensor.is_floating_point():
            order = torch.randperm(tensor.numel(), generator=generator)
            tensor.copy_(tensor.flatten()[order].view(tensor.shape))
    return shuffled


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating], retina: NDArray[np.bool_]) -> float:
    """Computes Spearman's rank correlation of two maps on the retina.

    Args:
        first: Saliency map (H, W).
        second: Saliency map (H, W).
        retina: True (H, W) on the retina; the dark corners, in which most maps agree, are ignored.

    Returns:
        -1 to 1; NaN if a map is constant.
    """
    first, second = first[retina], second[retina]
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first, second).statistic)


def is_unchanged(correlations: NDArray[np.float64]) -> bool:
    """Whether maps are unchanged by shuffled weights, by rank correlations (N,) of photographs; NaN are ignored.

    Example:
        >>> is_unchanged(np.array([0.9, 0.8, np.nan])), is_unchanged(np.array([0.2, -0.1]))
        (True, False)
        >>> is_unchanged(np.array([np.nan]))
        False
    """
    defined = correlations[~np.isnan(correlations)]
    return bool(len(defined)) and float(defined.mean()) >= UNCHANGED_CORRELATION
