"""Sanity of maps: one that looks the same after a network has forgotten what it learnt explains nothing of it.

Source: J. Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018 (randomisation of all layers).
"""

from __future__ import annotations

import copy
from typing import Final

import numpy as np
import torch
from scipy.stats import spearmanr

from retinagrade.models.network import Network

UNCHANGED: Final = 0.5
"""Mean rank correlation from which maps before and after count as the same. A convention: the source has none."""


def shuffle_weights(network: Network, seed: int = 0) -> Network:
    """A copy of a network that has forgotten what it learnt: in each tensor, the values stand in another order.

    Weights drawn anew would have another scale, at which many networks give nothing but zeros; and so would their maps,
    which then differ whatever they show.

    Args:
        network: A network; it stays as it is.
        seed: Of the order.

    Returns:
        The copy, in evaluation mode; all weights, biases and statistics of batch-norm are shuffled, and the scaling of
        its input is as it was.
    """
    forgetful = copy.deepcopy(network).eval()
    generator = torch.Generator().manual_seed(seed)
    for tensor in forgetful.state_dict().values():
        if tensor.is_floating_point():
            order = torch.randperm(tensor.numel(), generator=generator)
            tensor.copy_(tensor.flatten()[order].view(tensor.shape))
    return forgetful


def rank_correlation(first: np.ndarray, second: np.ndarray, retina: np.ndarray) -> float:
    """Spearman's rank correlation of two maps on the retina.

    Args:
        first: Heat (H, W), float.
        second: Heat (H, W), float.
        retina: True (H, W) on the retina: two maps would agree about the dark corners.

    Returns:
        -1 to 1; NaN where a map is the same everywhere.
    """
    one, other = first[retina], second[retina]
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one, other).statistic)


def is_unchanged(correlations: np.ndarray) -> bool:
    """Whether maps are the same with a shuffled network, by rank correlations (N,) of photographs; NaN don't count.

    Example:
        >>> unchanged(np.array([0.9, 0.8, np.nan])), unchanged(np.array([0.2, -0.1])), unchanged(np.array([np.nan]))
        (True, False, False)
    """
    known = correlations[~np.isnan(correlations)]
    return bool(len(known)) and float(known.mean()) >= UNCHANGED
