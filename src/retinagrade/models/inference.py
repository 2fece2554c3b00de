"""Inference copies of networks: the same function of photographs, computed faster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import copy, deepcopy
from typing import Final, cast

import torch
from timm.layers.norm_act import BatchNormAct2d, SyncBatchNormAct
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from retinagrade.models.bfloat16 import avoid_slow_kernels
from retinagrade.models.network import Network
from retinagrade.models.scratch import ScratchCNN
from retinagrade.models.winograd import WinogradConvolution, suits_winograd

_TOLERANCE: Final = 1e-3
"""Largest allowed change of a feature, relative to the largest feature; rounding changes them by up to 1e-5."""

_GROUP: Final = 4
"""Photographs that the CNN from scratch computes at a time."""

_BATCH_NORMS: Final = (nn.BatchNorm2d, BatchNormAct2d, nn.SyncBatchNorm, SyncBatchNormAct)
"""Layers that are folded; the synchronised ones are those of a training on several GPUs."""

_FUSED: Final[dict[type[nn.Module], tuple[str, list[float]]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.SiLU: ("swish", []),
    nn.Hardswish: ("hardswish", []),
}
"""Activations that oneDNN computes together with a convolution, with their names and parameters in oneDNN."""


@torch.inference_mode(mode=False)  # inference tensors don't record changes in place
@torch.no_grad()
def inference_copy(
    network: Network, dtype: torch.dtype, image_size: int, device: torch.device | None = None
) -> Network:
    """Makes a copy of a network that only predicts.

    Batch-norm is folded into the convolution before it. On a processor, each activation is computed together with the
    convolution before it: in float32 by Winograd's algorithm, where the convolution suits it. Max-pooling of two by two
    pixels leaves out the places of the maxima, and the CNN from scratch computes a few photographs at a time. The
    backbone computes in ``dtype``; pooling and head compute in float32.
    ``docs/benchmarks.md`` has the gain in speed.

    Args:
        network: A network, in either mode; it stays unchanged.
        dtype: Type that the backbone computes in: float32, bfloat16 or float16.
        image_size: Side of the photographs, in pixels.
        device: Device of the copy; by default that of the network.

    Returns:
        A network in evaluation mode, without gradients.
    """
    ready = deepcopy(network).to(device or network.mean.device).eval().requires_grad_(False)
    noise = torch.Generator().manual_seed(0)
    photograph = torch.randint(0, 256, (1, 3, image_size, image_size), dtype=torch.uint8, generator=noise)
    photograph = photograph.to(ready.mean.device, memory_format=torch.channels_last)
    ready = _merge_followers(ready, photograph, _BATCH_NORMS, _fold)
    if ready.mean.device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        if _onednn_computes(dtype):
            fuse = _multiply_less if dtype == torch.float32 else _fuse
            ready = _merge_followers(ready, photograph, tuple(_FUSED), fuse)
            ready = _group_photographs(ready, photograph)
        _pool_pairs(ready)
    if dtype != torch.float32:
        ready.backbone.to(dtype)
        ready.dtype = dtype
        avoid_slow_kernels(ready)
    return ready


def _merge_followers(
    network: Network,
    photograph: Tensor,
    kinds: tuple[type[nn.Module], ...],
    change: Callable[[nn.Conv2d, nn.Module], tuple[nn.Module, nn.Module]],
) -> Network:
    """Merges every module of some kinds with the convolution before it.

    A photograph of noise shows which module follows which convolution. Afterwards it checks that no other module used
    the convolution's output: if the features changed, or aren't finite, the network is returned unchanged.
    """
    if not any(type(module) in kinds for module in network.backbone.modules()):
        return network
    pairs, features = _find_followers(network, photograph, kinds)
    changed = deepcopy(network)
    for convolution_name, name in pairs.items():
        convolution, follower = cast(nn.Conv2d, changed.get_submodule(convolution_name)), changed.get_submodule(name)
        merged, rest = change(convolution, follower)
        changed.set_submodule(convolution_name, merged)
        changed.set_submodule(name, rest)
    return changed if _keeps_features(changed, photograph, features) else network


def _keeps_features(network: Network, photograph: Tensor, features: Tensor) -> bool:
    """Returns True where a network computes finite features of a photograph, the same except for rounding."""
    difference = (network.features(photograph) - features).abs().max()
    return bool(difference <= _TOLERANCE * features.abs().max())


def _fold(convolution: nn.Conv2d, norm: nn.Module) -> tuple[nn.Module, nn.Module]:
    after: nn.Module = nn.Identity()
    if isinstance(norm, BatchNormAct2d | SyncBatchNormAct):
        after = nn.Sequential(cast(nn.Module, norm.drop), cast(nn.Module, norm.act))
    return fuse_conv_bn_eval(convolution, cast(nn.BatchNorm2d, norm)), after


def _onednn_computes(dtype: torch.dtype) -> bool:
    """Returns True where the processor has the instructions that oneDNN needs for a type."""
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())


def _multiply_less(convolution: nn.Conv2d, activation: nn.Module) -> tuple[nn.Module, nn.Module]:
    if not _is_plain(convolution) or not suits_winograd(convolution):
        return _fuse(convolution, activation)
    return WinogradConvolution(convolution, activation), nn.Identity()


def _is_plain(convolution: nn.Conv2d) -> bool:
    """Returns True for a convolution without own padding or scaling."""
    own = type(convolution) is not nn.Conv2d or convolution.padding_mode != "zeros"
    return not own and not isinstance(convolution.padding, str)


def _fuse(convolution: nn.Conv2d, activation: nn.Module) -> tuple[nn.Module, nn.Module]:
    if not _is_plain(convolution):
        return convolution, activation
    fused = copy(convolution)
    fused.__class__ = _ActivatedConvolution
    cast(_ActivatedConvolution, fused).activation = _FUSED[type(activation)]
    return fused, nn.Identity()


class _ActivatedConvolution(nn.Conv2d):
    """A convolution that applies an activation to each pixel in the same pass over memory; without gradients."""

    activation: tuple[str, list[float]]

    def forward(self, maps: Tensor) -> Tensor:
        """Computes feature maps, bit by bit the same as convolution and activation one after the other."""
        name, numbers = self.activation
        geometry = self.padding, self.stride, self.dilation, self.groups
        activated: Tensor = torch.ops.mkldnn._convolution_pointwise(
            maps, self.weight, self.bias, *geometry, name, numbers, ""
        )
        return activated


def _pool_pairs(network: Network) -> None:
    for name, module in [*network.backbone.named_modules()]:
        if type(module) is nn.MaxPool2d and _takes_pairs(module):
            network.backbone.set_submodule(name, _PairMaximum())


def _takes_pairs(pooling: nn.MaxPool2d) -> bool:
    window = (pooling.kernel_size, pooling.stride, pooling.padding, pooling.dilation)
    return window == (2, 2, 0, 1) and not (pooling.ceil_mode or pooling.return_indices)


class _PairMaximum(nn.Module):
    """Max-pooling of two by two pixels, the same to the bit; it leaves out the places, which only training needs."""

    def forward(self, maps: Tensor) -> Tensor:
        """Halves feature maps (N, C, H, W); an odd last row or column is left out."""
        height, width = (side // 2 * 2 for side in maps.shape[-2:])
        rows = torch.maximum(maps[..., 0:height:2, :], maps[..., 1:height:2, :])
        return torch.maximum(rows[..., 0:width:2], rows[..., 1:width:2])


def _group_photographs(network: Network, photograph: Tensor) -> Network:
    """Lets the CNN from scratch compute a few photographs at a time; any other network is returned unchanged."""
    if not isinstance(network.backbone, ScratchCNN):
        return network
    changed = deepcopy(network)
    changed.backbone = _GroupedScratch(network.backbone)
    return changed if _keeps_features(changed, photograph, network.features(photograph)) else network


class _GroupedScratch(nn.Module):
    """The CNN from scratch in oneDNN's layout of memory, and a few photographs at a time.

    It has large maps and few multiplications, so most of its time goes to memory. Groups slow deeper networks down.
    """

    def __init__(self, backbone: ScratchCNN) -> None:
        super().__init__()
        self.convolutions = backbone.blocks[::3]
        self.windows = [cast(int, pooling.kernel_size) for pooling in backbone.blocks[1::3]]

    def forward(self, pixels: Tensor) -> Tensor:
        weights = [weight.to_mkldnn() for weight in self.convolutions.parameters()]
        layers = [*zip(weights[::2], weights[1::2], self.windows, strict=True)]
        groups = []
        for group in torch.split(pixels, _GROUP):
            maps = group.to_mkldnn()
            for weight, bias, window in layers:
                maps = torch.mkldnn_convolution(maps, weight, bias, (0, 0), (1, 1), (1, 1), 1)
                maps = torch.relu(torch.mkldnn_max_pool2d(maps, [window, window], [window, window]))
            groups.append(maps.to_dense())
        return torch.cat(groups)


def _find_followers(
    network: Network, photograph: Tensor, kinds: tuple[type[nn.Module], ...]
) -> tuple[dict[str, str], Tensor]:
    """Returns names of convolutions with that of the only module that uses their output, and the features (1, F)."""
    outputs: list[tuple[Tensor, int, str]] = []
    pairs: dict[str, str] = {}
    calls: Counter[str] = Counter()
    hooks = []
    for name, module in network.backbone.named_modules(prefix="backbone"):
        if isinstance(module, nn.Conv2d):

            def note_output(_: nn.Module, __: tuple[Tensor, ...], output: Tensor, name: str = name) -> None:
                calls[name] += 1
                outputs.append((output, output._version, name))  # the version changes with an addition in place

            hooks.append(module.register_forward_hook(note_output))
        elif type(module) in kinds:

            def note_input(_: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                calls[name] += 1
                pairs.update(
                    {
                        convolution: name
                        for output, version, convolution in outputs
                        if output is inputs[0] and output._version == version
                    }
                )

            hooks.append(module.register_forward_pre_hook(note_input))
    try:
        features = network.features(photograph)
    finally:
        for hook in hooks:
            hook.remove()
    return {first: follower for first, follower in pairs.items() if calls[first] == calls[follower] == 1}, features
