"""Curves of lesion maps: precision and recall by pixel, and sensitivity by false lesions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from retinagrade.evaluation.lesion_metrics import LesionCounts, average_precision, froc
from retinagrade.evaluation.metrics import Undefined

_FALSE: np.ndarray[tuple[int], np.dtype[np.float64]] = np.geomspace(1 / 8, 32, 60)


def lesion_curves(counts: Mapping[str, Sequence[LesionCounts]]) -> Figure:
    """Draws a precision-recall curve and a FROC curve for each kind of lesion.

    Args:
        counts: Counts of every photograph, by kind of lesion; kinds that no photograph shows are left out.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for kind, of_kind in counts.items():
        try:
            label = f"{kind.replace('_', ' ')} ({average_precision(of_kind):.2f})"
        except Undefined:
            continue
        inside = np.sum([each.inside for each in of_kind], axis=0)[::-1].cumsum()
        outside = np.sum([each.outside for each in of_kind], axis=0)[::-1].cumsum()
        left.plot(inside / inside[-1], inside / np.maximum(inside + outside, 1), label=label)
        right.plot(_FALSE, froc(of_kind, _FALSE.tolist()), label=kind.replace("_", " "))
    left.set(xlabel="recall by pixel", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title="average precision")
    right.set(xlabel="false lesions in a photograph", ylabel="sensitivity by lesion", xscale="log", ylim=(0, 1.02))
    right.set_xticks([0.125, 0.5, 1, 2, 8, 32], ["⅛", "½", "1", "2", "8", "32"])
    for axes in (left, right):
        axes.grid(alpha=0.2)
    left.legend(frameon=False, fontsize="small")
    return figure
