"""The plot of decision curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from retinagrade.evaluation.decided_photographs import REVIEWED
from retinagrade.evaluation.decisions import DecisionCurve

_STYLES: Final = {
    "referable": ("#0072b2", "-", "as the grader says: referable"),
    REVIEWED: ("#d55e00", "--", "referable, or a person should look"),
}


def decision_curves_plot(curves: Sequence[DecisionCurve]) -> Figure:
    """Draws the net benefit of referral decisions over threshold probabilities, a panel for each unit.

    Args:
        curves: Curves of the decisions ``referable`` and ``referable_or_review``, at least one.
    """
    units = list(dict.fromkeys(curve.unit for curve in curves))
    figure = Figure(figsize=(4.8 * len(units), 4.4), layout="constrained")
    panels = figure.subplots(1, len(units), squeeze=False)[0]
    for unit, axes in zip(units, panels, strict=True):
        shown = [curve for curve in curves if curve.unit == unit]
        first = shown[0]
        axes.plot(first.thresholds, first.refer_all, color="black", linestyle=":", label="refer everybody")
        axes.axhline(0, color="#8a8f98", linewidth=1.2, label="refer nobody")
        for curve in shown:
            colour, style, label = _STYLES[curve.decision]
            axes.plot(curve.thresholds, curve.grader, style, color=colour, linewidth=2, label=label)
            low, high = (
                [np.nan if one is None else getattr(one, end) for one in curve.intervals] for end in ("low", "high")
            )
            axes.fill_between(curve.thresholds, low, high, color=colour, alpha=0.15, linewidth=0)
        top = max(float(curve.grader.max()) for curve in shown)
        top = max(top, float(first.refer_all.max()), 0.01)
        axes.set(
            title=f"by {unit}",
            xlabel="threshold probability",
            ylabel=f"net benefit, per {unit} screened",
            xlim=(0, float(first.thresholds[-1])),
            ylim=(-0.3 * top, 1.12 * top),
        )
        axes.grid(alpha=0.2)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure
