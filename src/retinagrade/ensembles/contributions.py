"""What each member adds: the ensemble, each member alone, and the ensemble without it, on the same photographs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd

from retinagrade.evaluation.comparison import NetworkComparison
from retinagrade.evaluation.paired import Difference
from retinagrade.evaluation.report.tables import TextTable, interval_text, with_interval

FIGURES: Final = ("quadratic_weighted_kappa", "referable_auc")
"""What members are judged by."""


def contributions_table(compared: NetworkComparison, title: str) -> TextTable:
    """Figures with intervals, and differences from the ensemble.

    Args:
        compared: The ensemble first, with findings or without.
        title: What the photographs are.
    """
    rows = []
    for network, of in compared.evaluations.items():
        row = [network]
        for name in FIGURES:
            row.append(with_interval(of.metrics[name], of.intervals.get(name)))
            row.append("" if network == compared.first else _difference(compared.differences[network][name]))
        rows.append(row)
    head = ["", "QWK", "difference", "referable AUC", "difference"]
    note = (
        "95 % intervals; differences are from all members, on the same resamples of patients. A member adds something "
        "where the ensemble without it is worse, and the interval doesn't reach 0."
    )
    return TextTable(title, head, rows, note)


def contributions_csv(compared: Mapping[str, NetworkComparison]) -> str:
    """The same of all splits, as CSV with all digits.

    Args:
        compared: By split.
    """
    rows = []
    for split, networks in compared.items():
        for network, of in networks.evaluations.items():
            row: dict[str, object] = {"split": split, "network": network, "photographs": of.photographs}
            for name in FIGURES:
                difference = networks.differences.get(network, {}).get(name)
                row[name] = of.metrics[name]
                row |= _ends(name, difference)
            rows.append(row)
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def _difference(difference: Difference) -> str:
    if difference.difference is None:
        return f"– ({difference.reason})"
    ends = interval_text(difference.interval)
    return f"{difference.difference:+.3f} ({ends or difference.reason})"


def _ends(name: str, difference: Difference | None) -> dict[str, object]:
    """Difference, ends of its interval and p value, in columns of a figure's name."""
    interval = None if difference is None else difference.interval
    return {
        f"{name}_difference": None if difference is None else difference.difference,
        f"{name}_low": None if interval is None else interval.low,
        f"{name}_high": None if interval is None else interval.high,
        f"{name}_p": None if difference is None else difference.p_value,
    }
