"""Feature maps from the outputs of any architecture: tokens of vision transformers, or maps with the channels last."""

from __future__ import annotations

from math import isqrt
from typing import Any, Final

import torch
from torch import Tensor, nn

from retinagrade.errors import ExperimentError

_LEAST: Final = 4
"""Least number of patches: a single token is a vector, such as the class token that PiT returns."""


def as_maps(output: Any, backbone: nn.Module) -> Tensor:
    """Returns the output of a backbone, or of one of its layers, as feature maps.

    A vision transformer returns tokens: one for each patch, row by row, and before them tokens without a place, such as
    the class token and registers. Tokens without a place are left out. Swin and its relatives return the channels last.

    Args:
        output: Feature maps (N, C, s, s) or (N, s, s, C), or tokens (N, T, C), of square photographs.
        backbone: The backbone; timm's attributes ``output_fmt`` and ``num_prefix_tokens`` describe its layout.

    Returns:
        Feature maps (N, C, s, s).

    Raises:
        ExperimentError: The output has no places: it is a vector, no square of tokens, or no tensor.

    Example:
        >>> as_maps(torch.zeros(2, 197, 192), nn.Identity()).shape
        torch.Size([2, 192, 14, 14])
    """
    if isinstance(output, Tensor) and output.ndim == 4:
        return output.permute(0, 3, 1, 2) if _has_channels_last(output, backbone) else output
    if not isinstance(output, Tensor) or output.ndim != 3:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ExperimentError(f"the output has no feature maps: it is {shape}")
    first = tokens_without_a_place(output.shape[1], backbone)
    side = isqrt(output.shape[1] - first)
    # With len(), an exported graph would have batches of one size only.
    return output[:, first:].transpose(1, 2).reshape(output.shape[0], -1, side, side)


def with_maps(output: Tensor, maps: Tensor, backbone: nn.Module) -> Tensor:
    """Returns the output of a layer with other feature maps, in the layout of the layer.

    Args:
        output: The output of the layer, as for :func:`as_maps`; its tokens without a place are kept.
        maps: Feature maps (N, C, s, s).
        backbone: The backbone of the layer.
    """
    if output.ndim == 4:
        return maps.permute(0, 2, 3, 1) if _has_channels_last(output, backbone) else maps
    first = tokens_without_a_place(output.shape[1], backbone)
    return torch.cat([output[:, :first], maps.flatten(2).transpose(1, 2)], dim=1)


def tokens_without_a_place(tokens: int, backbone: nn.Module) -> int:
    """Returns how many of a layer's tokens belong to no patch; they come first.

    Args:
        tokens: Number of the layer's tokens, for a square photograph.
        backbone: The backbone of the layer.

    Raises:
        ExperimentError: The tokens are no square of at least 2 × 2 patches.

    Example:
        >>> tokens_without_a_place(196, nn.Identity()), tokens_without_a_place(197, nn.Identity())
        (0, 1)
    """
    known = getattr(backbone, "num_prefix_tokens", 0)
    for first in dict.fromkeys((known, 0, 1)):  # the layer before the class token is added has none
        if tokens >= first + _LEAST and isqrt(tokens - first) ** 2 == tokens - first:
            return int(first)
    raise ExperimentError(f"the output has no feature maps: its tokens ({tokens}) are no square of patches")


def _has_channels_last(output: Tensor, backbone: nn.Module) -> bool:
    """Whether the channels come last; photographs are square, and so are their maps."""
    _, first, second, third = output.shape
    if first == second == third:  # the layers of one backbone may differ, so its attribute decides no other case
        return bool(getattr(backbone, "output_fmt", "NCHW") == "NHWC")
    return first == second
