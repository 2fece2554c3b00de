"""A map that ignores the weights is found out; one that reads them passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retinagrade.explain.lesions.sanity import is_unchanged, rank_correlation, shuffle_weights
from retinagrade.explain.saliency import saliency_maps
from retinagrade.models.network import Network
from retinagrade.models.settings import Scaling

SIDE = 24
RETINA = np.ones((SIDE, SIDE), bool)


def network() -> Network:
    """A network whose grades depend on different filters."""
    torch.manual_seed(3)
    backbone = nn.Sequential(
        nn.Conv2d(3, 12, 5, padding=2), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 8, 3, padding=1)
    )
    pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network(backbone, pooling, nn.Linear(8, 5), Scaling(mean=(127, 127, 127), std=(64, 64, 64))).eval()


def photographs(count: int = 6) -> Tensor:
    return torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.array([rank_correlation(one, other, RETINA) for one, other in zip(first, second, strict=True)])


def edges(network: Network, pixels: Tensor) -> np.ndarray:
    """A method that shows edges, whatever the network."""
    down, right = np.gradient(pixels.float().mean(1).numpy(), axis=(1, 2))
    return np.asarray(np.hypot(down, right))


def gradients(network: Network, pixels: Tensor) -> np.ndarray:
    return saliency_maps(network, pixels, "hirescam", ("referable",))[:, 0].numpy()


def test_a_method_that_ignores_the_weights_is_found_out() -> None:
    trained, pixels = network(), photographs()
    assert is_unchanged(correlations(edges(trained, pixels), edges(shuffle_weights(trained), pixels)))


def test_a_method_that_reads_the_weights_passes() -> None:
    trained, pixels = network(), photographs()
    assert not is_unchanged(correlations(gradients(trained, pixels), gradients(shuffle_weights(trained), pixels)))
    assert is_unchanged(correlations(gradients(trained, pixels), gradients(trained, pixels)))


def test_shuffling_keeps_the_values_of_every_tensor_and_the_network_as_it_is() -> None:
    trained = network()
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    forgetful = shuffle_weights(trained, seed=1)
    for name, tensor in forgetful.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], before[name], rtol=0, atol=0)
        assert torch.equal(tensor.flatten().sort().values, before[name].flatten().sort().values)
    assert not torch.equal(forgetful.state_dict()["backbone.0.weight"], before["backbone.0.weight"])
    assert torch.equal(forgetful.mean, trained.mean)
    again = shuffle_weights(trained, seed=1).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in forgetful.state_dict().items())


def test_rank_correlation_is_of_the_retina_alone() -> None:
    rng = np.random.default_rng(0)
    heat = rng.random((SIDE, SIDE))
    retina = np.zeros((SIDE, SIDE), bool)
    retina[4:, 4:] = True
    other = heat**3
    other[:4] = rng.random((4, SIDE))
    assert rank_correlation(heat, other, retina) == pytest.approx(1)
    assert rank_correlation(heat, -heat, retina) == pytest.approx(-1)
    assert np.isnan(rank_correlation(heat, np.zeros_like(heat), retina))
