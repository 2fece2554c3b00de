"""Integrity: can these figures be what they claim, or are predictions and grades paired wrongly?

Every confusion matrix of the report is what predictions that were independent of the grades would give. The checks
here say so, in plain words, of anyone's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import chi2, chi2_contingency, ncx2, random_table

from retinagrade.evaluation.metrics import Undefined, accuracy, chance_accuracy, quadratic_weighted_kappa

ALPHA: Final = 0.01
"""p-value from which independence is not rejected: chance predictions slip through once in a hundred times."""
HARDLY_ANY: Final = 0.05
"""Cramér's V under which an association carries no weight, however many photographs make it significant."""
USEFUL: Final = 0.2
"""Cramér's V that a test must be able to see, with a power of :data:`POWER`, before its silence means something."""
POWER: Final = 0.9
_SMALLEST_EXPECTED = 5
_TABLES = 9_999
_VARIED = 0.8
_ORDER_GAIN = 0.3
_ORDERS: Final = {
    "worst to best": (4, 3, 2, 1, 0),
    "the alphabet (Mild, Moderate, No_DR, Proliferate_DR, Severe)": (1, 2, 0, 4, 3),
}


@dataclass(frozen=True)
class Independence:
    """A test of the hypothesis that predicted grades have nothing to do with grades.

    Attributes:
        chi2: Pearson's statistic.
        degrees_of_freedom: Of the table without empty rows and columns.
        p_value: Probability of such a table, or a less likely one, where the hypothesis holds.
        cramers_v: Effect size, 0 none to 1, corrected for bias.
        power: Probability that the test sees an association of :data:`USEFUL` size.
        method: ``chi-squared``, or ``monte-carlo`` where expected counts are small.
    """

    chi2: float
    degrees_of_freedom: int
    p_value: float
    cramers_v: float
    power: float
    method: str


@dataclass(frozen=True)
class Finding:
    """Something that a person must look at before believing the figures.

    Attributes:
        code: A short name for programs.
        message: What is wrong and what to do, in plain words.
    """

    code: str
    message: str


def independence(matrix: np.ndarray) -> Independence:
    """Tests whether predicted grades are independent of grades.

    The distribution is χ² where all expected counts are at least 5, and otherwise drawn, with a fixed seed, from the
    tables with the same margins.

    Sources: K. Pearson, 1900; effect size: W. Bergsma, "A bias-correction for Cramér's V and Tschuprow's T", Journal
    of the Korean Statistical Society 42(3), 2013.

    Args:
        matrix: Counts (5, 5) by grade (row) and predicted grade (column).

    Raises:
        Undefined: All photographs have one grade, or all were given one.
    """
    table = matrix[matrix.sum(axis=1) > 0][:, matrix.sum(axis=0) > 0]
    if min(table.shape, default=0) < 2:
        raise Undefined("all photographs have one grade, or all were given one")
    statistic, p_value, degrees, expected = chi2_contingency(table, correction=False)
    method = "chi-squared"
    if expected.min() < _SMALLEST_EXPECTED:
        method = "monte-carlo"
        drawn = random_table(table.sum(axis=1), table.sum(axis=0)).rvs(_TABLES, random_state=np.random.default_rng(0))
        statistics = ((drawn - expected) ** 2 / expected).sum(axis=(1, 2))
        p_value = (1 + np.sum(statistics >= statistic - 1e-9)) / (1 + _TABLES)
    total = int(table.sum())
    useful = USEFUL**2 * total * (min(table.shape) - 1)
    power = ncx2.sf(chi2.isf(ALPHA, degrees), degrees, useful)
    return Independence(
        float(statistic), int(degrees), float(p_value), _cramers_v(statistic, table), float(power), method
    )


def check(matrix: np.ndarray, mean_confidence: float | None = None) -> list[Finding]:
    """Looks for signs that figures don't mean what they seem to.

    Args:
        matrix: Counts (5, 5) by grade (row) and predicted grade (column), at least one photograph.
        mean_confidence: Mean of the predictions' largest probabilities, where known.

    Returns:
        Findings, the gravest first; empty when nothing is wrong.
    """
    grades, given = np.flatnonzero(matrix.sum(axis=1)), np.flatnonzero(matrix.sum(axis=0))
    if len(grades) == 1:
        return [
            Finding(
                "one-grade",
                f"All photographs have grade {grades[0]}: nothing can be said about telling grades apart. Evaluate "
                "photographs of several grades.",
            )
        ]
    if len(given) == 1:
        return [
            Finding(
                "one-prediction",
                f"Every photograph was given grade {given[0]}: the predictions carry no information about the "
                f"grades, and the accuracy is only the share of grade {given[0]}.",
            )
        ]
    test = independence(matrix)
    if test.p_value >= ALPHA:
        return _like_chance(matrix, test, mean_confidence)
    if test.cramers_v < HARDLY_ANY:
        return [
            Finding(
                "no-information",
                f"The predictions carry hardly any information about the grades (Cramér's V {test.cramers_v:.3f}; "
                f"significant, p = {test.p_value:.2g}, only because there are {matrix.sum()} photographs). Check that "
                "predictions and grades are joined by image_id.",
            )
        ]
    return _wrong_order(matrix)


def _like_chance(matrix: np.ndarray, test: Independence, mean_confidence: float | None) -> list[Finding]:
    figures = (
        f"accuracy {accuracy(matrix):.3f} where independent predictions would have {chance_accuracy(matrix):.3f}, "
        f"QWK {quadratic_weighted_kappa(matrix):+.3f}, independence p = {test.p_value:.2f}"
    )
    if test.power < POWER:
        return [
            Finding(
                "few-photographs",
                f"These {matrix.sum()} photographs are too few to tell the predictions from chance ({figures}). "
                "Evaluate more photographs.",
            )
        ]
    findings = [
        Finding(
            "no-information",
            f"The predictions carry no information about the grades: {figures}.",
        )
    ]
    if matrix.sum(axis=0).max() / matrix.sum() < _VARIED or (mean_confidence or 0) > accuracy(matrix) + 0.1:
        sure = "" if mean_confidence is None else f" and is sure of {mean_confidence:.0%} on average"
        findings.append(
            Finding(
                "misaligned",
                f"Predictions and grades look misaligned: a trained network that tells photographs apart{sure} can "
                "hardly be independent of the grades by weakness alone. Probably the two were read in different "
                "orders (a shuffled data set read twice, or `shuffle=True` beside `.classes`). Join them by image_id.",
            )
        )
    return findings


def _wrong_order(matrix: np.ndarray) -> list[Finding]:
    kappa = quadratic_weighted_kappa(matrix)
    for name, order in _ORDERS.items():
        renamed = np.zeros_like(matrix)
        renamed[:, list(order)] = matrix
        other = max(quadratic_weighted_kappa(renamed), quadratic_weighted_kappa(matrix[:, list(order)]))
        if other > kappa + _ORDER_GAIN:
            return [
                Finding(
                    "class-order",
                    f"The classes look numbered in another order: QWK is {kappa:.2f} as it stands, and {other:.2f} if "
                    f"one side counts from {name}. Grades are 0 none, 1 mild, 2 moderate, 3 severe, 4 proliferative.",
                )
            ]
    if kappa < 0:
        return [
            Finding(
                "worse-than-chance",
                f"The predictions depend on the grades, but the wrong way round (QWK {kappa:+.2f}). Check which index "
                "is which grade.",
            )
        ]
    return []


def _cramers_v(statistic: float, table: np.ndarray) -> float:
    total, (rows, columns) = table.sum(), table.shape
    if total <= 1:
        return 0.0
    phi = max(0.0, statistic / total - (rows - 1) * (columns - 1) / (total - 1))
    smaller = min(rows - (rows - 1) ** 2 / (total - 1), columns - (columns - 1) ** 2 / (total - 1)) - 1
    return float(np.sqrt(phi / smaller)) if smaller > 0 else 0.0
