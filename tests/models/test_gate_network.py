"""The gate's network."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from retinagrade.models.gate_network import (
    OUTPUT_SIZES,
    FrozenFeatures,
    GateFeatures,
    GateGraph,
    GateHeads,
    answer,
    to_probabilities,
)

COLOURS = arrays(np.float32, (3, 8, 8), elements=st.floats(0, 1, width=32))


def test_the_network_answers_every_question_in_probabilities_and_only_its_heads_learn() -> None:
    torch.manual_seed(0)
    features = FrozenFeatures().eval()
    graph = GateGraph(features, GateHeads()).eval()
    frame = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    square = torch.randint(0, 256, (2, 256, 256, 3), dtype=torch.uint8)
    answers = dict(zip(OUTPUT_SIZES, graph(frame, square), strict=True))
    for name, size in OUTPUT_SIZES.items():
        assert answers[name].shape == (2, size)
        assert ((answers[name] >= 0) & (answers[name] <= 1)).all()
    for name in ("modality", "centre"):
        torch.testing.assert_close(answers[name].sum(1), torch.ones(2))
    assert not any(parameter.requires_grad for parameter in features.parameters())
    other_frame = torch.zeros_like(frame)
    again = dict(zip(OUTPUT_SIZES, graph(other_frame, square), strict=True))
    torch.testing.assert_close(again["quality"], answers["quality"])  # surroundings say nothing about the quality
    assert (again["modality"] != answers["modality"]).any()


@given(colours=COLOURS, seed=st.integers(0, 9))
def test_too_much_light_speaks_against_a_photograph_and_changes_no_other_answer(colours: np.ndarray, seed: int) -> None:
    torch.manual_seed(seed)
    heads = GateHeads().eval()
    features = GateFeatures(
        torch.randn(1, 192),
        torch.randn(1, 80, 4, 4),
        torch.randn(1, 192),
        torch.randn(1, 112, 8, 8),
        torch.rand(1, 16, 8, 8),
    )
    features.detail[:, 7:10] = torch.from_numpy(colours)
    ruled = dict(zip(OUTPUT_SIZES, answer(heads, features), strict=True))
    learnt = dict(zip(OUTPUT_SIZES, to_probabilities(heads(features)), strict=True))
    excess = np.clip(np.tensordot((0.3, 0.59, 0.11), colours, 1) - 0.55, 0, None).mean()
    if excess <= 0.08:
        torch.testing.assert_close(ruled["quality"], learnt["quality"])
    else:
        assert (ruled["quality"] >= learnt["quality"]).all()
    if excess > 0.3:
        assert (ruled["quality"] > 0.99).all()
    for name in set(OUTPUT_SIZES) - {"quality"}:
        torch.testing.assert_close(ruled[name], learnt[name], rtol=0, atol=0)
