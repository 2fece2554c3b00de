"""Scores: the one number of a network's outputs that is explained, for a grade or for referable retinopathy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import torch
from torch import Tensor

from retinagrade.grades import N_GRADES, REFERABLE, Grade
from retinagrade.models.outputs import Output, SoftmaxOutput

Target = Literal[0, 1, 2, 3, 4, "referable"]
"""What is asked: why this grade, or why referable."""

TARGETS: Final[tuple[Target, ...]] = (0, 1, 2, 3, 4, "referable")
"""All that can be asked."""


def scores(output: Output, raw: Tensor, targets: Sequence[Target]) -> Tensor:
    """The score of every target: higher where the network is surer of it.

    * Of a grade by :class:`Softmax`: its logit, which other grades don't change.
    * Of a grade by any other output, which has no logit for each: the log-odds of its probability. Unlike the
      probability itself, they keep their slope where the network is sure.
    * Of referable: the log-odds of p2 + p3 + p4, for every output.

    Of a regression one number makes all probabilities, so all that can be asked is what makes it larger or smaller:
    maps of grades above it are alike, and so are those of grades below.

    Args:
        output: What raw outputs mean.
        raw: Raw outputs (N, units), float.
        targets: T targets.

    Returns:
        Scores (N, T), float64, differentiable.

    Example:
        >>> scores(Softmax(), torch.tensor([[0.0, 0.0, 1.0, 1.0, 1.0]]), [3, "referable"]).round(decimals=3).tolist()
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
    """A target in words.

    Example:
        >>> target_name(2), target_name("referable")
        ('2 moderate', 'referable')
    """
    return target if target == "referable" else f"{target} {Grade(target).label}"


def _belongs(grade: int, target: Target) -> bool:
    return grade >= REFERABLE if target == "referable" else grade == target
