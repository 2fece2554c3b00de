"""Integrity checks: can the metrics be trusted, or are predictions paired with the wrong grades?

Every confusion matrix of the report (``docs/report``) looks like that of predictions that are independent of the
grades. These checks report this problem, and others, in plain words. Each test has a known false-alarm rate
(:mod:`~retinagrade.evaluation.integrity.findings`); ``benchmarks/integrity.py`` measures it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade.evaluation.integrity.alignment import Realignment, find_realignment
from retinagrade.evaluation.integrity.batches import ShuffledBatches, find_shuffled_batches
from retinagrade.evaluation.integrity.chance_draws import neighbour_inflation
from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.integrity.independence import (
    INDEPENDENCE_ALPHA,
    USEFUL_ASSOCIATION,
    Independence,
    independence_test,
    photographs_that_tell,
)
from retinagrade.evaluation.integrity.leaks import check_fitted_on, check_leaks, check_seen_before
from retinagrade.evaluation.integrity.ranking_test import USEFUL_AUC, RankingTest, ranking_tests
from retinagrade.evaluation.integrity.relabelling import check_class_order
from retinagrade.evaluation.metrics import (
    accuracy,
    chance_accuracy,
    confusion_matrix,
    majority_baseline,
    quadratic_weighted_kappa,
)
from retinagrade.evaluation.predictions import (
    LINE_COLUMN,
    NO_GRADE_COLUMN,
    PREDICTION_COLUMNS,
    GradedPredictions,
    find_ungraded,
    find_wrong_sums,
    graded_predictions,
)
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS, REFERABLE
from retinagrade.manifest import Manifest
from retinagrade.messages import counted, first_few

NEGLIGIBLE_ASSOCIATION: Final = 0.05
"""Cramér's V below which an association is negligible, even if many photographs make it significant."""
_WEAK: Final = "The network is weak, or its grades need other thresholds (`retinagrade calibrate`)."
MINIMUM_CASES: Final = 10
"""Smallest number of referable photographs, and of non-referable photographs, for a sensitivity and a specificity.

If all n are right, the 95 % interval of the share (E. B. Wilson, Journal of the American Statistical Association 22,
1927) still reaches down to n / (n + 1.96²): 0.72 for n = 10. Even a faultless result could then show neither that a bar
such as 0.85 is reached (for this, n must be 22) nor that two networks differ. From 10 on, the intervals beside the
metrics are informative enough; below 10, they are nearly the whole range.
"""
_Z: Final = 1.96


def check_predictions(
    table: pd.DataFrame,
    *,
    rows: pd.DataFrame | None = None,
    predicted: Manifest | None = None,
    trained_on: Manifest | None = None,
    fitted_on: Mapping[str, pd.DataFrame] | None = None,
) -> list[Finding]:
    """Runs every check that a table of predictions and the optional information allow.

    Args:
        table: Columns ``image_id`` (unique), ``p0`` … ``p4``, ``grade``; where known the line of each row and further
            columns of text, as :func:`~retinagrade.evaluation.predictions.read_predictions` keeps them, for the search
            of a better order.
        rows: The rows of its file, from :func:`~retinagrade.evaluation.predictions.read_prediction_rows`.
        predicted: The prepared set of the photographs, where it is known.
        trained_on: The manifest that the network was trained on, with its split.
        fitted_on: Photographs that parts were fitted on after the training (``image_id`` and, where known,
            ``patient_id``), by the names of the parts in the plural, such as ``The thresholds``.

    Returns:
        Findings, the gravest first; empty if the checks find nothing, or no photograph has a grade.
    """
    predictions = graded_predictions(table)
    if not len(predictions):
        return []
    findings = _check_table(table, predictions)
    if trained_on is not None:
        findings += check_leaks(table, trained_on, predicted)
    for fitted, photographs in (fitted_on or {}).items():
        findings += check_fitted_on(table, photographs, fitted)
    if rows is not None:
        findings += check_seen_before(rows[rows["image_id"].isin(predictions.image_ids)]) + check_rows(rows)
    return findings


def _check_table(table: pd.DataFrame, predictions: GradedPredictions) -> list[Finding]:
    """Looks for misaligned predictions, then for those that can't be told from chance."""
    matrix = confusion_matrix(predictions.grades, predictions.predicted)
    findings = _check_information(matrix, predictions, _neighbours(table)) or _check_case_counts(matrix)
    if {"one-grade", "one-prediction", "class-order"} & {finding.code for finding in findings}:
        return findings
    if (realignment := find_realignment(table)) is not None:
        return [_misaligned(realignment)]
    if (batches := find_shuffled_batches(table)) is not None:
        return [_shuffled(batches)]
    return findings


def _neighbours(table: pd.DataFrame) -> float:
    """Returns how much photographs that stand side by side inflate the variance of a correlation."""
    expected = table[list(PROBABILITY_COLUMNS)].to_numpy(dtype=float) @ np.arange(N_GRADES)
    grades = table["grade"].to_numpy(dtype=float, na_value=np.nan)
    columns = [column for column in ("image_id", LINE_COLUMN) if column in table]
    orders = [np.argsort(table[column].to_numpy(), kind="stable") for column in columns]
    return max(neighbour_inflation(grades[order], np.asarray(expected[order], dtype=float)) for order in orders)


def _check_graders(rows: pd.DataFrame) -> list[Finding]:
    """Looks for rows of ``retinagrade grade`` that don't describe one grader with its gate."""
    findings = []
    graders = rows["grader_digest"].dropna().nunique() if "grader_digest" in rows else 0
    if graders > 1:
        findings.append(
            Finding(
                "several-graders",
                f"The rows come from {graders} grader files or settings of the gate, see the column grader_digest. The "
                "metrics mix them: evaluate each of them for itself.",
            )
        )
    unchecked = int((rows["quality_level"] == "unchecked").sum()) if "quality_level" in rows else 0
    if unchecked:
        findings.append(
            Finding(
                "gate-off",
                f"{unchecked} of {counted(len(rows), 'photograph')} were graded with the gate off. The metrics count "
                "photographs that the gate would refuse as well: grade them with the gate that will be used.",
            )
        )
    return findings


def check_rows(rows: pd.DataFrame) -> list[Finding]:
    """Looks for rows that :func:`~retinagrade.evaluation.predictions.tidy_predictions` has to correct.

    Args:
        rows: The rows of a file, from :func:`~retinagrade.evaluation.predictions.read_prediction_rows`.

    Returns:
        At most one finding each on photographs without a grade of ``retinagrade grade``, on results of several graders,
        on results with the gate off, on probabilities that don't sum to 1, and on repeated ids.
    """
    findings = _check_graders(rows)
    ungraded = find_ungraded(rows)
    if len(ungraded):
        names = [
            f"{name} ({reason})" for name, reason in zip(ungraded["image_id"], ungraded[NO_GRADE_COLUMN], strict=True)
        ]
        findings.append(
            Finding(
                "without-grade",
                f"The table has no grade for {len(ungraded)} of {counted(len(rows), 'photograph')}: "
                f"{first_few(names)}. The metrics of grades leave them out; those of decisions count them, where they "
                "have a label. A person should grade them.",
            )
        )
    off = find_wrong_sums(rows)
    if len(off):
        worst = (off - 1).abs().to_numpy().argmax()
        line = rows.loc[off.index, LINE_COLUMN].iloc[worst]
        findings.append(
            Finding(
                "sums",
                f"The probabilities don't sum to 1 in {len(off)} of {counted(len(rows), 'row')}; line {line} is "
                f"furthest off with {off.iloc[worst]:.3f}. The metrics use the probabilities divided by their sum. "
                "Check the program that wrote them: five outputs that don't sum to 1 may not be the probabilities of "
                "the grades.",
            )
        )
    repeated = rows["image_id"][rows["image_id"].duplicated()].unique()
    if len(repeated):
        several = rows[rows["image_id"].isin(repeated)].drop_duplicates(list(PREDICTION_COLUMNS))
        contradicting = several["image_id"][several["image_id"].duplicated()].unique()
        message = (
            f"The table has several rows for {counted(len(repeated), 'photograph')} ({first_few(repeated)}). Each "
            "photograph counts once here. "
        )
        if len(contradicting):
            message += (
                f"The rows contradict each other for {counted(len(contradicting), 'photograph')} "
                f"({first_few(contradicting)}); the metrics use the first row. "
            )
        findings.append(Finding("repeated", message + "Remove the repeated rows."))
    return findings


def check_confusion_matrix(matrix: NDArray[Any]) -> list[Finding]:
    """Looks for signs in a confusion matrix that its metrics are misleading.

    Args:
        matrix: Counts (5, 5) by grade (row) and predicted grade (column), at least one photograph.

    Returns:
        Findings, the gravest first; empty if the checks find nothing.
    """
    return _check_information(matrix) or _check_case_counts(matrix)


def _check_information(
    matrix: NDArray[Any], predictions: GradedPredictions | None = None, inflation: float = 1.0
) -> list[Finding]:
    """Looks for signs that predictions can't be told from chance, or number the classes in another way."""
    rankings = [] if predictions is None else ranking_tests(predictions.grades, predictions.probabilities, inflation)
    grades, predicted = np.flatnonzero(matrix.sum(axis=1)), np.flatnonzero(matrix.sum(axis=0))
    if len(grades) == 1:
        subject = "The only photograph has" if matrix.sum() == 1 else "All photographs have"
        return [
            Finding(
                "one-grade",
                f"{subject} grade {grades[0]}, so the metrics can't show whether the network tells grades apart. "
                "Evaluate photographs of several grades.",
            )
        ]
    if len(predicted) == 1:
        return [
            Finding(
                "one-prediction",
                f"Every photograph has the predicted grade {predicted[0]}: the predicted grades carry no information, "
                f"and the accuracy is only the share of grade {predicted[0]}.{_auc_says(rankings)}",
            )
        ]
    if renumbered := check_class_order(matrix, inflation):
        return renumbered
    test = independence_test(matrix)
    if test.p_value >= INDEPENDENCE_ALPHA:
        return [_like_chance(matrix, test, rankings)]
    ranked = any(one.tells for one in rankings)
    if test.cramers_v < NEGLIGIBLE_ASSOCIATION:
        return [
            Finding(
                "weak-grades" if ranked else "no-information",
                f"The predicted grades carry hardly any information about the grades (Cramér's V "
                f"{test.cramers_v:.3f}; p = {test.p_value:.2g} is significant only because there are {matrix.sum()} "
                f"photographs).{_auc_says(rankings)} "
                f"{_WEAK if ranked else 'Check that predictions and grades are joined by image_id.'}",
            )
        ]
    return []


def _like_chance(matrix: NDArray[Any], test: Independence, rankings: list[RankingTest]) -> Finding:
    values = (
        f"accuracy {accuracy(matrix):.3f}, where independent predictions would have {chance_accuracy(matrix):.3f} and "
        f"the most frequent grade alone {majority_baseline(matrix):.3f}; QWK {quadratic_weighted_kappa(matrix):+.3f}; "
        f"test of independence p = {test.p_value:.2f}"
    )
    count, needed = int(matrix.sum()), photographs_that_tell(matrix)
    if rankings:
        needed = min(needed, *(one.photographs for one in rankings))
    few = count < needed
    remedy = (
        f"About {needed} photographs would tell a useful network (Cramér's V {USEFUL_ASSOCIATION} or AUC {USEFUL_AUC}) "
        "from chance in 99 of 100 tables."
    )
    if any(one.tells for one in rankings):
        code, cause = "weak-grades", _WEAK
    elif few:
        code, cause = "few-photographs", "Evaluate more photographs."
    else:
        code, cause = (
            "no-information",
            "A network that knows nothing looks like this, and so does a good one whose predictions stand beside the "
            "wrong photographs (a shuffled data set that was read twice, or `shuffle=True` beside `.classes`). "
            f"{'No shift, reversal or order of names corrects them. ' * bool(rankings)}Make sure that predictions and "
            "grades are joined by image_id.",
        )
    return Finding(
        code,
        f"The predicted grades of {counted(count, 'photograph')} look independent of the grades ({values})."
        f"{_auc_says(rankings)} {remedy} {cause}",
    )


def _auc_says(rankings: list[RankingTest]) -> str:
    """Returns a sentence on the clearest AUC: whether the probabilities carry the information that grades lack."""
    if not rankings:
        return ""
    best = rankings[0]
    auc = f"{best.disease} AUC {best.auc:.2f}, p = {best.p_value:.2g}"
    if best.tells:
        return f" The probabilities say otherwise: they rank photographs ({auc})."
    return f" The probabilities don't say otherwise ({auc})."


def _misaligned(realignment: Realignment) -> Finding:
    return Finding(
        "misaligned",
        f"Predictions {realignment.appearance}: QWK is {realignment.before:.2f} as paired, and {realignment.after:.2f} "
        f"{realignment.remedy}. Chance makes the best of all {realignment.tried} orders as good with p = "
        f"{realignment.p_value:.1g}. They stand beside the wrong photographs. Let the program that predicts write the "
        "image_id beside each prediction, and join by it.",
    )


def _shuffled(batches: ShuffledBatches) -> Finding:
    return Finding(
        "misaligned",
        f"Predictions look shuffled within batches of {batches.size}, in {batches.order}: they fit the batches as "
        f"well as predictions do that correlate with their grades by {batches.right:.2f}, but correlate by "
        f"{batches.within:.2f}. "
        f"Chance makes the best of all {batches.tried} sizes and orders as good with p = {batches.p_value:.1g}. They "
        "stand beside the wrong photographs. Let the program that predicts write the image_id beside each prediction, "
        "and join by it.",
    )


def _check_case_counts(matrix: NDArray[Any]) -> list[Finding]:
    by_grade = matrix.sum(axis=1)
    referable, other = int(by_grade[REFERABLE:].sum()), int(by_grade[:REFERABLE].sum())
    few = [
        f"{counted(count, f'{kind} photograph')} (if all of them were right, the 95 % interval of the {metric} would "
        f"still reach from {100 * count / (count + _Z**2):.0f} to 100 %)"
        for count, kind, metric in (
            (referable, "referable", "sensitivity"),
            (other, "non-referable", "specificity"),
        )
        if count < MINIMUM_CASES
    ]
    if not few:
        return []
    return [
        Finding(
            "few-cases",
            f"There are too few photographs for a judgement: only {' and only '.join(few)}. Evaluate at least "
            f"{MINIMUM_CASES} photographs of each kind, and a hundred or more to compare networks.",
        )
    ]
