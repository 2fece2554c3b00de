"""The gate's network."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from retinagrade.models.gate_network import (
    OUTPUT_SIZES,
    Clipping,
    FrozenFeatures,
    GateGraph,
    GateHeads,
    GateMember,
    to_probabilities,
)

SHARES = arrays(np.float32, (2, 3, 8, 8), elements=st.floats(0, 1, width=32))


def test_the_network_answers_every_question_in_probabilities_and_only_its_heads_learn() -> None:
    torch.manual_seed(0)
    features = FrozenFeatures().eval()
    graph = GateGraph(features, GateHeads([GateMember(), GateMember()])).eval()
    frame = torch.randint(0, 256, (2, 96, 96, 3), dtype=torch.uint8)
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
    computed = features(frame, square)
    members = [to_probabilities(member(computed)) for member in graph.heads.members]
    for name, *each in zip(OUTPUT_SIZES, *members, strict=True):
        torch.testing.assert_close(answers[name], (each[0] + each[1]) / 2)


@given(shares=SHARES, more=SHARES, seed=st.integers(0, 99))
def test_more_clipped_pixels_never_make_a_photograph_better(shares: np.ndarray, more: np.ndarray, seed: int) -> None:
    torch.manual_seed(seed)
    clipping = Clipping()
    for parameter in clipping.parameters():
        torch.nn.init.normal_(parameter)
    before, after = (clipping(torch.from_numpy(each)) for each in (shares, np.maximum(shares, more)))
    assert (after >= before - 1e-5).all()
    assert (clipping(torch.zeros(1, 3, 8, 8)) == 0).all()
