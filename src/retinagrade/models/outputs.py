"""Outputs: the meaning of a network's raw outputs, their loss, and the probabilities of the five grades.

All code that reads raw outputs uses this module. The predicted grade is always the most probable one, the lower of two
equally probable ones, as ``retinagrade.evaluation`` derives it from ``p0`` … ``p4``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from retinagrade.grades import N_GRADES
from retinagrade.models.cut_points import STANDARD, CutPoints
from retinagrade.models.settings import OutputName


@dataclass(frozen=True)
class SoftmaxOutput:
    """One logit for each grade; the loss is the cross-entropy."""

    units: ClassVar[int] = N_GRADES

    def losses(self, raw: Tensor, grades: Tensor) -> Tensor:
        """Computes the loss (N,), -log of the true grade's probability, of raw outputs (N, 5) and grades (N,)."""
        return F.cross_entropy(raw, grades, reduction="none")

    def probabilities(self, raw: Tensor) -> Tensor:
        """Computes probabilities (N, 5), float64, of raw outputs (N, 5)."""
        return raw.double().softmax(1)

    def log_probabilities(self, raw: Tensor) -> Tensor:
        """Computes their logarithms (N, 5), float64, finite and with gradients where a probability rounds to 0 or 1."""
        return raw.double().log_softmax(1)


@dataclass(frozen=True)
class OrdinalOutput:
    """Logits of P(grade > k | grade > k - 1), k = 0 … 3, whose cumulative products are P(grade > k) (CORN).

    P(grade > k) never increases with k, so that no grade has a negative probability.

    Source: X. Shi, W. Cao and S. Raschka, "Deep neural networks for rank-consistent ordinal regression based on
    conditional probabilities", 2021, arXiv:2111.08851.
    """

    units: ClassVar[int] = N_GRADES - 1

    def losses(self, raw: Tensor, grades: Tensor) -> Tensor:
        """Computes the loss (N,), -log of the true grade's probability, of raw outputs (N, 4) and grades (N,).

        Logit k enters the loss of photographs of grade k or worse only, by the binary cross-entropy of "worse than k".
        The sum of a photograph's terms has the same scale as the loss of :class:`SoftmaxOutput`; the paper divides a
        batch's sum by the number of terms instead of photographs.
        """
        rungs = torch.arange(self.units, device=grades.device)
        worse = (grades[:, None] > rungs).to(raw.dtype)
        terms = F.binary_cross_entropy_with_logits(raw, worse, reduction="none")
        return terms.where(grades[:, None] >= rungs, 0.0).sum(1)

    def probabilities(self, raw: Tensor) -> Tensor:
        """Computes probabilities (N, 5), float64, of raw outputs (N, 4)."""
        logits = raw.double()
        reached = F.pad(logits.sigmoid().cumprod(1), (1, 0), value=1.0)  # P(grade >= k)
        stays = F.pad((-logits).sigmoid(), (0, 1), value=1.0)  # P(grade = k | grade >= k), never below 0
        return reached * stays

    def log_probabilities(self, raw: Tensor) -> Tensor:
        """Computes their logarithms (N, 5), as :meth:`SoftmaxOutput.log_probabilities`."""
        logits = raw.double()
        reached = F.pad(F.logsigmoid(logits).cumsum(1), (1, 0))
        return reached + F.pad(F.logsigmoid(-logits), (0, 1))


@dataclass(frozen=True)
class RegressionOutput:
    """The grade as a number; the loss is the squared error, and cut points turn the number into probabilities.

    Attributes:
        cut_points: Cut points fitted on validation photographs after training; until then, the standard ones.
    """

    units: ClassVar[int] = 1

    cut_points: CutPoints = STANDARD

    def losses(self, raw: Tensor, grades: Tensor) -> Tensor:
        """Computes the loss (N,), the squared error, of raw outputs (N, 1) and grades (N,)."""
        return (raw.squeeze(1) - grades).square()

    def probabilities(self, raw: Tensor) -> Tensor:
        """Computes probabilities (N, 5), float64, of raw outputs (N, 1)."""
        edges = self._edges(raw)
        low, high = _mirrored(F.pad(edges, (1, 0), value=-torch.inf), F.pad(edges, (0, 1), value=torch.inf))
        return (_normal_cdf(high) - _normal_cdf(low)).clamp(min=0)

    def log_probabilities(self, raw: Tensor) -> Tensor:
        """Computes their logarithms (N, 5), as :meth:`SoftmaxOutput.log_probabilities`."""
        edges = self._edges(raw)
        low, high = map(torch.special.log_ndtr, _mirrored(edges[:, :-1], edges[:, 1:]))
        between = high + (-torch.expm1(low - high)).log()
        return torch.cat([torch.special.log_ndtr(edges[:, :1]), between, torch.special.log_ndtr(-edges[:, -1:])], 1)

    def _edges(self, raw: Tensor) -> Tensor:
        """Computes the distances (N, 4) from the predicted number up to the cuts, in sigmas."""
        cuts = torch.tensor(self.cut_points.cuts, dtype=torch.float64, device=raw.device)
        return (cuts - raw.double()) / self.cut_points.sigma


def _mirrored(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Mirrors intervals to the side of 0 where both Phi are small, as differences near 1 lose small probabilities."""
    above = lower + upper > 0
    return torch.where(above, -upper, lower), torch.where(above, -lower, upper)


@dataclass(frozen=True)
class MeanOutput:
    """The raw outputs of several heads side by side; the probabilities are the mean of the heads' probabilities.

    Each head is trained by its own loss. Heads that were trained by the loss of their mean depended on one another, and
    graded worse than one head (``docs/retinamnist.md``).

    Attributes:
        output: Meaning of the raw outputs of one head.
        heads: Number of heads.
    """

    output: SoftmaxOutput | OrdinalOutput
    heads: int

    @property
    def units(self) -> int:
        """Number of raw outputs of all heads."""
        return self.heads * self.output.units

    def by_head(self, raw: Tensor) -> Tensor:
        """Reshapes raw outputs (N, units) to (N · heads, units of one head), all heads of a photograph in sequence."""
        return raw.reshape(-1, self.output.units)

    def losses(self, raw: Tensor, grades: Tensor) -> Tensor:
        """Computes the loss (N,), -log of the true grade's probability, of raw outputs (N, units) and grades (N,)."""
        each = self.output.losses(self.by_head(raw), grades.repeat_interleave(self.heads)).view(-1, self.heads)
        return math.log(self.heads) - (-each).logsumexp(1)

    def probabilities(self, raw: Tensor) -> Tensor:
        """Computes probabilities (N, 5), float64, of raw outputs (N, units)."""
        return self.output.probabilities(self.by_head(raw)).view(-1, self.heads, N_GRADES).mean(1)

    def log_probabilities(self, raw: Tensor) -> Tensor:
        """Computes their logarithms (N, 5), as :meth:`SoftmaxOutput.log_probabilities`."""
        each = self.output.log_probabilities(self.by_head(raw)).view(-1, self.heads, N_GRADES)
        return each.logsumexp(1) - math.log(self.heads)


def _normal_cdf(z: Tensor) -> Tensor:
    return torch.erfc(-z / math.sqrt(2)) / 2  # torch.special.ndtr is (1 + erf) / 2, which is 0 from -9 on


Output = SoftmaxOutput | OrdinalOutput | RegressionOutput | MeanOutput

SOFTMAX: Final = SoftmaxOutput()

_OUTPUTS: Final[dict[OutputName, SoftmaxOutput | OrdinalOutput | RegressionOutput]] = {
    "softmax": SOFTMAX,
    "ordinal": OrdinalOutput(),
    "regression": RegressionOutput(),
}


def make_output(name: OutputName, heads: int = 1) -> Output:
    """Returns the output of a name in ``network.output``, for one head or for several.

    Example:
        >>> make_output("ordinal").units
        4
    """
    output = _OUTPUTS[name]
    if heads == 1:
        return output
    assert not isinstance(output, RegressionOutput)
    return MeanOutput(output, heads)


def training_loss(
    output: Output, raw: Tensor, grades: Tensor, grade_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Computes the loss of a batch: the mean of its photographs' losses, each weighted by its grade.

    The divisor is the number of photographs, not the sum of their weights as in ``torch.nn.CrossEntropyLoss``: a batch
    without rare grades then counts less, and over a whole epoch the two agree.

    Args:
        output: Meaning of the raw outputs.
        raw: Raw outputs (N, units), float.
        grades: Grades (N,), int64.
        grade_weights: Weights (5,) of the grades; ``None`` for 1.
        label_smoothing: Share of the target that is spread evenly over all grades; for :class:`SoftmaxOutput` only. It
            doesn't change a photograph's weight.

    Returns:
        A scalar.

    Raises:
        ValueError: Another output has ``label_smoothing``.
    """
    if isinstance(output, MeanOutput):
        grades = grades.repeat_interleave(output.heads)
        return training_loss(output.output, output.by_head(raw), grades, grade_weights, label_smoothing)
    if not isinstance(output, SoftmaxOutput):
        if label_smoothing:
            raise ValueError("label smoothing is for softmax only")
        losses = output.losses(raw, grades)
    elif grade_weights is None:
        # One kernel computes the mean too: the mean of separate losses differs in the last bits.
        return F.cross_entropy(raw, grades, label_smoothing=label_smoothing)
    else:
        losses = F.cross_entropy(raw, grades, reduction="none", label_smoothing=label_smoothing)
    return (losses if grade_weights is None else grade_weights[grades] * losses).mean()
