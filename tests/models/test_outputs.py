"""Outputs: losses equal independent implementations, and probabilities are valid for any input."""

from __future__ import annotations

from math import exp, log
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor, nn
from torch.nn import functional as F

from retinagrade.models.cut_points import STANDARD, CutPoints
from retinagrade.models.network import build_network
from retinagrade.models.outputs import OrdinalOutput, RegressionOutput, SoftmaxOutput, make_output, training_loss
from retinagrade.models.settings import NetworkSettings, OutputName, ScratchSettings

NAMES: tuple[OutputName, ...] = get_args(OutputName)
WEIGHTS = torch.tensor([0.4, 2.0, 0.5, 3.0, 0.0])

names = st.sampled_from(NAMES)
seven = arrays(np.float32, (7, 5), elements=st.floats(-1e4, 1e4, width=32))


def tiny(output: OutputName) -> NetworkSettings:
    return NetworkSettings(
        backbone="scratch",
        scratch=ScratchSettings(filters=(4, 8), kernel=3, pools=(3, 3)),
        weights="none",
        image_size=48,
        pooling="flatten",
        dense=(16,),
        output=output,
    )


def batch(name: OutputName, count: int = 40) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    raw = 3 * torch.randn(count, make_output(name).units, generator=generator)
    return raw, torch.arange(count) % 5


def corn_losses(logits: NDArray[np.float64], grades: NDArray[np.int64]) -> tuple[list[float], int]:
    """CORN photograph by photograph, as the paper's text has it: each photograph's sum, and the number of all terms."""
    losses, terms = [], 0
    for row, grade in zip(logits.tolist(), grades.tolist(), strict=True):
        loss = 0.0
        for k, logit in enumerate(row):
            if grade > k - 1:  # the conditional subset of task k
                worse = 1 / (1 + exp(-logit))
                loss -= log(worse) if grade > k else log(1 - worse)
                terms += 1
        losses.append(loss)
    return losses, terms


def test_corn_equals_the_definition_in_the_paper() -> None:
    logits, grades = batch("ordinal")
    expected, terms = corn_losses(logits.double().numpy(), grades.numpy())
    np.testing.assert_allclose(OrdinalOutput().losses(logits.double(), grades).numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(OrdinalOutput().losses(logits, grades).numpy(), expected, atol=1e-5)
    ours = training_loss(OrdinalOutput(), logits, grades).item()
    assert ours == pytest.approx(np.mean(expected), rel=1e-5)
    # The paper's mean is over the terms of all conditional subsets: 1 for a photograph of grade 0, 4 from grade 3 on.
    assert terms == sum(min(grade + 1, 4) for grade in grades.tolist())
    assert ours * len(grades) / terms == pytest.approx(sum(expected) / terms, rel=1e-5)


@pytest.mark.parametrize("name", ["softmax", "ordinal"])
def test_the_loss_is_the_log_of_the_grades_probability(name: OutputName) -> None:
    raw, grades = batch(name)
    output = make_output(name)
    p = output.probabilities(raw)[torch.arange(len(grades)), grades]
    torch.testing.assert_close(output.losses(raw, grades), -p.log().float(), rtol=1e-4, atol=1e-5)


def test_regression_is_least_squares_and_an_ordered_probit() -> None:
    raw, grades = batch("regression")
    torch.testing.assert_close(
        RegressionOutput().losses(raw, grades), F.mse_loss(raw[:, 0], grades.float(), reduction="none")
    )
    cut_points = CutPoints(cuts=(0.2, 1.7, 2.0, 3.1), sigma=0.7)
    edges = np.array([-np.inf, *cut_points.cuts, np.inf])
    below = norm.cdf((edges - raw.double().numpy()) / cut_points.sigma)
    np.testing.assert_allclose(RegressionOutput(cut_points).probabilities(raw).numpy(), np.diff(below), atol=1e-14)


def test_regression_ranks_photographs_far_from_a_cut() -> None:
    # Differences of Phi near 1 are 0: all photographs far below a grade would tie in its AUC.
    raw = torch.linspace(-2, 6, 60)[:, None]
    p = RegressionOutput(STANDARD).probabilities(raw)
    assert (p[:, 4].diff() > 0).all()
    assert (p[:, 0].diff() < 0).all()


@settings(deadline=None)
@given(names, seven)
def test_probabilities_are_probabilities_and_ranks_agree(name: OutputName, values: NDArray[np.float64]) -> None:
    output = make_output(name)
    p = output.probabilities(torch.tensor(values[:, : output.units]))
    assert p.dtype == torch.float64
    assert p.shape == (7, 5)
    assert ((p >= 0) & (p <= 1)).all()
    np.testing.assert_allclose(p.sum(1).numpy(), 1, atol=1e-12)
    worse = p.flip(1).cumsum(1).flip(1)  # P(grade >= k)
    assert (worse.diff(dim=1) <= 0).all()


@settings(deadline=None)
@given(seven)
def test_ordinal_probabilities_are_cumulative_products(values: NDArray[np.float64]) -> None:
    logits = torch.tensor(values[:, :4]).double() / 1e3
    worse = OrdinalOutput().probabilities(logits).flip(1).cumsum(1).flip(1)[:, 1:]
    np.testing.assert_allclose(worse.numpy(), np.cumprod(1 / (1 + np.exp(-logits.numpy())), axis=1), atol=1e-12)


@settings(deadline=None)
@given(st.floats(-50, 50), st.floats(0, 10))
def test_a_higher_regression_is_never_less_ill(score: float, more: float) -> None:
    p = RegressionOutput().probabilities(torch.tensor([[score], [score + more]], dtype=torch.float64))
    worse = p.flip(1).cumsum(1)
    assert (worse[1] >= worse[0] - 1e-15).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [0.0, 1e4, 1e15])
def test_extreme_raw_outputs_have_finite_gradients(name: OutputName, size: float) -> None:
    output = make_output(name)
    for sign in (-1.0, 1.0):
        raw = torch.full((5, output.units), sign * size, requires_grad=True)
        loss = training_loss(output, raw, torch.arange(5))
        (gradient,) = torch.autograd.grad(loss, raw)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
        assert torch.isfinite(output.probabilities(raw)).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_network_learns_a_few_photographs_by_heart(name: OutputName) -> None:
    torch.manual_seed(0)
    network = build_network(tiny(name))
    assert network.output == make_output(name)
    photographs = torch.randint(0, 256, (10, 3, 48, 48), dtype=torch.uint8)
    grades = torch.arange(10) % 5
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        raw = network(photographs)
        training_loss(network.output, raw, grades).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert raw.shape == (10, network.output.units)
    assert network.output.probabilities(raw).argmax(1).tolist() == grades.tolist()


def test_softmax_loss_is_bit_for_bit_the_cross_entropy() -> None:
    raw, grades = batch("softmax")
    assert torch.equal(training_loss(SoftmaxOutput(), raw, grades), F.cross_entropy(raw, grades))
    assert torch.equal(SoftmaxOutput().probabilities(raw), raw.double().softmax(1))


def test_weights_are_those_of_cross_entropy() -> None:
    raw, grades = batch("softmax")
    ours = training_loss(SoftmaxOutput(), raw, grades, WEIGHTS)
    single = nn.CrossEntropyLoss(weight=WEIGHTS, reduction="none")(raw, grades)
    torch.testing.assert_close(ours, single.mean())
    # Where the mean weight is 1, as over all training photographs, it is PyTorch's weighted mean as well.
    unit = WEIGHTS / WEIGHTS[grades].mean()
    torch.testing.assert_close(
        training_loss(SoftmaxOutput(), raw, grades, unit), nn.CrossEntropyLoss(weight=unit)(raw, grades)
    )


@pytest.mark.parametrize("name", NAMES)
def test_weights_multiply_each_photographs_loss(name: OutputName) -> None:
    raw, grades = batch(name)
    output = make_output(name)
    expected = sum(WEIGHTS[grade] * loss for grade, loss in zip(grades, output.losses(raw, grades), strict=True)) / 40
    torch.testing.assert_close(training_loss(output, raw, grades, WEIGHTS), expected)
    torch.testing.assert_close(
        training_loss(output, raw, grades, torch.ones(5)), training_loss(output, raw, grades), rtol=1e-6, atol=0
    )


def test_label_smoothing_equals_torch_s_and_is_for_softmax_only() -> None:
    raw, grades = batch("softmax")
    expected = nn.CrossEntropyLoss(label_smoothing=0.2)(raw, grades)
    assert torch.equal(training_loss(SoftmaxOutput(), raw, grades, label_smoothing=0.2), expected)
    torch.testing.assert_close(training_loss(SoftmaxOutput(), raw, grades, torch.ones(5), 0.2), expected)
    for name in ("ordinal", "regression"):
        with pytest.raises(ValueError, match="softmax only"):
            training_loss(make_output(name), *batch(name), label_smoothing=0.1)
