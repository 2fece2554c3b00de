"""The contribution of each member: the ensemble, each member alone, and the ensemble without it, compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd

from retinagrade.evaluation.comparison import NetworkComparison
from retinagrade.evaluation.paired import Difference
from retinagrade.evaluation.report.tables import TextTable, interval_text, metric_text

CONTRIBUTION_METRICS: Final = ("quadratic_weighted_kappa", "referable_auc")
"""Metrics that show the contribution of a member."""


def contributions_table(comparison: NetworkComparison, title: str) -> TextTable:
    """Returns the metrics with intervals, and the differences from the ensemble.

    Args:
        comparison: The comparison of one split, with the ensemble first.
        title: Title of the table.
    """
    rows = []
    for network, evaluation in comparison.evaluations.items():
        row = [network]
        for name in CONTRIBUTION_METRICS:
            row.append(metric_text(evaluation, name))
            first = network == comparison.first
            row.append("" if first else _difference_text(comparison.differences[network][name]))
        rows.append(row)
    head = ["", "QWK", "difference", "referable AUC", "difference"]
    note = (
        "With 95 % intervals. Differences are from the ensemble of all members, on the same resamples of patients. A "
        "member contributes if the ensemble without it is worse and the interval excludes 0."
    )
    return TextTable(title, head, rows, note)


def contributions_frame(comparisons: Mapping[str, NetworkComparison]) -> pd.DataFrame:
    """Returns the contributions of all splits.

    Args:
        comparisons: The comparisons by split, each with the ensemble first.

    Returns:
        One row for each split and network: ``split``, ``network``, ``photographs``, and each metric with its difference
        from the ensemble, the interval's ends, and the p value.
    """
    rows = []
    for split, comparison in comparisons.items():
        for network, evaluation in comparison.evaluations.items():
            row: dict[str, object] = {"split": split, "network": network, "photographs": evaluation.photographs}
            for name in CONTRIBUTION_METRICS:
                row[name] = evaluation.metrics[name]
                row |= _difference_columns(name, comparison.differences.get(network, {}).get(name))
            rows.append(row)
    return pd.DataFrame(rows)


def _difference_text(difference: Difference) -> str:
    if difference.difference is None:
        return f"– ({difference.reason})"
    ends = interval_text(difference.interval)
    return f"{difference.difference:+.3f} ({ends or difference.reason})"


def _difference_columns(name: str, difference: Difference | None) -> dict[str, object]:
    """Returns a difference with its interval and p value, in columns that begin with the metric's name."""
    interval = None if difference is None else difference.interval
    return {
        f"{name}_difference": None if difference is None else difference.difference,
        f"{name}_low": None if interval is None else interval.low,
        f"{name}_high": None if interval is None else interval.high,
        f"{name}_p": None if difference is None else difference.p_value,
    }
