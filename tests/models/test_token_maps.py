"""Tokens and maps with the channels last become feature maps, place by place, and back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from retinagrade.errors import ExperimentError
from retinagrade.models.token_maps import as_maps, tokens_without_a_place, with_maps


class Transformer(nn.Module):
    def __init__(self, first: int) -> None:
        super().__init__()
        self.num_prefix_tokens = first


@given(side=st.integers(2, 9), channels=st.integers(1, 12), first=st.sampled_from([0, 1, 2, 4, 5]))
def test_tokens_are_the_places_row_by_row(side: int, channels: int, first: int) -> None:
    tokens = torch.randn(2, first + side * side, channels)
    maps = as_maps(tokens, Transformer(first))
    for row, column in ((0, 0), (0, side - 1), (side - 1, 1)):
        assert torch.equal(maps[:, :, row, column], tokens[:, first + row * side + column])
    assert torch.equal(with_maps(tokens, maps, Transformer(first)), tokens)
    doubled = with_maps(tokens, 2 * maps, Transformer(first))
    assert torch.equal(doubled[:, :first], tokens[:, :first])
    assert torch.equal(doubled[:, first:], 2 * tokens[:, first:])


@given(side=st.integers(2, 9), channels=st.integers(10, 12))
def test_the_channels_may_come_first_or_last(side: int, channels: int) -> None:
    maps = torch.randn(2, channels, side, side)
    for output in (maps, maps.permute(0, 2, 3, 1)):
        assert torch.equal(as_maps(output, nn.Identity()), maps)
        assert torch.equal(with_maps(output, maps, nn.Identity()), output)


def test_a_layer_before_the_class_token_has_no_such_token() -> None:
    assert tokens_without_a_place(196, Transformer(1)) == 0
    assert tokens_without_a_place(197, Transformer(1)) == 1
    assert tokens_without_a_place(201, Transformer(5)) == 5


@pytest.mark.parametrize(
    "output",
    [torch.zeros(2, 1, 64), torch.zeros(2, 15, 64), torch.zeros(2, 64), (torch.zeros(2, 3, 4, 4),)],
    ids=["class token", "no square", "vector", "tuple"],
)
def test_outputs_without_places_are_refused(output: object) -> None:
    with pytest.raises(ExperimentError, match="no feature maps"):
        as_maps(output, nn.Identity())
