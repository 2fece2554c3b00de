"""Networks made ready to predict: the same function of photographs, faster."""

from __future__ import annotations

from copy import deepcopy
from typing import Final, cast

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from retinagrade.models.bfloat16 import avoid_slow_kernels
from retinagrade.models.network import Network

_TOLERANCE: Final = 1e-3
"""Largest difference of features that folding may make, by the largest feature; rounding makes about 1e-6."""


def inference_copy(network: Network, dtype: torch.dtype, image_size: int) -> Network:
    """A copy of a network that only predicts.

    Batch-norm is folded into the convolutions before it, maximum pooling goes before ReLU, and the backbone computes in
    ``dtype``; pooling of its maps and head stay in float32. ``docs/benchmarks.md`` has what it is worth.

    Args:
        network: A network, in either mode; it is left as it is.
        dtype: What the backbone computes in: float32, bfloat16 or float16.
        image_size: Side of the photographs, in pixels.

    Returns:
        A network in evaluation mode on the same device, without gradients.
    """
    copy = _folded(deepcopy(network).eval().requires_grad_(False), image_size)
    _pool_before_relu(copy.backbone)
    if dtype != torch.float32:
        copy.backbone.to(dtype)
        copy.dtype = dtype
        avoid_slow_kernels(copy)
    return copy


def _pool_before_relu(backbone: nn.Module) -> None:
    """Swaps each ReLU in a sequence with the maximum pooling after it: the same to the bit, with fewer pixels."""
    for sequence in backbone.modules():
        if not isinstance(sequence, nn.Sequential):
            continue
        for index in range(len(sequence) - 1):
            first, second = sequence[index], sequence[index + 1]
            if isinstance(first, nn.ReLU) and isinstance(second, nn.MaxPool2d):
                sequence[index], sequence[index + 1] = second, first


@torch.no_grad()
def _folded(network: Network, image_size: int) -> Network:
    """The network with every batch-norm folded that is fed by a convolution; as it is where that changes its output.

    A photograph of noise shows which batch-norm follows which convolution, and afterwards that nothing else had read
    the convolution's output.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.backbone.modules()):
        return network
    noise = torch.Generator().manual_seed(0)
    photograph = torch.randint(0, 256, (1, 3, image_size, image_size), dtype=torch.uint8, generator=noise)
    photograph = photograph.to(network.mean.device, memory_format=torch.channels_last)
    pairs, features = _convolutions_before_norms(network, photograph)
    folded = deepcopy(network)
    for convolution_name, norm_name in pairs.items():
        convolution = cast(nn.Conv2d, folded.get_submodule(convolution_name))
        norm = cast(nn.BatchNorm2d, folded.get_submodule(norm_name))
        folded.set_submodule(convolution_name, fuse_conv_bn_eval(convolution, norm))
        after = nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
        folded.set_submodule(norm_name, after)
    difference = (folded.features(photograph) - features).abs().max()
    return folded if difference <= _TOLERANCE * features.abs().max() else network


def _convolutions_before_norms(network: Network, photograph: Tensor) -> tuple[dict[str, str], Tensor]:
    """Names of convolutions with that of the batch-norm that reads their output, and the features (1, F)."""
    outputs: list[tuple[Tensor, str]] = []
    pairs: dict[str, str] = {}
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):

            def made(_: nn.Module, __: tuple[Tensor, ...], output: Tensor, name: str = name) -> None:
                outputs.append((output, name))

            hooks.append(module.register_forward_hook(made))
        elif type(module) in (nn.BatchNorm2d, BatchNormAct2d):

            def read(_: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                pairs.update({maker: name for output, maker in outputs if output is inputs[0]})

            hooks.append(module.register_forward_pre_hook(read))
    try:
        features = network.features(photograph)
    finally:
        for hook in hooks:
            hook.remove()
    return pairs, features
