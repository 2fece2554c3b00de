"""Relabellings: do predictions and grades agree if one of the two numbers the classes in another way?"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom, random_table

from retinagrade.evaluation.integrity.findings import MISALIGNED_ALPHA, Finding
from retinagrade.evaluation.metrics import quadratic_weighted_kappa, unweighted_kappa
from retinagrade.grades import N_GRADES
from retinagrade.messages import counted

_FACTOR: Final = 2
"""Agreement under another numbering, as a multiple of the present one, from which the present one counts as wrong."""
_OTHER_FACTOR: Final = 1.25
"""The same for the other of two measures of agreement. QWK and unweighted kappa vary alike by chance, and numberings
keep a part of each: severe and proliferative stay neighbours, for example."""
_DRAWS: Final = 9_999
_BEYOND: Final = 0.05
"""Share of photographs whose shifted class may lie outside the scale."""
_NUMBERINGS: Final = {
    "from worst to best": (4, 3, 2, 1, 0),
    "in alphabetical order (Mild, Moderate, No_DR, Proliferate_DR, Severe)": (1, 2, 0, 4, 3),
}
"""Grade that each class stands for."""
_PAIRS: Final = tuple(combinations(range(N_GRADES), 2))
_SCALE: Final = "Grades are 0 none, 1 mild, 2 moderate, 3 severe, 4 proliferative."


def check_class_order(matrix: NDArray[Any], inflation: float = 1.0) -> list[Finding]:
    """Looks for a simple numbering of the classes that explains a disagreement.

    The numberings are: shifted by one, from worst to best, and alphabetical, where one explains at least twice as much
    agreement beyond chance by Cohen's unweighted kappa or by QWK, and clearly more by the other of the two, and random
    tables with the same margins reach the best QWK of them with a probability below 0.001; and any exchange of two
    columns, where at least twice as many photographs of the two grades agree, and Fisher's exact test, times the number
    of pairs, is below 0.001. An honest network that prefers one of two grades passes this test, because it compares
    each grade with the other one.

    Args:
        matrix: Counts (5, 5) by grade (row) and predicted grade (column), of at least two grades and predicted grades.
        inflation: Variance of a correlation, as a multiple of that of independent photographs.

    Returns:
        One finding, or none.
    """
    return (
        _check_numberings(matrix, inflation)
        or _check_exchange(matrix, inflation)
        or _check_direction(matrix, inflation)
    )


def _check_numberings(matrix: NDArray[Any], inflation: float) -> list[Finding]:
    others = _renumbered(matrix)
    before, kappa = unweighted_kappa(matrix), quadratic_weighted_kappa(matrix)
    better = {
        name: other
        for name, other in others.items()
        if _hits(other) > _hits(matrix)
        and _explains_more((unweighted_kappa(other), quadratic_weighted_kappa(other)), (max(before, 0), max(kappa, 0)))
    }
    if not better:
        return []
    drawn = _drawn(matrix)
    kappas = {name: quadratic_weighted_kappa.stacked(each) for name, each in _renumbered(drawn).items()}
    best_drawn = np.max([_in_deviations(each, each) for each in kappas.values()], axis=0)
    scores = {name: _in_deviations(kappas[name], quadratic_weighted_kappa(better[name])) for name in better}
    for name in sorted(scores, key=lambda one: -scores[one]):
        p_value = _share_as_good(best_drawn, scores[name] / np.sqrt(inflation))
        if p_value < MISALIGNED_ALPHA:
            return [_numbering_finding(name, matrix, others[name], p_value)]
    return []


def _explains_more(agreements: tuple[float, float], before: tuple[float, float]) -> bool:
    """Whether one of two agreements is at least twice as high as before, and the other one clearly higher."""
    return any(
        agreements[one] >= _FACTOR * before[one] and agreements[other] > _OTHER_FACTOR * before[other]
        for one, other in ((0, 1), (1, 0))
    )


def _check_direction(matrix: NDArray[Any], inflation: float) -> list[Finding]:
    kappa = quadratic_weighted_kappa(matrix)
    if kappa >= 0:
        return []
    p_value = _share_as_good(-quadratic_weighted_kappa.stacked(_drawn(matrix)), -kappa / np.sqrt(inflation))
    if p_value >= MISALIGNED_ALPHA:
        return []
    return [
        Finding(
            "worse-than-chance",
            f"The predictions depend on the grades, but in the wrong direction (QWK {kappa:+.2f}, p = {p_value:.1g}). "
            "Check which index stands for which grade.",
        )
    ]


def _renumbered(matrix: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Returns matrices (…, 5, 5) as they were if one of the two counted in another way, by the other way."""
    others = {}
    for step, name in ((1, "one higher"), (-1, "one lower")):
        shifted = np.zeros_like(matrix)
        kept = slice(max(0, step), N_GRADES + min(0, step))
        shifted[..., :, kept] = matrix[..., :, slice(max(0, -step), N_GRADES - max(0, step))]
        outside = N_GRADES - 1 if step > 0 else 0
        shifted[..., :, outside] += matrix[..., :, outside]
        total = matrix.sum()
        impossible = matrix[..., 0 if step > 0 else N_GRADES - 1, :].sum() + matrix[..., :, outside].sum()
        if impossible <= _BEYOND * total:
            others[name] = shifted
    for name, grades in _NUMBERINGS.items():
        renumbered = np.zeros_like(matrix)
        renumbered[..., :, list(grades)] = matrix
        others[f"{name}, predictions"] = renumbered
        if not np.array_equal(np.argsort(grades), grades):
            others[f"{name}, grades"] = matrix[..., :, list(grades)]
    return others


def _numbering_finding(name: str, matrix: NDArray[Any], other: NDArray[Any], p_value: float) -> Finding:
    before, after = quadratic_weighted_kappa(matrix), quadratic_weighted_kappa(other)
    if name.startswith("one "):
        return Finding(
            "class-order",
            f"Grades look shifted by one: the grade is {name} than the predicted grade for {_hits(other)} of "
            f"{counted(int(matrix.sum()), 'photograph')}, and equal for {_hits(matrix)} (p = {p_value:.1g}). QWK is "
            f"{before:.2f}, and {after:.2f} without the shift. One of the two probably counts from 1. {_SCALE}",
        )
    return Finding(
        "class-order",
        f"Predictions and grades seem to number the classes differently: QWK is {before:.2f}, and {after:.2f} if one "
        f"of the two counts {name.rpartition(', ')[0]} (p = {p_value:.1g}). {_SCALE}",
    )


def _check_exchange(matrix: NDArray[Any], inflation: float) -> list[Finding]:
    best, best_p = (0, 0), 1.0
    for one, other in _PAIRS:
        part = matrix[np.ix_((one, other), (one, other))]
        agree, equal = part[0, 1] + part[1, 0], part[0, 0] + part[1, 1]
        if agree >= _FACTOR * equal and agree > 0:
            # The exact distribution of how many photographs agree as they are, if the two grades look the same.
            counts = np.rint(part / inflation).astype(int)
            p_value = hypergeom.cdf(counts[0, 0], counts.sum(), counts[0].sum(), counts[:, 0].sum()) * len(_PAIRS)
            if p_value < best_p:
                best, best_p = (one, other), float(p_value)
    if best_p >= MISALIGNED_ALPHA:
        return []
    one, other = best
    columns = list(range(N_GRADES))
    columns[one], columns[other] = other, one
    agree = matrix[one, other] + matrix[other, one]
    equal = matrix[one, one] + matrix[other, other]
    before, after = quadratic_weighted_kappa(matrix), quadratic_weighted_kappa(matrix[:, columns])
    return [
        Finding(
            "class-order",
            f"The columns p{one} and p{other} look swapped: for {agree} photographs of these grades, the predicted "
            f"grade agrees if the columns are exchanged, and for {equal} as they are (p = {best_p:.1g}). QWK is "
            f"{before:.2f}, and {after:.2f} after the exchange. {_SCALE}",
        )
    ]


def _drawn(matrix: NDArray[Any]) -> NDArray[Any]:
    """Returns random tables with the margins of a matrix, always the same ones."""
    margins = random_table(matrix.sum(axis=1), matrix.sum(axis=0))
    return np.asarray(margins.rvs(_DRAWS, random_state=np.random.default_rng(0)))


def _hits(matrix: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.trace(matrix, axis1=-2, axis2=-1))


def _in_deviations(drawn: NDArray[np.float64], values: Any) -> Any:
    """Returns values in standard deviations from the mean of drawn ones; zeros where these are all equal."""
    return (values - drawn.mean()) / max(float(drawn.std()), np.finfo(float).tiny)


def _share_as_good(drawn: NDArray[np.float64], value: float) -> float:
    return float((1 + (drawn >= value - 1e-9).sum()) / (1 + len(drawn)))
