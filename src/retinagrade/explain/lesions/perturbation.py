"""Deletion and insertion: what becomes of a probability when the hottest pixels go first, or come first.

Source: V. Petsiuk, A. Das and K. Saenko, "RISE: randomized input sampling for explanation of black-box models",
BMVC 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from retinagrade.explain.attribution import without_detail
from retinagrade.grades import REFERABLE
from retinagrade.models.network import Network

STEPS: Final = 10
"""Steps in which all of the retina goes, or comes."""


@dataclass(frozen=True)
class PerturbationAreas:
    """Areas under the two curves, 0 to 1: means of the probability over the share of the retina that is changed.

    Attributes:
        deletion: The hottest pixels lose their detail first: low where the map has found what the probability needs.
        insertion: They get it back first: high where it has.
    """

    deletion: float
    insertion: float


def hottest_first(heat: np.ndarray, retina: np.ndarray, seed: int = 0) -> np.ndarray:
    """Places of the retina's pixels, the hottest first; equally hot ones in random order.

    Args:
        heat: Heat (H, W), float.
        retina: True (H, W) on the retina.
        seed: Of that order.

    Returns:
        Indices (P,) of the flattened frame, int64.

    Example:
        >>> hottest_first(np.array([[0.0, 3.0], [1.0, 9.0]]), np.array([[True, True], [True, False]])).tolist()
        [1, 2, 0]
    """
    places = np.random.default_rng(seed).permutation(np.flatnonzero(retina))
    order: np.ndarray = places[np.argsort(-heat.ravel()[places], kind="stable")]
    return order


def perturb_photograph(photograph: Tensor, order: np.ndarray) -> tuple[Tensor, Tensor]:
    """The photographs of both curves, from none of the retina changed to all of it.

    What is deleted shows :func:`~retinagrade.explain.attribution.without_detail`: the colours and illumination of the place
    without lesions and vessels. Black or grey holes would be found by any network, and look like bleeding.

    Args:
        photograph: RGB pixels (3, S, S), uint8.
        order: Places of the retina's pixels, in which they are changed.

    Returns:
        Two batches (STEPS + 1, 3, S, S), float32: deletion and insertion.
    """
    full = photograph.float().flatten(1)
    plain = without_detail(photograph[None])[0].flatten(1)
    places = torch.from_numpy(order)
    empty = full.clone()
    empty[:, places] = plain[:, places]
    deleted, inserted = full.repeat(STEPS + 1, 1, 1), empty.repeat(STEPS + 1, 1, 1)
    for step in range(1, STEPS + 1):
        first = places[: round(len(places) * step / STEPS)]
        deleted[step][:, first] = empty[:, first]
        inserted[step][:, first] = full[:, first]
    shape = (STEPS + 1, *photograph.shape)
    return deleted.view(shape), inserted.view(shape)


@torch.inference_mode()
def perturbation_areas(network: Network, photograph: Tensor, heat: np.ndarray, retina: np.ndarray) -> PerturbationAreas:
    """Areas under the curves of the probability of referable retinopathy.

    Args:
        network: A network in evaluation mode.
        photograph: RGB pixels (3, S, S), uint8.
        heat: Heat (S, S), float.
        retina: True (S, S) on the retina.

    Returns:
        Areas by the trapezoidal rule.
    """
    batch = torch.cat(perturb_photograph(photograph, hottest_first(heat, retina)))
    raw = network(batch.contiguous(memory_format=torch.channels_last))
    curves = network.output.probabilities(raw)[:, REFERABLE:].sum(1).view(2, STEPS + 1)
    deletion, insertion = (torch.trapezoid(curves, dx=1 / STEPS, dim=1)).tolist()
    return PerturbationAreas(deletion, insertion)
