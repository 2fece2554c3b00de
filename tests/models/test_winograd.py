"""Winograd's convolutions are PyTorch's, except for rounding."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from retinagrade.models.winograd import WinogradConvolution, suits_winograd


@given(
    count=st.integers(1, 5),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    bias=st.booleans(),
    activation=st.sampled_from([nn.Identity(), nn.ReLU(inplace=True), nn.SiLU()]),
)
def test_maps_of_any_size_are_those_of_the_convolution(
    count: int, height: int, width: int, channels: tuple[int, int], bias: bool, activation: nn.Module
) -> None:
    torch.manual_seed(count * height * width)
    convolution = nn.Conv2d(*channels, 3, padding=1, bias=bias)
    maps = torch.randn(count, channels[0], height, width).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        computed = WinogradConvolution(convolution, activation)(maps)
        exact = activation(convolution.double()(maps.double()))
    assert computed.is_contiguous(memory_format=torch.channels_last)
    assert (computed - exact).abs().max() <= 3e-5 * max(1.0, float(exact.abs().max()))


def test_input_stays_unchanged() -> None:
    maps = torch.randn(2, 8, 8, 8)
    before = maps.clone()
    with torch.inference_mode():
        WinogradConvolution(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True))(maps)
    assert torch.equal(maps, before)


@pytest.mark.parametrize(
    ("convolution", "suits"),
    [
        (nn.Conv2d(128, 256, 3, padding=1), True),
        (nn.Conv2d(64, 256, 3, padding=1), False),
        (nn.Conv2d(256, 64, 3, padding=1), False),
        (nn.Conv2d(128, 128, 1), False),
        (nn.Conv2d(128, 128, 3), False),
        (nn.Conv2d(128, 128, 3, padding=1, stride=2), False),
        (nn.Conv2d(128, 128, 3, padding=2, dilation=2), False),
        (nn.Conv2d(128, 128, 3, padding=1, groups=2), False),
    ],
)
def test_only_wide_dense_convolutions_of_three_pixels_suit(convolution: nn.Conv2d, suits: bool) -> None:
    assert suits_winograd(convolution) == suits
