"""The plot of a decision curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from retinagrade.evaluation.decided_photographs import REVIEWED
from retinagrade.evaluation.decisions import DecisionCurve

_STYLES: Final = {
    "referable": ("#0072b2", "-", "referable, as the grader says"),
    REVIEWED: ("#d55e00", "--", "referable, or a person should look"),
}


def decision_curve_plot(curves: Sequence[DecisionCurve]) -> Figure:
    """Draws the net benefit of referral decisions over threshold probabilities.

    Args:
        curves: Curves of the decisions ``referable`` and ``referable_or_review`` for the same unit, at least one.
    """
    figure = Figure(figsize=(5.6, 4.4), layout="constrained")
    axes = figure.subplots()
    first = curves[0]
    axes.plot(first.thresholds, first.refer_all, color="black", linestyle=":", label="refer everybody")
    axes.axhline(0, color="#8a8f98", linewidth=1.2, label="refer nobody")
    for curve in curves:
        colour, style, label = _STYLES[curve.decision]
        axes.plot(curve.thresholds, curve.grader, style, color=colour, linewidth=2, label=label)
        low, high = (
            [np.nan if one is None else getattr(one, end) for one in curve.intervals] for end in ("low", "high")
        )
        axes.fill_between(curve.thresholds, low, high, color=colour, alpha=0.15, linewidth=0)
    top = max(0.01, *(float(values.max()) for curve in curves for values in (curve.grader, curve.refer_all)))
    axes.set(
        xlabel="threshold probability",
        ylabel=f"net benefit, per {first.unit} screened",
        xlim=(0, float(first.thresholds[-1])),
        ylim=(-0.3 * top, 1.12 * top),
    )
    axes.grid(alpha=0.2)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure
