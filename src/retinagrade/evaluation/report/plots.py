"""Plots of results, as Matplotlib figures that need no display and no global state."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from retinagrade.evaluation.curves import TASK_NAMES, Curve, Reliability
from retinagrade.evaluation.paired import Difference
from retinagrade.grades import Grade
from retinagrade.images.own_pictures import mark_png

# Okabe and Ito's colours, which people with any colour vision can distinguish; styles and markers differ as well.
_BLUE, _ORANGE, _GREEN, _GREY = "#0072b2", "#d55e00", "#009e73", "#8a8f98"
_LABELS: Final = [f"{grade.value} {grade.label}" for grade in Grade]


def confusion_matrix_plot(matrix: NDArray[np.int64]) -> Figure:
    """Draws the confusion matrix: counts, coloured by their share of the row, so that rare grades are visible.

    Args:
        matrix: Counts (5, 5) by grade (row) and predicted grade (column).
    """
    figure, axes = _figure(5.2, 4.4)
    support = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, support, out=np.zeros(matrix.shape), where=support > 0)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        shade = "white" if shares[row, column] > 0.55 else "black"
        text = f"{count}\n{shares[row, column]:.0%}" if support[row, 0] else f"{count}"
        axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=9)
    axes.set_xticks(range(len(Grade)), _LABELS, rotation=30, ha="right")
    axes.set_yticks(range(len(Grade)), [f"{name} ({int(n)})" for name, n in zip(_LABELS, support[:, 0], strict=True)])
    axes.set(xlabel="predicted grade", ylabel="grade (photographs)")
    figure.colorbar(image, ax=axes, label="share of the grade's photographs", shrink=0.85)
    return figure


@dataclass(frozen=True)
class MarkedPoint:
    """A marked point in the plot of a ROC curve.

    Attributes:
        name: Its label.
        sensitivity: 0 to 1.
        specificity: 0 to 1.
        ours: True for the evaluated predictions, False for a published system.
    """

    name: str
    sensitivity: float
    specificity: float
    ours: bool = False


PUBLISHED: Final = {
    "referable": (
        MarkedPoint("IDx-DR (Abràmoff 2018)", 0.872, 0.907),
        MarkedPoint("EyeArt (Ipp 2021)", 0.96, 0.88),
        MarkedPoint("Gulshan 2016, high sensitivity", 0.975, 0.934),
    ),
    "vision_threatening": (MarkedPoint("EyeArt (Ipp 2021)", 0.97, 0.90),),
}
"""Operating points of published systems, each on its own patients and with its own reference standard: for orientation
only. M. D. Abràmoff et al., npj Digital Medicine 1:39, 2018 (pivotal trial; more than mild retinopathy or
macular oedema). E. Ipp et al., JAMA Network Open 4(11):e2134254, 2021 (likewise, and vision-threatening). V. Gulshan et
al., JAMA 316(22):2402, 2016 (EyePACS-1, the operating point of high sensitivity)."""


def roc_plot(
    curves: Mapping[str, Curve], areas: Mapping[str, str], points: Mapping[str, Sequence[MarkedPoint]]
) -> Figure:
    """Draws the ROC curves of the screening tasks, side by side, with operating points and published systems.

    Args:
        curves: True-positive rate (y) against false-positive rate (x) by task, at least one.
        areas: The area under each curve, as text.
        points: Operating points by task, in addition to :data:`PUBLISHED`.
    """
    figure, panels = _panels(curves)
    for (task, curve), axes in zip(curves.items(), panels, strict=True):
        drawn = curve.thinned()
        axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", label="chance")
        axes.plot(drawn.x, drawn.y, color=_BLUE, linewidth=2, label=f"AUC {areas[task]}")
        for point, marker in zip([*points.get(task, ()), *PUBLISHED[task]], "oDsv^<>Pp", strict=False):
            axes.plot(
                1 - point.specificity,
                point.sensitivity,
                marker,
                color=_ORANGE if point.ours else "black",
                markerfacecolor=_ORANGE if point.ours else "none",
                markersize=8 if point.ours else 6,
                linestyle="none",
                label=point.name,
            )
        axes.set(
            xlabel="1 − specificity", ylabel="sensitivity", title=TASK_NAMES[task], xlim=(-0.01, 1), ylim=(0, 1.01)
        )
        axes.set_aspect("equal")
        axes.legend(loc="lower right", frameon=False, fontsize=8)
    return figure


def precision_recall_plot(curves: Mapping[str, Curve], prevalence: Mapping[str, float]) -> Figure:
    """Draws precision against recall of the screening tasks, side by side.

    Args:
        curves: Precision (y) against recall (x) by task, at least one.
        prevalence: Share of photographs with the disease by task, which is the precision of guessing.
    """
    figure, panels = _panels(curves)
    for (task, curve), axes in zip(curves.items(), panels, strict=True):
        drawn = curve.thinned()
        share = prevalence[task]
        axes.axhline(share, color=_GREY, linestyle=":", label=f"guessing: prevalence {share:.2f}")
        axes.plot(drawn.x, drawn.y, color=_BLUE, linewidth=2, drawstyle="steps-pre")
        axes.set(
            xlabel="recall (sensitivity)",
            ylabel="precision (positive predictive value)",
            title=TASK_NAMES[task],
            xlim=(0, 1.01),
            ylim=(0, 1.01),
        )
        axes.set_aspect("equal")
        axes.legend(loc="lower left", frameon=False, fontsize=8)
    return figure


def reliability_plot(bins: Mapping[str, Reliability]) -> Figure:
    """Draws the reliability diagram: the share of right grades by confidence.

    Args:
        bins: Reliability by name, such as before and after calibration; the lower panel shows the first.
    """
    figure = Figure(figsize=(4.6, 5.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    upper.plot([0, 1], [0, 1], color=_GREY, linestyle=":", label="confidence = accuracy")
    styles = zip(bins.items(), (_BLUE, _ORANGE), ("o-", "s--"), strict=False)
    for (name, reliability), colour, style in styles:
        upper.plot(reliability.confidence, reliability.accuracy, style, color=colour, markersize=5, label=name)
    upper.set(ylabel="share of right grades", xlim=(0, 1), ylim=(0, 1.02))
    upper.legend(loc="upper left", frameon=False, fontsize=8)
    counts = next(iter(bins.values())).photographs
    edges = np.linspace(0, 1, len(counts) + 1)
    lower.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=_BLUE, edgecolor="white")
    lower.set(xlabel="confidence: the largest probability", ylabel="photographs")
    return figure


def risk_coverage_plot(curves: Mapping[str, Curve], kept: float | None = None) -> Figure:
    """Draws the error rates that remain if a person reviews the least certain photographs.

    Args:
        curves: Share of mistakes (y) among the share of photographs without review (x, coverage), by kind of mistake.
        kept: Share of photographs without review at a review threshold; ``None`` without a threshold.
    """
    figure, axes = _figure(4.8, 4.0)
    for (name, curve), colour, style in zip(curves.items(), (_BLUE, _ORANGE), ("-", "--"), strict=False):
        drawn = curve.thinned()
        axes.plot(drawn.x, drawn.y, style, color=colour, linewidth=2, label=name)
    if kept is not None:
        axes.axvline(kept, color="black", linestyle=":", label=f"review threshold keeps {kept:.0%}")
    axes.set(
        xlabel="share without review, the most certain first",
        ylabel="share of mistakes among these",
        xlim=(0, 1),
        ylim=(0, None),
    )
    axes.grid(alpha=0.2)
    axes.legend(frameon=False, fontsize=8)
    return figure


def grades_plot(shares: Mapping[str, Sequence[tuple[float, float, float] | None]], support: Sequence[int]) -> Figure:
    """Draws bars by grade, with intervals.

    Args:
        shares: For each name, and each grade, a share 0 to 1 with the ends of its interval; ``None`` where undefined.
        support: Number of photographs of each grade.
    """
    figure, axes = _figure(6.4, 3.8)
    width = 0.8 / len(shares)
    for position, ((name, values), colour) in enumerate(
        zip(shares.items(), (_BLUE, _ORANGE, _GREEN, _GREY), strict=False)
    ):
        for grade, value in enumerate(values):
            if value is None:
                continue
            share, low, high = value
            x = grade + (position - (len(shares) - 1) / 2) * width
            axes.bar(x, share, width * 0.92, color=colour, label=name)
            axes.plot([x, x], [low, high], color="black", linewidth=1)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.set_xticks(range(len(Grade)), [f"{name}\n({n})" for name, n in zip(_LABELS, support, strict=True)], fontsize=8)
    axes.set(ylim=(0, 1.02), xlabel="grade (photographs)")
    axes.grid(axis="y", alpha=0.2)
    axes.set_axisbelow(True)
    figure.legend(once.values(), once.keys(), loc="outside upper center", ncols=len(once), frameon=False)
    return figure


def training_curves(history: pd.DataFrame, loss: str = "cross-entropy") -> Figure:
    """Draws losses and validation metrics by epoch, and marks the kept epoch.

    Args:
        history: A run's ``history.csv``: columns ``epoch``, ``train_loss``, ``val_loss``, the validation's metrics,
            such as ``val_accuracy``, and ``kept``, true for one epoch.
        loss: Name of the loss.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = history["epoch"] + 1
    best = int(epochs[history["kept"]].iloc[0])
    left.plot(epochs, history["train_loss"], color=_GREY, marker=".", label="training")
    validated = history.dropna(subset="val_loss")
    left.plot(validated["epoch"] + 1, validated["val_loss"], color=_BLUE, marker=".", label="validation")
    left.set(ylabel=loss, ylim=(0, None))
    names = {"val_accuracy": "accuracy", "val_qwk": "QWK", "val_average_precision": "average precision of lesions"}
    shown = [name for name in names if name in history]
    for name, colour in zip(shown, (_ORANGE, _BLUE), strict=False):
        right.plot(validated["epoch"] + 1, validated[name], color=colour, marker=".", label=f"validation {names[name]}")
    right.set(ylim=(min(0.0, float(history[shown].min(skipna=True).min())), 1))
    for axes in (left, right):
        axes.axvline(best, color="black", linewidth=0.8, linestyle=":", label=f"kept: epoch {best}")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.2)
        axes.legend(frameon=False)
    return figure


def fold_curves(histories: Sequence[pd.DataFrame], loss: str = "cross-entropy") -> Figure:
    """Draws the losses and the validation QWK of all folds by epoch, and marks the kept epochs.

    Args:
        histories: The history of each fold, as for :func:`training_curves`.
        loss: Name of the loss.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    metric = "val_qwk"
    for number, history in enumerate(histories):
        colour = f"C{number % 10}"
        validated = history.dropna(subset="val_loss")
        left.plot(history["epoch"] + 1, history["train_loss"], color=colour, linewidth=0.8, linestyle=":")
        left.plot(validated["epoch"] + 1, validated["val_loss"], color=colour, label=f"fold {number}")
        right.plot(validated["epoch"] + 1, validated[metric], color=colour, label=f"fold {number}")
        kept = history[history["kept"]]
        for axes, column in ((left, "val_loss"), (right, metric)):
            axes.plot(kept["epoch"] + 1, kept[column], "o", color=colour)
    left.set(ylabel=f"{loss} (dotted: training)", ylim=(0, None))
    lowest = min(float(history[metric].fillna(0.0).min()) for history in histories)
    right.set(ylabel="validation QWK", ylim=(min(0.0, lowest), 1))
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.2)
    left.legend(frameon=False)
    return figure


def comparison_plot(table: pd.DataFrame) -> Figure:
    """Draws quadratic weighted kappa, referable AUC and accuracy of several runs, the first at the top.

    Args:
        table: One row for each run: columns ``run``, ``quadratic_weighted_kappa``, ``referable_auc``, ``accuracy``,
            ``majority_baseline``; undefined metrics are missing.
    """
    figure, axes = _figure(8, 1.2 + 0.26 * len(table))
    positions = range(len(table))
    axes.barh(positions, table["quadratic_weighted_kappa"], color=_BLUE, height=0.65, label="QWK")
    axes.plot(table["referable_auc"], positions, "o", color=_ORANGE, label="referable AUC")
    axes.plot(table["accuracy"], positions, "|", color="black", markersize=11, markeredgewidth=2, label="accuracy")
    axes.axvline(float(table["majority_baseline"].max()), color=_GREY, linestyle=":", label="most frequent grade")
    axes.set_yticks(positions, table["run"].tolist())
    axes.set(xlim=(min(0.0, float(table["quadratic_weighted_kappa"].min())), 1), ylim=(len(table) - 0.4, -0.6))
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def differences_plot(first: str, differences: Mapping[str, Mapping[str, Difference]]) -> Figure:
    """Draws differences of networks from the first network, with intervals.

    Args:
        first: Name of the network that the others are compared with.
        differences: Differences by the names of network and metric.
    """
    names = list(next(iter(differences.values())))
    figure = Figure(figsize=(2.4 * len(names) + 1.5, 1.3 + 0.3 * len(differences)), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for name, axes in zip(names, panels, strict=True):
        axes.axvline(0, color=_GREY, linestyle=":")
        for position, row in enumerate(differences.values()):
            difference = row[name]
            if difference.difference is None:
                continue
            if difference.interval is not None:
                ends = [difference.interval.low, difference.interval.high]
                axes.plot(ends, [position, position], color=_BLUE, linewidth=2)
            axes.plot(difference.difference, position, "o", color=_BLUE)
        axes.set_title(
            name.replace("_", " ").replace("quadratic weighted kappa", "QWK").replace("auc", "AUC"), fontsize=9
        )
        axes.grid(axis="x", alpha=0.2)
        axes.tick_params(labelsize=8)
    panels[0].set_yticks(range(len(differences)), list(differences))
    panels[0].set_ylim(len(differences) - 0.5, -0.5)
    figure.supxlabel(f"difference from {first}", fontsize=9)
    return figure


def figure_svg(figure: Figure) -> bytes:
    """Returns a figure as SVG, always the same bytes for the same figure."""
    stream = io.BytesIO()
    with rc_context({"svg.hashsalt": "retinagrade"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def figure_png(figure: Figure) -> bytes:
    """Returns a figure as PNG, at 120 dots per inch."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return mark_png(stream.getvalue())


def _panels(tasks: Mapping[str, object]) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4.4 * len(tasks), 4.4), layout="constrained")
    return figure, list(figure.subplots(1, len(tasks), squeeze=False)[0])


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
