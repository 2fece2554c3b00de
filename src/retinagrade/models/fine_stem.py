"""A first convolution that reads a finer photograph, for maps of the same size at little more cost.

The first convolution of a backbone usually halves the photograph. A wider one that takes every third or fourth pixel
makes maps of the same size from a photograph with 1.5 or 2 times the side. All later layers cost the same.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Final

import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from retinagrade.errors import ExperimentError

_USUAL: Final = 2
"""Stride of the first convolution of a backbone."""


def refine_stem(backbone: nn.Module, stride: int) -> None:
    """Replaces the first convolution of a backbone by one with a larger stride, in place.

    The new kernel spreads the weights of the old one over the same part of the eye. So a photograph without detail gets
    the same maps as before, and pretrained weights keep their meaning.

    Args:
        backbone: A timm architecture whose first convolution has a stride of 2.
        stride: The new stride.

    Raises:
        ExperimentError: The backbone has no such convolution.
    """
    config: Any = getattr(backbone, "pretrained_cfg", None) or {}
    name = config.get("first_conv")
    convolution = backbone.get_submodule(name) if isinstance(name, str) else None
    if (
        not isinstance(convolution, nn.Conv2d)
        or type(convolution) not in (nn.Conv2d, Conv2dSame)  # further subclasses change their weights
        or convolution.stride != (_USUAL, _USUAL)
        or convolution.bias is not None
    ):
        raise ExperimentError(
            f"network.fine_stem: the first layer of {type(backbone).__name__} is no plain convolution without bias "
            "that halves the photograph: leave fine_stem out, or choose a backbone such as tf_efficientnet_lite0 or "
            "resnet34"
        )
    kernel = convolution.kernel_size[0]
    # timm's convolutions with TensorFlow's padding have none of their own, and pad an even side at its end.
    before = int(convolution.padding[0]) or (kernel - _USUAL) // 2
    spread, left = _spread(kernel, before, stride)
    fine = strided_convolution(3, convolution.out_channels, len(spread), stride, left)
    weight = torch.einsum("oikl,pk,ql->oipq", convolution.weight.detach(), spread, spread)
    fine.load_state_dict({"1.weight": weight})
    backbone.set_submodule(str(name), fine)


def strided_convolution(channels: int, features: int, kernel: int, stride: int, left: int = 0) -> nn.Sequential:
    """Makes a convolution whose output has 1 / stride of the input's side.

    Args:
        channels: Channels of the input.
        features: Channels of the output.
        kernel: Side of the kernel, at least ``stride + left``.
        stride: The stride.
        left: Zeros in front of the first row and column; the others follow the last ones.
    """
    right = kernel - stride - left
    return nn.Sequential(
        nn.ZeroPad2d((left, right, left, right)), nn.Conv2d(channels, features, kernel, stride, bias=False)
    )


def _spread(kernel: int, before: int, stride: int) -> tuple[Tensor, int]:
    """Returns the share of each old tap (P, K) that each new tap receives, and the zeros in front."""
    scale = stride / _USUAL
    left = ceil(before * scale)
    offset = left - before * scale
    length = max(ceil(kernel * scale + offset), stride + left)
    edges = torch.arange(length + 1, dtype=torch.float32)
    starts = torch.arange(kernel, dtype=torch.float32) * scale + offset
    lower = torch.maximum(edges[:-1, None], starts)
    upper = torch.minimum(edges[1:, None], starts + scale)
    return (upper - lower).clamp(min=0) / scale, left
