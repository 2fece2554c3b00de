"""Scores rise with the predicted probability and have a slope everywhere."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from retinagrade.explanations.scores import TARGETS, scores
from retinagrade.models.outputs import make_output
from retinagrade.models.settings import OutputName


@pytest.mark.parametrize(
    ("name", "heads"), [*((name, 1) for name in get_args(OutputName)), ("softmax", 3), ("ordinal", 2)]
)
def test_log_probabilities_are_logarithms_of_probabilities(name: OutputName, heads: int) -> None:
    output = make_output(name, heads)
    raw = 2 * torch.randn(50, output.units, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(output.log_probabilities(raw).exp(), output.probabilities(raw), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", get_args(OutputName))
def test_scores_are_log_odds_and_logits_of_softmax(name: OutputName) -> None:
    output = make_output(name)
    raw = torch.randn(50, output.units, generator=torch.Generator().manual_seed(0))
    values, probabilities = scores(output, raw, TARGETS), output.probabilities(raw)
    torch.testing.assert_close(values[:, 5], probabilities[:, 2:].sum(1).logit(), rtol=1e-6, atol=1e-9)
    expected = raw.double() if name == "softmax" else probabilities.logit()
    torch.testing.assert_close(values[:, :5], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", get_args(OutputName))
@pytest.mark.parametrize("size", [-300.0, -8.0, 0.0, 8.0, 300.0])
def test_slopes_are_finite_and_not_0_at_high_confidence(name: OutputName, size: float) -> None:
    output = make_output(name)
    raw = torch.full((1, output.units), size, requires_grad=True)
    for score in scores(output, raw, TARGETS)[0]:
        (slope,) = torch.autograd.grad(score, raw, retain_graph=True)
        assert torch.isfinite(slope).all()
        assert torch.isfinite(score)
    (slope,) = torch.autograd.grad(scores(output, raw, ["referable"]).sum(), raw)
    assert slope.abs().max() > 0
