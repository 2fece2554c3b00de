"""Relabellings: do predictions and grades agree if one of the two numbers the classes in another way?"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import binom

from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.metrics import quadratic_weighted_kappa
from retinagrade.grades import N_GRADES
from retinagrade.messages import counted

RELABELLING_ALPHA: Final = 0.01
"""Probability that photographs which are as likely under either numbering look relabelled, over all numberings."""
_NUMBERINGS: Final = 120
_BEYOND: Final = 0.05
"""Share of photographs whose shifted class may lie outside the scale."""
_ORDER_GAIN: Final = 0.3
_ORDERS: Final = {
    "from worst to best": (4, 3, 2, 1, 0),
    "in alphabetical order (Mild, Moderate, No_DR, Proliferate_DR, Severe)": (1, 2, 0, 4, 3),
}
_SCALE: Final = "Grades are 0 none, 1 mild, 2 moderate, 3 severe, 4 proliferative."


def check_class_order(matrix: NDArray[Any]) -> list[Finding]:
    """Looks for a simple numbering of the classes that explains a disagreement.

    The numberings are: shifted by one, from worst to best, alphabetical, and any exchange of classes under which more
    photographs of each exchanged grade agree.

    Args:
        matrix: Counts (5, 5) by grade (row) and predicted grade (column), which depend on each other.

    Returns:
        One finding, or none.
    """
    return _check_shift(matrix) or _check_orders(matrix) or _check_exchange(matrix) or _check_direction(matrix)


def _check_shift(matrix: NDArray[Any]) -> list[Finding]:
    total, equal = int(matrix.sum()), int(np.trace(matrix))
    for step, name in ((1, "higher"), (-1, "lower")):
        shifted = np.zeros_like(matrix)  # as if every predicted grade were one step higher or lower
        kept = slice(max(0, step), N_GRADES + min(0, step))
        shifted[:, kept] = matrix[:, slice(max(0, -step), N_GRADES - max(0, step))]
        lost = total - int(shifted.sum()) + int(matrix[0 if step > 0 else N_GRADES - 1].sum())
        grades = [grade for grade in range(N_GRADES)[kept] if matrix[grade].any()]
        agree = int(np.trace(shifted))
        if (
            lost <= _BEYOND * total
            and all(shifted[grade, grade] > matrix[grade, grade] for grade in grades)
            and _explains(agree, equal)
        ):
            return [
                Finding(
                    "class-order",
                    f"Grades look shifted by one: the grade is one {name} than the predicted grade for {agree} of "
                    f"{counted(total, 'photograph')}, and equal for {equal}. QWK is "
                    f"{quadratic_weighted_kappa(matrix):.2f}, and {quadratic_weighted_kappa(shifted):.2f} without the "
                    f"shift. One of the two probably counts from 1. {_SCALE}",
                )
            ]
    return []


def _check_orders(matrix: NDArray[Any]) -> list[Finding]:
    kappa = quadratic_weighted_kappa(matrix)
    for name, order in _ORDERS.items():
        renumbered = np.zeros_like(matrix)
        renumbered[:, list(order)] = matrix
        best = max(quadratic_weighted_kappa(renumbered), quadratic_weighted_kappa(matrix[:, list(order)]))
        if best > kappa + _ORDER_GAIN:
            return [
                Finding(
                    "class-order",
                    f"Predictions and grades seem to number the classes differently: QWK is {kappa:.2f}, and "
                    f"{best:.2f} if one of the two counts {name}. {_SCALE}",
                )
            ]
    return []


def _check_exchange(matrix: NDArray[Any]) -> list[Finding]:
    _, columns = linear_sum_assignment(matrix, maximize=True)
    moved = [grade for grade in range(N_GRADES) if columns[grade] != grade]
    agree, equal = (int(sum(matrix[grade, column[grade]] for grade in moved)) for column in (columns, range(N_GRADES)))
    if (
        not moved
        or any(matrix[grade, columns[grade]] <= matrix[grade, grade] for grade in moved)
        or not _explains(agree, equal)
    ):
        return []
    names = f"p{moved[0]} and p{moved[1]} look swapped" if len(moved) == 2 else f"{_listed(moved)} look exchanged"
    as_grade = ", ".join(f"p{columns[grade]} of grade {grade}" for grade in moved)
    before, after = quadratic_weighted_kappa(matrix), quadratic_weighted_kappa(matrix[:, columns])
    return [
        Finding(
            "class-order",
            f"The columns {names}: for {agree} photographs of these grades, the predicted grade agrees if the columns "
            f"are exchanged ({as_grade}), and for {equal} as they are. QWK is {before:.2f}, and {after:.2f} after the "
            f"exchange. {_SCALE}",
        )
    ]


def _check_direction(matrix: NDArray[Any]) -> list[Finding]:
    kappa = quadratic_weighted_kappa(matrix)
    if kappa >= 0:
        return []
    return [
        Finding(
            "worse-than-chance",
            f"The predictions depend on the grades, but in the wrong direction (QWK {kappa:+.2f}). Check which index "
            "stands for which grade.",
        )
    ]


def _explains(agree: int, equal: int) -> bool:
    """Whether twice as many photographs agree under another numbering, and chance can't explain it (sign test)."""
    return agree >= 2 * equal and bool(_NUMBERINGS * binom.sf(agree - 1, agree + equal, 0.5) < RELABELLING_ALPHA)


def _listed(grades: list[int]) -> str:
    return ", ".join(f"p{grade}" for grade in grades[:-1]) + f" and p{grades[-1]}"
