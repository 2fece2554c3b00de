"""Convolutions of 3 × 3 pixels with a quarter of the multiplications, for prediction in float32 on a processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

_LEAST_CHANNELS: Final = 128
"""Channels below which the transforms take longer than the multiplications that they save."""
_ROWS: Final = 256
"""Tiles that are computed together, or those of one photograph: enough for a fast product of matrices."""
_TILE, _WINDOW = 4, 6
"""Sides of the square of results that one tile computes, and of the square of pixels that it reads."""

_INPUT: Final = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_KERNEL: Final = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_RESULT: Final = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
"""Bᵀ, G and Aᵀ of Lavin and Gray."""


def suits_winograd(convolution: nn.Conv2d) -> bool:
    """Returns True where :class:`WinogradConvolution` computes a convolution, and is faster for batches."""
    geometry = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation)
    dense = convolution.groups == 1 and min(convolution.in_channels, convolution.out_channels) >= _LEAST_CHANNELS
    return dense and geometry == ((3, 3), (1, 1), (1, 1), (1, 1))


class WinogradConvolution(nn.Module):
    """A convolution of 3 × 3 pixels and an activation, by Winograd's algorithm F(4 × 4, 3 × 3).

    Sixteen results of one channel take 36 multiplications instead of 144. Rounding changes them by about 1e-5 of the
    largest result. The kernels take four times the memory. The module only predicts: its weights have no gradients,
    and it computes in float32, without autocast.

    Source: A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
    """

    kernels: Tensor
    bias: Tensor | None
    to_input: Tensor
    to_result: Tensor

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module) -> None:
        """Transforms the kernels.

        Args:
            convolution: A convolution in float32 for which :func:`suits_winograd` is True.
            activation: A function of each number by itself.
        """
        super().__init__()
        weight = convolution.weight.detach().permute(2, 3, 1, 0).double()
        kernels = _both_axes(_KERNEL) @ weight.reshape(9, -1)
        self.register_buffer("kernels", kernels.float().view(_WINDOW**2, *weight.shape[2:]))
        self.register_buffer("bias", None if convolution.bias is None else convolution.bias.detach().clone())
        self.register_buffer("to_input", _both_axes(_INPUT).float())
        self.register_buffer("to_result", _both_axes(_RESULT).float())
        self.activation = activation

    def forward(self, maps: Tensor) -> Tensor:
        """Computes feature maps (N, K, H, W), in channels-last layout, of maps (N, C, H, W), float32."""
        count, _, height, width = maps.shape
        pixels = maps.permute(0, 2, 3, 1)
        results = maps.new_empty(count, height, width, self.kernels.shape[2])
        tiles = _tiles(height) * _tiles(width)
        together = max(1, round(_ROWS / tiles))
        for first in range(0, count, together):
            results[first : first + together] = self._convolve(pixels[first : first + together])
        return results.permute(0, 3, 1, 2)

    def _convolve(self, pixels: Tensor) -> Tensor:
        """Computes maps (n, H, W, K) of maps (n, H, W, C)."""
        count, height, width, channels = pixels.shape
        down, across = _tiles(height), _tiles(width)
        padded = pixels.new_zeros(count, _TILE * down + 2, _TILE * across + 2, channels)
        padded[:, 1 : height + 1, 1 : width + 1] = pixels
        photograph, row, column, channel = padded.stride()
        windows = padded.as_strided(
            (_WINDOW, _WINDOW, count, down, across, channels),
            (row, column, photograph, _TILE * row, _TILE * column, channel),
        )
        transformed = (self.to_input @ windows.reshape(_WINDOW**2, -1)).view(_WINDOW**2, -1, channels)
        products = torch.bmm(transformed, self.kernels).view(_WINDOW**2, -1)
        tiles = (self.to_result @ products).view(_TILE, _TILE, count, down, across, -1)
        whole = tiles.permute(2, 3, 0, 4, 1, 5).reshape(count, _TILE * down, _TILE * across, -1)
        cut = whole[:, :height, :width]
        if self.bias is not None:
            cut += self.bias
        activated: Tensor = self.activation(cut)
        return activated


def _both_axes(matrix: Sequence[Sequence[float]]) -> Tensor:
    """Returns the matrix that applies another one to the rows and the columns of a square, float64."""
    one_axis = torch.tensor(matrix, dtype=torch.float64)
    return torch.kron(one_axis, one_axis)


def _tiles(side: int) -> int:
    return -(-side // _TILE)
