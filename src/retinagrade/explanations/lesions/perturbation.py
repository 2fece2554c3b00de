"""Deletion and insertion: the change of a probability while the most salient pixels are removed or restored first.

Source: V. Petsiuk, A. Das and K. Saenko, "RISE: randomized input sampling for explanation of black-box models",
BMVC 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retinagrade.explanations.attribution import without_detail
from retinagrade.grades import REFERABLE
from retinagrade.models.network import Network

STEPS: Final = 10
"""Steps in which the detail of the whole retina is removed or restored."""


@dataclass(frozen=True)
class PerturbationAreas:
    """Areas under the two curves, 0 to 1: means of the probability over the share of changed pixels.

    Attributes:
        deletion: The most salient pixels lose their detail first. Low if the probability depends on these pixels.
        insertion: The most salient pixels regain their detail first. High if the probability depends on these pixels.
    """

    deletion: float
    insertion: float


def order_by_saliency(saliency: NDArray[np.floating], retina: NDArray[np.bool_], seed: int = 0) -> NDArray[np.int64]:
    """Orders the retina's pixels by saliency, the most salient first; equal ones are in random order.

    Args:
        saliency: Saliency map (H, W).
        retina: True (H, W) on the retina.
        seed: Seed of the random order.

    Returns:
        Indices (P,) of the flattened map.

    Example:
        >>> order_by_saliency(np.array([[0.0, 3.0], [1.0, 9.0]]), np.array([[True, True], [True, False]])).tolist()
        [1, 2, 0]
    """
    indices = np.random.default_rng(seed).permutation(np.flatnonzero(retina))
    order: NDArray[np.int64] = indices[np.argsort(-saliency.ravel()[indices], kind="stable")]
    return order


def perturb_photograph(photograph: Tensor, order: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Makes the photographs of both curves, from the unchanged retina to the completely changed one.

    Removed pixels show :func:`~retinagrade.explanations.attribution.without_detail`: the local colours and illumination
    without lesions and vessels. Black or grey holes would be unlike any photograph, and look like bleeding.

    Args:
        photograph: RGB pixels (3, S, S), uint8.
        order: Indices of the retina's pixels, in the order of their change.

    Returns:
        Two batches (STEPS + 1, 3, S, S), float32: deletion and insertion.
    """
    full = photograph.float().flatten(1)
    plain = without_detail(photograph[None])[0].flatten(1)
    indices = torch.from_numpy(order)
    empty = full.clone()
    empty[:, indices] = plain[:, indices]
    deleted, inserted = full.repeat(STEPS + 1, 1, 1), empty.repeat(STEPS + 1, 1, 1)
    for step in range(1, STEPS + 1):
        first = indices[: round(len(indices) * step / STEPS)]
        deleted[step][:, first] = empty[:, first]
        inserted[step][:, first] = full[:, first]
    shape = (STEPS + 1, *photograph.shape)
    return deleted.view(shape), inserted.view(shape)


@torch.inference_mode()
def perturbation_areas(
    network: Network, photograph: Tensor, saliency: NDArray[np.floating], retina: NDArray[np.bool_]
) -> PerturbationAreas:
    """Computes the areas under both curves of the probability of referable retinopathy, by the trapezoidal rule.

    Args:
        network: A network in evaluation mode.
        photograph: RGB pixels (3, S, S), uint8.
        saliency: Saliency map (S, S).
        retina: True (S, S) on the retina.
    """
    batch = torch.cat(perturb_photograph(photograph, order_by_saliency(saliency, retina)))
    raw = network(batch.contiguous(memory_format=torch.channels_last))
    curves = network.output.probabilities(raw)[:, REFERABLE:].sum(1).view(2, STEPS + 1)
    deletion, insertion = (torch.trapezoid(curves, dx=1 / STEPS, dim=1)).tolist()
    return PerturbationAreas(deletion, insertion)
