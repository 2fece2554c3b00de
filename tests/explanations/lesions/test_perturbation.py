"""Deletion and insertion for a network with a known result: it counts the dark pixels of one spot."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from retinagrade.explanations.lesions.perturbation import (
    STEPS,
    order_by_saliency,
    perturb_photograph,
    perturbation_areas,
)
from retinagrade.models.network import Network
from retinagrade.models.settings import Scaling

SIDE = 64
SPOT = np.s_[14:18, 14:18]


class _Spot(nn.Module):
    """Gives moderate retinopathy a higher score the more pixels of the spot are dark."""

    def forward(self, pixels: Tensor) -> Tensor:
        dark = (pixels[:, :, *SPOT] < 60).float().mean((1, 2, 3))
        logits = torch.tensor([0.0, 0.0, 0.0, -20.0, -20.0]).repeat(len(pixels), 1)
        logits[:, 2] = 12 * dark - 6
        return logits[:, :, None, None]


def network() -> Network:
    return Network(_Spot(), nn.Flatten(), nn.Identity(), Scaling(mean=(0, 0, 0), std=(1, 1, 1))).eval()


def photograph() -> tuple[Tensor, NDArray[np.bool_]]:
    """An even retina with one dark spot, and the mask of the spot."""
    pixels = np.full((3, SIDE, SIDE), 120, np.uint8)
    pixels[:, *SPOT] = 40
    spot = np.zeros((SIDE, SIDE), bool)
    spot[SPOT] = True
    return torch.from_numpy(pixels), spot


def test_deletion_removes_all_detail_and_insertion_restores_it() -> None:
    pixels, spot = photograph()
    retina = np.ones((SIDE, SIDE), bool)
    retina[0] = False
    deleted, inserted = perturb_photograph(pixels, order_by_saliency(spot.astype(float), retina))
    assert deleted.shape == inserted.shape == (STEPS + 1, 3, SIDE, SIDE)
    torch.testing.assert_close(deleted[0], pixels.float())
    torch.testing.assert_close(inserted[-1], pixels.float())
    torch.testing.assert_close(deleted[-1], inserted[0])
    assert (deleted[-1][:, 1:] != pixels[:, 1:]).any()
    torch.testing.assert_close(deleted[-1][:, 0], pixels[:, 0].float())  # pixels outside the retina stay
    changed = (deleted[1] != pixels).any(0).numpy()
    assert changed[SPOT].all()  # the most salient pixels are removed first
    assert changed.sum() <= round(retina.sum() / STEPS)


def test_a_map_of_the_spot_is_better_than_its_opposite_and_random_maps() -> None:
    pixels, spot = photograph()
    retina = np.ones((SIDE, SIDE), bool)
    right = perturbation_areas(network(), pixels, spot.astype(float), retina)
    wrong = perturbation_areas(network(), pixels, 1.0 - spot, retina)
    by_chance = perturbation_areas(network(), pixels, np.random.default_rng(0).random((SIDE, SIDE)), retina)
    assert right.deletion < by_chance.deletion < wrong.deletion
    assert right.insertion > by_chance.insertion > wrong.insertion
    assert 0 <= right.deletion < 0.2
    assert 0.8 < right.insertion <= 1


def test_equally_salient_pixels_are_in_random_order() -> None:
    retina = np.ones((SIDE, SIDE), bool)
    even = np.ones((SIDE, SIDE))
    first = order_by_saliency(even, retina)
    assert sorted(first) == list(range(SIDE**2))
    assert not (np.diff(first) > 0).all()
    np.testing.assert_array_equal(first, order_by_saliency(even, retina))
