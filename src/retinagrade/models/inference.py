"""Networks made ready to predict: the same function of photographs, faster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import copy, deepcopy
from typing import Final, cast

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from retinagrade.models.bfloat16 import avoid_slow_kernels
from retinagrade.models.network import Network

_TOLERANCE: Final = 1e-3
"""Largest difference of features that the changes may make, by the largest feature; rounding makes about 1e-6."""

_FUSED: Final[dict[type[nn.Module], tuple[str, list[float]]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.SiLU: ("swish", []),
    nn.Hardswish: ("hardswish", []),
}
"""Activations that oneDNN computes with a convolution, by their names and numbers there."""


@torch.inference_mode(mode=False)  # inference tensors don't tell when they are changed in place
@torch.no_grad()
def inference_copy(
    network: Network, dtype: torch.dtype, image_size: int, device: torch.device | None = None
) -> Network:
    """A copy of a network that only predicts.

    Batch-norm is folded into the convolutions before it, on a processor activations are computed with the convolution
    before them, and the backbone computes in ``dtype``; pooling of its maps and head stay in float32.
    ``docs/benchmarks.md`` has what it is worth.

    Args:
        network: A network, in either mode; it is left as it is.
        dtype: What the backbone computes in: float32, bfloat16 or float16.
        image_size: Side of the photographs, in pixels.
        device: Where the copy computes; by default where the network is.

    Returns:
        A network in evaluation mode, without gradients.
    """
    ready = deepcopy(network).to(device or network.mean.device).eval().requires_grad_(False)
    noise = torch.Generator().manual_seed(0)
    photograph = torch.randint(0, 256, (1, 3, image_size, image_size), dtype=torch.uint8, generator=noise)
    photograph = photograph.to(ready.mean.device, memory_format=torch.channels_last)
    ready = _changed(ready, photograph, (nn.BatchNorm2d, BatchNormAct2d), _fold)
    if ready.mean.device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        ready = _changed(ready, photograph, tuple(_FUSED), _fuse)
    if dtype != torch.float32:
        ready.backbone.to(dtype)
        ready.dtype = dtype
        avoid_slow_kernels(ready)
    return ready


def _changed(
    network: Network,
    photograph: Tensor,
    kinds: tuple[type[nn.Module], ...],
    change: Callable[[nn.Conv2d, nn.Module], tuple[nn.Module, nn.Module]],
) -> Network:
    """The network with every module of some kinds joined to the convolution that feeds it, and only it.

    A photograph of noise shows which module follows which convolution, and afterwards that nothing else had read the
    convolution's output: where it had, or where the output isn't finite, the network stays as it is.
    """
    if not any(type(module) in kinds for module in network.backbone.modules()):
        return network
    pairs, features = _read_by(network, photograph, kinds)
    changed = deepcopy(network)
    for convolution_name, name in pairs.items():
        convolution, follower = cast(nn.Conv2d, changed.get_submodule(convolution_name)), changed.get_submodule(name)
        joined, rest = change(convolution, follower)
        changed.set_submodule(convolution_name, joined)
        changed.set_submodule(name, rest)
    difference = (changed.features(photograph) - features).abs().max()
    return changed if difference <= _TOLERANCE * features.abs().max() else network


def _fold(convolution: nn.Conv2d, norm: nn.Module) -> tuple[nn.Module, nn.Module]:
    after = nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
    return fuse_conv_bn_eval(convolution, cast(nn.BatchNorm2d, norm)), after


def _fuse(convolution: nn.Conv2d, activation: nn.Module) -> tuple[nn.Module, nn.Module]:
    own_way = type(convolution) is not nn.Conv2d or convolution.padding_mode != "zeros"  # of padding, or of scaling
    if own_way or isinstance(convolution.padding, str):
        return convolution, activation
    fused = copy(convolution)
    fused.__class__ = _ActivatedConvolution
    cast(_ActivatedConvolution, fused).activation = _FUSED[type(activation)]
    return fused, nn.Identity()


class _ActivatedConvolution(nn.Conv2d):
    """A convolution that applies an activation to every pixel while it is at hand; without gradients."""

    activation: tuple[str, list[float]]

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps, the same to the bit as by convolution and activation one after the other."""
        name, numbers = self.activation
        geometry = self.padding, self.stride, self.dilation, self.groups
        activated: Tensor = torch.ops.mkldnn._convolution_pointwise(
            maps, self.weight, self.bias, *geometry, name, numbers, ""
        )
        return activated


def _read_by(network: Network, photograph: Tensor, kinds: tuple[type[nn.Module], ...]) -> tuple[dict[str, str], Tensor]:
    """Names of convolutions with that of the one module that reads their output as it is, and the features (1, F)."""
    outputs: list[tuple[Tensor, int, str]] = []
    pairs: dict[str, str] = {}
    calls: Counter[str] = Counter()
    hooks = []
    for name, module in network.backbone.named_modules(prefix="backbone"):
        if isinstance(module, nn.Conv2d):

            def made(_: nn.Module, __: tuple[Tensor, ...], output: Tensor, name: str = name) -> None:
                calls[name] += 1
                outputs.append((output, output._version, name))  # an addition in place makes it another map

            hooks.append(module.register_forward_hook(made))
        elif type(module) in kinds:

            def read(_: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                calls[name] += 1
                pairs.update(
                    {
                        maker: name
                        for output, version, maker in outputs
                        if output is inputs[0] and output._version == version
                    }
                )

            hooks.append(module.register_forward_pre_hook(read))
    try:
        features = network.features(photograph)
    finally:
        for hook in hooks:
            hook.remove()
    return {maker: reader for maker, reader in pairs.items() if calls[maker] == calls[reader] == 1}, features
