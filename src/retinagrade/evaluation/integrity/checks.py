"""Integrity: can these figures be what they claim, or are predictions and grades paired wrongly?

Every confusion matrix of the report is what predictions that were independent of the grades would give. The checks
here say so, in plain words, of anyone's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from scipy.stats import chi2, chi2_contingency, ncx2, random_table

from retinagrade.evaluation.integrity.alignment import Realignment, find_realignment
from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.integrity.leaks import check_fitted_on, check_leaks
from retinagrade.evaluation.metrics import (
    Undefined,
    accuracy,
    chance_accuracy,
    confusion_matrix,
    majority_baseline,
    quadratic_weighted_kappa,
)
from retinagrade.evaluation.predictions import LINE_COLUMN, PREDICTION_COLUMNS, find_wrong_sums, graded_predictions
from retinagrade.grades import REFERABLE
from retinagrade.manifest import Manifest
from retinagrade.messages import counted, first_few

INDEPENDENCE_ALPHA: Final = 0.01
"""p-value from which independence is not rejected: chance predictions slip through once in a hundred times."""
NEGLIGIBLE_ASSOCIATION: Final = 0.05
"""Cramér's V under which an association carries no weight, however many photographs make it significant."""
USEFUL_ASSOCIATION: Final = 0.2
"""Cramér's V that a test must be able to see, with a power of :data:`MINIMUM_POWER`, before its silence means something."""
MINIMUM_POWER: Final = 0.9
MINIMUM_CASES: Final = 10
"""Referable photographs, and such that are not, below which a sensitivity or a specificity says nothing.

If all n are right, the 95 % interval of the share (E. B. Wilson, Journal of the American Statistical Association 22,
1927) still reaches down to n / (n + 1.96²): 0.72 where n is 10, so that not even a faultless result could show that a
bar such as 0.85 is reached, nor that two networks differ. That needs 22. From 10 on the intervals beside the figures
say enough; below, they are next to the whole range.
"""
_Z = 1.96
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
        power: Probability that the test sees an association of :data:`USEFUL_ASSOCIATION` size.
        method: ``chi-squared``, or ``monte-carlo`` where expected counts are small.
    """

    chi2: float
    degrees_of_freedom: int
    p_value: float
    cramers_v: float
    power: float
    method: str


def independence_test(matrix: np.ndarray) -> Independence:
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
    useful = USEFUL_ASSOCIATION**2 * total * (min(table.shape) - 1)
    power = ncx2.sf(chi2.isf(INDEPENDENCE_ALPHA, degrees), degrees, useful)
    return Independence(
        float(statistic), int(degrees), float(p_value), _cramers_v(statistic, table), float(power), method
    )


def check_predictions(
    table: pd.DataFrame,
    *,
    rows: pd.DataFrame | None = None,
    trained_on: Manifest | None = None,
    fitted_on: Mapping[str, pd.DataFrame] | None = None,
) -> list[Finding]:
    """Every check that a table of predictions allows, with whatever else is known of it.

    Args:
        table: Columns ``image_id`` (unique), ``p0`` … ``p4``, ``grade``; where known the line of each row and further
            names, as :func:`~retinagrade.evaluation.predictions.read_predictions` keeps them, for the orders that are
            tried.
        rows: The rows of its file, as :func:`~retinagrade.evaluation.predictions.read_prediction_rows` returns them.
        trained_on: The manifest, with its split, that the network was trained on.
        fitted_on: What was fitted after training, in the plural (``The thresholds``), and on which photographs, with
            ``image_id`` and, where known, ``patient_id``.

    Returns:
        Findings, the gravest first; empty when nothing is wrong, or no grade is known.
    """
    photographs = graded_predictions(table)
    if not len(photographs):
        return []
    matrix = confusion_matrix(photographs.grades, photographs.predicted)
    findings = check_confusion_matrix(matrix, float(photographs.probabilities.max(axis=1).mean()))
    if not {"one-grade", "one-prediction", "class-order"} & {finding.code for finding in findings}:
        realignment = find_realignment(table)
        findings = _say_shuffled(findings) if realignment is None else [_misaligned(realignment)]
    if trained_on is not None:
        findings += check_leaks(table, trained_on)
    for what, photographs_of_it in (fitted_on or {}).items():
        findings += check_fitted_on(table, photographs_of_it, what)
    return findings + ([] if rows is None else check_rows(rows))


def check_rows(rows: pd.DataFrame) -> list[Finding]:
    """Looks for what :func:`~retinagrade.evaluation.predictions.tidy_predictions` has to put right before there are figures.

    Args:
        rows: The rows of a file, as :func:`~retinagrade.evaluation.predictions.read_prediction_rows` returns them.

    Returns:
        Up to one finding each of probabilities that don't sum to 1 and of repeated ids.
    """
    findings = []
    off = find_wrong_sums(rows)
    if len(off):
        worst = (off - 1).abs().to_numpy().argmax()
        line = rows.loc[off.index, LINE_COLUMN].iloc[worst]
        findings.append(
            Finding(
                "sums",
                f"Probabilities that don't sum to 1: {len(off)} of {counted(len(rows), 'row')}; line {line} is "
                f"furthest off with {off.iloc[worst]:.3f}. The figures are of probabilities divided by their sum. "
                "Check what wrote them: five outputs that don't sum to 1 may mean something else than the grades' "
                "probabilities.",
            )
        )
    repeated = rows["image_id"][rows["image_id"].duplicated()].unique()
    if len(repeated):
        several = rows[rows["image_id"].isin(repeated)].drop_duplicates(list(PREDICTION_COLUMNS))
        contradicting = several["image_id"][several["image_id"].duplicated()].unique()
        message = (
            f"In the table more than once: {counted(len(repeated), 'photograph')} ({first_few(repeated)}). Each counts "
            "once here. "
        )
        if len(contradicting):
            message += (
                f"Rows that contradict each other: of {counted(len(contradicting), 'photograph')} "
                f"({first_few(contradicting)}); the first row of each is kept. "
            )
        findings.append(Finding("repeated", message + "Remove the repeated rows."))
    return findings


def check_confusion_matrix(matrix: np.ndarray, mean_confidence: float | None = None) -> list[Finding]:
    """Looks for signs that figures don't mean what they seem to, in a confusion matrix alone.

    Args:
        matrix: Counts (5, 5) by grade (row) and predicted grade (column), at least one photograph.
        mean_confidence: Mean of the predictions' largest probabilities, where known.

    Returns:
        Findings, the gravest first; empty when nothing is wrong.
    """
    return _of_pairing(matrix, mean_confidence) or _few_cases(matrix)


def _of_pairing(matrix: np.ndarray, mean_confidence: float | None) -> list[Finding]:
    grades, given = np.flatnonzero(matrix.sum(axis=1)), np.flatnonzero(matrix.sum(axis=0))
    if len(grades) == 1:
        which = (
            f"The only photograph has grade {grades[0]}"
            if matrix.sum() == 1
            else f"All photographs have grade {grades[0]}"
        )
        return [
            Finding(
                "one-grade",
                f"{which}: nothing can be said about telling grades apart. Evaluate photographs of several grades.",
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
    test = independence_test(matrix)
    if test.p_value >= INDEPENDENCE_ALPHA:
        return _like_chance(matrix, test, mean_confidence)
    if test.cramers_v < NEGLIGIBLE_ASSOCIATION:
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
        f"accuracy {accuracy(matrix):.3f} where independent predictions would have {chance_accuracy(matrix):.3f} and "
        f"the most frequent grade alone {majority_baseline(matrix):.3f}, QWK {quadratic_weighted_kappa(matrix):+.3f}, "
        f"independence p = {test.p_value:.2f}"
    )
    if test.power < MINIMUM_POWER:
        return [
            Finding(
                "few-photographs",
                f"Too few to tell the predictions from chance: {counted(matrix.sum(), 'photograph')} ({figures}). "
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


def _misaligned(found: Realignment) -> Finding:
    return Finding(
        "misaligned",
        f"Predictions {found.looks}: QWK {found.before:.2f} as paired, {found.after:.2f} {found.remedy}. They stand "
        "beside the wrong photographs. Let the program that predicts write the image_id beside each prediction, and "
        "join by it.",
    )


def _say_shuffled(findings: list[Finding]) -> list[Finding]:
    """Adds to a misalignment that no simple order explains what is left as its cause."""
    said = " No shift, reversal or order of names that was tried puts them right: they were probably shuffled."
    return [replace(one, message=one.message + said * (one.code == "misaligned")) for one in findings]


def _few_cases(matrix: np.ndarray) -> list[Finding]:
    by_grade = matrix.sum(axis=1)
    referable, other = int(by_grade[REFERABLE:].sum()), int(by_grade[:REFERABLE].sum())
    few = [
        f"{counted(count, f'{name} photograph')}: if all of them were right, the 95 % interval of the "
        f"{figure} would still reach from {100 * count / (count + _Z**2):.0f} to 100 %"
        for count, name, figure in (
            (referable, "referable", "sensitivity"),
            (other, "not referable", "specificity"),
        )
        if count < MINIMUM_CASES
    ]
    if not few:
        return []
    return [
        Finding(
            "few-cases",
            f"Too few photographs to judge by: only {'; only '.join(few)}. Evaluate at least {MINIMUM_CASES} photographs of "
            "either kind, and a hundred or more to compare networks.",
        )
    ]


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
    return float(min(1.0, np.sqrt(phi / smaller))) if smaller > 0 else 0.0  # rounding goes beyond 1
