"""Attention rollout compared with the source's matrices, and with what holds for any vision transformer."""

from __future__ import annotations

from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinagrade.errors import ExperimentError
from retinagrade.explanations.lesions.sanity import shuffle_weights
from retinagrade.explanations.saliency import saliency_maps
from retinagrade.explanations.scores import TARGETS
from retinagrade.models.network import Network
from tests.explanations.networks import FAMILIES, network, photographs

SIDE: Final = 6


def vit(**settings: Any) -> Network:
    explained = network(**{**FAMILIES["vit"], **settings})
    with torch.no_grad():  # attention that differs between tokens
        for name, parameter in explained.backbone.named_parameters():
            if "qkv" in name or "pos_embed" in name:
                parameter.mul_(4).add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    return explained


def by_matrices(explained: Network, photograph: Tensor, grade: int) -> Tensor:
    """Equations 5 and 6 of the source, with attention that this function computes from the blocks' own layers."""
    model: Any = explained.backbone
    attentions = []
    tokens = model.norm_pre(model._pos_embed(model.patch_embed((photograph - explained.mean) / explained.std)))
    for block in model.blocks:
        layer = block.attn
        normal = block.norm1(tokens)
        count, length, _ = normal.shape
        qkv = layer.qkv(normal).reshape(count, length, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)
        attention = (qkv[0] @ qkv[1].transpose(2, 3) * layer.scale).softmax(-1)
        attention.retain_grad()
        attentions.append(attention)
        mixed = layer.proj((attention @ qkv[2]).transpose(1, 2).reshape(normal.shape))
        tokens = tokens + block.ls1(mixed)
        tokens = tokens + block.ls2(block.mlp(block.norm2(tokens)))
    last = model.norm(tokens)[:, 1:]
    last.retain_grad()
    explained.head(last.mean(1))[0, grade].backward()
    relevance = torch.eye(1 + SIDE**2)
    for attention in attentions:
        assert attention.grad is not None
        positive = (attention * attention.grad).clamp(min=0).mean(1)[0]
        relevance = relevance + positive @ relevance
    assert last.grad is not None
    own = (last * last.grad).sum(2)[0].clamp(min=0)
    rows = F.pad(own / own.sum(), (1, 0))
    return (rows @ relevance)[1:].reshape(SIDE, SIDE).detach()


@pytest.mark.parametrize("trained_from", ["all", "none"])
def test_the_rollout_equals_the_matrices_of_the_source(trained_from: str) -> None:
    explained = vit(trained_from=trained_from)
    rollout = saliency_maps(explained, photographs(), "attention-rollout", TARGETS)
    assert rollout.shape == (2, 6, SIDE, SIDE)
    for grade in (0, 3):
        expected = by_matrices(explained.requires_grad_(), photographs(1), grade)
        torch.testing.assert_close(rollout[0, grade], expected, rtol=1e-3, atol=1e-5)


def test_without_attention_each_token_keeps_its_own_part() -> None:
    explained = vit()
    with torch.no_grad():
        for block in explained.backbone.get_submodule("blocks").children():
            output = block.get_submodule("attn.proj")
            assert isinstance(output, nn.Linear)
            output.weight.zero_()
    rollout = saliency_maps(explained, photographs(), "attention-rollout", TARGETS)
    own = saliency_maps(explained, photographs(), "hirescam", TARGETS)
    torch.testing.assert_close(rollout, own / own.sum((2, 3), keepdim=True), rtol=1e-4, atol=1e-7)


def test_the_network_stays_as_it_was_and_the_map_depends_on_its_weights() -> None:
    explained = vit().train()
    state = {name: tensor.clone() for name, tensor in explained.state_dict().items()}
    fused = [getattr(part, "fused_attn", None) for part in explained.modules()]
    first = saliency_maps(explained, photographs(), "attention-rollout", TARGETS)
    assert explained.training
    assert [getattr(part, "fused_attn", None) for part in explained.modules()] == fused
    assert all(torch.equal(tensor, state[name]) for name, tensor in explained.state_dict().items())
    assert all(parameter.grad is None for parameter in explained.parameters())
    again = saliency_maps(explained, photographs(), "attention-rollout", TARGETS)
    torch.testing.assert_close(again, first, rtol=0, atol=0)
    shuffled = saliency_maps(shuffle_weights(explained), photographs(), "attention-rollout", TARGETS)
    assert not torch.allclose(shuffled, first, rtol=0.1)


@pytest.mark.parametrize("family", ["swin", "convnext", "mobilenetv2", "stages"])
def test_networks_whose_attention_does_not_see_everything_are_refused(family: str) -> None:
    with pytest.raises(ExperimentError, match="attention-rollout needs the whole of a plain vision transformer"):
        saliency_maps(network(**FAMILIES[family]), photographs(), "attention-rollout", TARGETS)
