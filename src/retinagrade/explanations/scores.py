"""Scores: the numbers whose sensitivity saliency maps show, for a grade or for referable retinopathy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import torch
from torch import Tensor

from retinagrade.grades import N_GRADES, REFERABLE, Grade
from retinagrade.models.outputs import Output, SoftmaxOutput

Target = Literal[0, 1, 2, 3, 4, "referable"]
"""Target of an explanation: a grade, or referable retinopathy."""

TARGETS: Final[tuple[Target, ...]] = (0, 1, 2, 3, 4, "referable")
"""All targets."""


def scores(output: Output, raw: Tensor, targets: Sequence[Target]) -> Tensor:
    """Computes the score of every target; a higher score means a higher confidence of the network.

    * The score of a grade with :class:`~retinagrade.models.outputs.SoftmaxOutput` is its logit, which does not depend
      on other grades.
    * The score of a grade with any other output, which has no logit per grade, is the log-odds of its probability.
      Unlike the probability, log-odds keep their slope at high confidence.
    * The score of referable retinopathy is the log-odds of p2 + p3 + p4, for every output.

    With a regression, a single number determines all probabilities. The maps of all grades above it are therefore
    alike, and so are the maps of all grades below it.

    Args:
        output: Meaning of the raw outputs.
        raw: Raw outputs (N, units), float.
        targets: T targets.

    Returns:
        Scores (N, T), float64, differentiable.

    Example:
        >>> raw = torch.tensor([[0.0, 0.0, 1.0, 1.0, 1.0]])
        >>> scores(SoftmaxOutput(), raw, [3, "referable"]).round(decimals=3).tolist()
        [[1.0, 1.405]]
    """
    logarithms = output.log_probabilities(raw)
    columns = []
    for target in targets:
        if isinstance(output, SoftmaxOutput) and target != "referable":
            columns.append(raw[:, target].double())
            continue
        inside = [grade for grade in range(N_GRADES) if _belongs(grade, target)]
        outside = [grade for grade in range(N_GRADES) if grade not in inside]
        columns.append(logarithms[:, inside].logsumexp(1) - logarithms[:, outside].logsumexp(1))
    return torch.stack(columns, dim=1)


def target_name(target: Target) -> str:
    """Returns the name of a target.

    Example:
        >>> target_name(2), target_name("referable")
        ('2 moderate', 'referable')
    """
    return target if target == "referable" else f"{target} {Grade(target).label}"


def _belongs(grade: int, target: Target) -> bool:
    return grade >= REFERABLE if target == "referable" else grade == target
