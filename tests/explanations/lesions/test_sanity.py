"""Maps that ignore the weights fail the sanity check, and maps that depend on them pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from retinagrade.explanations.lesions.sanity import is_unchanged, rank_correlation, shuffle_weights
from retinagrade.explanations.saliency import saliency_maps
from retinagrade.models.network import Network
from retinagrade.models.settings import Scaling

SIDE = 24
RETINA = np.ones((SIDE, SIDE), bool)


def network() -> Network:
    """A network with grades that depend on different filters."""
    torch.manual_seed(3)
    backbone = nn.Sequential(
        nn.Conv2d(3, 12, 5, padding=2), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 8, 3, padding=1)
    )
    pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network(backbone, pooling, nn.Linear(8, 5), Scaling(mean=(127, 127, 127), std=(64, 64, 64))).eval()


def photographs(count: int = 6) -> Tensor:
    return torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def correlations(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.array([rank_correlation(one, other, RETINA) for one, other in zip(first, second, strict=True)])


def edges(network: Network, pixels: Tensor) -> NDArray[np.floating]:
    """A method that shows edges and ignores the network."""
    down, right = np.gradient(pixels.float().mean(1).numpy(), axis=(1, 2))
    return np.asarray(np.hypot(down, right))


def gradients(network: Network, pixels: Tensor) -> NDArray[np.floating]:
    return saliency_maps(network, pixels, "hirescam", ("referable",))[:, 0].numpy()


def test_a_method_that_ignores_the_weights_fails() -> None:
    trained, pixels = network(), photographs()
    assert is_unchanged(correlations(edges(trained, pixels), edges(shuffle_weights(trained), pixels)))


def test_a_method_that_depends_on_the_weights_passes() -> None:
    trained, pixels = network(), photographs()
    assert not is_unchanged(correlations(gradients(trained, pixels), gradients(shuffle_weights(trained), pixels)))
    assert is_unchanged(correlations(gradients(trained, pixels), gradients(trained, pixels)))


def test_shuffling_keeps_the_values_of_every_tensor_and_does_not_change_the_network() -> None:
    trained = network()
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    shuffled = shuffle_weights(trained, seed=1)
    for name, tensor in shuffled.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], before[name], rtol=0, atol=0)
        assert torch.equal(tensor.flatten().sort().values, before[name].flatten().sort().values)
    assert not torch.equal(shuffled.state_dict()["backbone.0.weight"], before["backbone.0.weight"])
    assert torch.equal(shuffled.mean, trained.mean)
    again = shuffle_weights(trained, seed=1).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in shuffled.state_dict().items())


def test_rank_correlation_ignores_pixels_outside_the_retina() -> None:
    rng = np.random.default_rng(0)
    saliency = rng.random((SIDE, SIDE))
    retina = np.zeros((SIDE, SIDE), bool)
    retina[4:, 4:] = True
    other = saliency**3
    other[:4] = rng.random((4, SIDE))
    assert rank_correlation(saliency, other, retina) == pytest.approx(1)
    assert rank_correlation(saliency, -saliency, retina) == pytest.approx(-1)
    assert np.isnan(rank_correlation(saliency, np.zeros_like(saliency), retina))
