"""Pictures of results, as Matplotlib figures without a display or global state."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from retinagrade.grades import Grade

_BLUE, _ORANGE, _GREY = "#20639b", "#d1603d", "#8a8f98"
_LABELS: Final = [f"{grade.value} {grade.label}" for grade in Grade]


def confusion_matrix_plot(matrix: np.ndarray) -> Figure:
    """The confusion matrix: counts, coloured by the share of their row, so that rare grades are seen.

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


def roc_plot(roc: tuple[np.ndarray, np.ndarray], auc: float) -> Figure:
    """The ROC curve of referable retinopathy.

    Args:
        roc: False- and true-positive rates (K,), ascending.
        auc: The area under it, 0 to 1.
    """
    figure, axes = _figure(4.4, 4.4)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", label="chance")
    axes.plot(*roc, color=_BLUE, linewidth=2, label=f"AUC {auc:.3f}")
    axes.set(
        xlabel="1 − specificity", ylabel="sensitivity", title="referable (grade ≥ 2)", xlim=(-0.01, 1), ylim=(0, 1.01)
    )
    axes.set_aspect("equal")
    axes.legend(loc="lower right", frameon=False)
    return figure


def training_curves(history: pd.DataFrame, loss: str = "cross-entropy") -> Figure:
    """Losses and validation figures by epoch; the epoch that was kept is marked.

    Args:
        history: A run's ``history.csv``: columns ``epoch``, ``train_loss``, ``val_loss``, ``val_accuracy``,
            ``val_qwk``.
        loss: Which loss it is.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = history["epoch"] + 1
    best = int(epochs.iloc[int(history["val_loss"].argmin())])
    left.plot(epochs, history["train_loss"], color=_GREY, marker=".", label="training")
    left.plot(epochs, history["val_loss"], color=_BLUE, marker=".", label="validation")
    left.set(ylabel=loss, ylim=(0, None))
    right.plot(epochs, history["val_accuracy"], color=_ORANGE, marker=".", label="validation accuracy")
    right.plot(epochs, history["val_qwk"], color=_BLUE, marker=".", label="validation QWK")
    right.set(ylim=(min(0.0, float(history["val_qwk"].min(skipna=True))), 1))
    for axes in (left, right):
        axes.axvline(best, color="black", linewidth=0.8, linestyle=":", label=f"kept: epoch {best}")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.2)
        axes.legend(frameon=False)
    return figure


def comparison_plot(table: pd.DataFrame) -> Figure:
    """Quadratic weighted kappa, referable AUC and accuracy of many runs, the first at the top.

    Args:
        table: One row a run: columns ``run``, ``quadratic_weighted_kappa``, ``referable_auc``, ``accuracy``,
            ``majority_baseline``; undefined figures are missing.
    """
    figure, axes = _figure(8, 1.2 + 0.26 * len(table))
    places = range(len(table))
    axes.barh(places, table["quadratic_weighted_kappa"], color=_BLUE, height=0.65, label="QWK")
    axes.plot(table["referable_auc"], places, "o", color=_ORANGE, label="referable AUC")
    axes.plot(table["accuracy"], places, "|", color="black", markersize=11, markeredgewidth=2, label="accuracy")
    axes.axvline(float(table["majority_baseline"].max()), color=_GREY, linestyle=":", label="most frequent grade")
    axes.set_yticks(places, table["run"].tolist())
    axes.set(xlim=(min(0.0, float(table["quadratic_weighted_kappa"].min())), 1), ylim=(len(table) - 0.4, -0.6))
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def figure_png(figure: Figure) -> bytes:
    """A figure as PNG, at 120 dots an inch."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return stream.getvalue()


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
