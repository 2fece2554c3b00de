"""Layers: which feature maps a class activation map is made of, and scores with gradients by them and no further."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from retinagrade.errors import ExperimentError
from retinagrade.explain.scores import Target, scores
from retinagrade.models.network import Network, feature_maps, scale_pixels
from retinagrade.models.scratch import ScratchCNN
from retinagrade.models.settings import NetworkSettings
from retinagrade.models.summary import backbone_layers


@contextmanager
def evaluation_mode(network: Network) -> Iterator[None]:
    """A network in evaluation mode for the time of a block."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def maps_and_scores(
    network: Network, photographs: Tensor, targets: Sequence[Target], layer: nn.Module | None = None
) -> tuple[list[Tensor], Tensor]:
    """Feature maps, and the scores that a network in evaluation mode makes of them.

    By default the maps are the last that hold places: those that enter the average, or the flattening, over all places;
    with ``network.stages`` one for each of them. Where a chain of convolutions ends with max-pooling (VGG16, the CNNs
    from scratch), they are those that enter it, after their ReLU: as fine as the last convolution, as customary.

    The backbone runs once and without gradients, whatever of it is frozen; each target costs a way back through the
    head alone.

    Args:
        network: A network.
        photographs: RGB pixels (N, 3, S, S), uint8.
        targets: T targets.
        layer: A module of the backbone whose output (N, C, h, w) is taken instead.

    Returns:
        Maps (N, C, h, w), one or one a stage, with ``requires_grad``; scores (N, T), float64, that depend on them.

    Raises:
        ExperimentError: ``layer`` gives no feature maps.
    """
    if layer is not None:
        return _of_layer(network, photographs, targets, layer)
    convolutions, pooling = without_last_pooling(network.backbone)
    with torch.no_grad():
        pixels = scale_pixels(photographs, network.mean, network.std).to(network.dtype)
        found = feature_maps(convolutions, pixels, network.stages)
    leaves = [maps.requires_grad_() for maps in (found if isinstance(found, list) else [found])]
    raw = network.head(network.pooling(leaves if isinstance(found, list) else pooling(leaves[0])))
    return leaves, scores(network.output, raw, targets)


def gradients(maps: Sequence[Tensor], of: Tensor) -> list[Tensor]:
    """Gradients of every score by every map.

    Args:
        maps: Feature maps (N, C, h, w) that the scores depend on.
        of: Scores (N, T).

    Returns:
        For each of the maps (N, T, C, h, w), of their type.
    """
    # A photograph's score depends on its own maps alone, so the sum over photographs has each one's gradients.
    rows = [torch.autograd.grad(column.sum(), maps, retain_graph=True) for column in of.unbind(1)]
    return [torch.stack(by_target, dim=1) for by_target in zip(*rows, strict=True)]


def without_last_pooling(backbone: nn.Module) -> tuple[nn.Module, nn.Module]:
    """A chain of layers without the max-pooling that ends it, and that; any other backbone whole, and nothing.

    ReLU goes before max-pooling wherever it stands: the order makes no difference to what comes out.
    """
    chain = backbone.blocks if isinstance(backbone, ScratchCNN) else backbone
    if not isinstance(chain, nn.Sequential):
        return backbone, nn.Identity()
    pools: list[nn.Module] = []
    for layer in chain:
        pools = [] if isinstance(layer, nn.Conv2d) else pools + [layer] * isinstance(layer, nn.MaxPool2d)
    return nn.Sequential(*(layer for layer in chain if layer not in pools)), nn.Sequential(*pools)


def find_layer(network: Network, settings: NetworkSettings, name: str) -> nn.Module:
    """A layer of a network's backbone by its name, as ``retinagrade experiments show`` prints it.

    Args:
        network: The network.
        settings: What it was built from.
        name: The layer's; of several modules, its output is the last one's.

    Raises:
        ExperimentError: No such layer; those that there are are listed.
    """
    layers = backbone_layers(network, settings)
    if name not in layers:
        raise ExperimentError(f"{settings.backbone} has no layer {name!r}: one of {', '.join(layers)}")
    return layers[name][-1]


def _of_layer(
    network: Network, photographs: Tensor, targets: Sequence[Target], layer: nn.Module
) -> tuple[list[Tensor], Tensor]:
    leaves: list[Tensor] = []

    def cut(_: nn.Module, __: object, output: Tensor) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise ExperimentError("this layer gives no feature maps: choose one of the backbone")
        leaves.append(output.detach().requires_grad_())
        return leaves[-1].clone()  # what comes next may change it in place

    hook = layer.register_forward_hook(cut)
    try:
        with torch.enable_grad():
            raw = network(photographs)
    finally:
        hook.remove()
    if len(leaves) != 1:
        raise ExperimentError(f"this layer is used {len(leaves)} times: choose another")
    return leaves, scores(network.output, raw, targets)
