"""The gate's network."""

from __future__ import annotations

import torch

from retinagrade.models.gate_network import OUTPUT_SIZES, FrozenFeatures, GateGraph, GateHeads


def test_the_network_answers_every_question_in_probabilities_and_only_its_heads_learn() -> None:
    torch.manual_seed(0)
    features = FrozenFeatures().eval()
    graph = GateGraph(features, GateHeads()).eval()
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
