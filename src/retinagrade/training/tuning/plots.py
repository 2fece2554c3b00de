"""Pictures of a search. Optuna's own pictures are experimental and cut the names of settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from retinagrade.training.tuning.search_space import SearchSpace

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#8a8f98"
_COLOURS: Final = colormaps["viridis"]


def trials_plot(trials: pd.DataFrame, metric: str, lower_is_better: bool) -> Figure:
    """Draws the value of each trial, and the best value so far.

    Args:
        trials: One row for each trial: columns ``trial``, and ``value``, missing where the trial didn't finish.
        metric: Name of the value.
        lower_is_better: True for a loss.
    """
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    finished = trials.dropna(subset="value")
    best = finished["value"].cummin() if lower_is_better else finished["value"].cummax()
    axes.step(finished["trial"], best, where="post", color=_ORANGE, linewidth=2, label="best so far")
    axes.plot(finished["trial"], finished["value"], "o", color=_BLUE, label="finished")
    axes.axhline(finished["value"].iloc[0], color=_GREY, linestyle=":", label="unchanged experiment")
    unfinished = trials.loc[trials["value"].isna(), "trial"]
    if len(unfinished):
        bottom = np.full(len(unfinished), finished["value"].min())
        axes.plot(unfinished, bottom, "x", color="black", label="stopped early or failed")
    axes.set(xlabel="trial", ylabel=metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.2)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return figure


def importance_plot(importances: Mapping[str, float]) -> Figure:
    """Draws the share of each setting in the differences between trials, with the largest at the top.

    Args:
        importances: Shares from 0 to 1, by setting.
    """
    figure = Figure(figsize=(6.4, 1.2 + 0.35 * len(importances)), layout="constrained")
    axes = figure.subplots()
    ascending = sorted(importances.items(), key=lambda item: item[1])
    bars = axes.barh([name for name, _ in ascending], [share for _, share in ascending], color=_BLUE)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set(xlabel="importance", xlim=(0, 1))
    axes.grid(axis="x", alpha=0.2)
    return figure


def parallel_plot(trials: pd.DataFrame, space: SearchSpace, metric: str) -> Figure:
    """Draws each finished trial as a line through its settings to its value; lower values are darker.

    Args:
        trials: One row for each trial: a column for each setting, and ``value``, missing where the trial didn't finish.
        space: The search space.
        metric: Name of the value.
    """
    names: Sequence[str] = list(space.root)
    finished = trials.dropna(subset="value").sort_values("value")
    figure = Figure(figsize=(2.0 + 1.7 * len(names), 4.6), layout="constrained")
    axes = figure.subplots()
    values = finished["value"].to_numpy(dtype=float)
    colour = Normalize(values.min(), values.max())
    spread = np.ptp(values) or 1.0
    for (_, trial), value in zip(finished.iterrows(), values, strict=True):
        settings = [space.root[name].relative_position(trial[name]) for name in names]
        heights = [*settings, (value - values.min()) / spread]
        axes.plot(range(len(heights)), heights, "o-", markersize=3, color=_COLOURS(colour(value)), linewidth=1.5)
    for column, name in enumerate(names):
        axes.axvline(column, color="black", linewidth=0.6)
        for text in space.root[name].ends:
            height = space.root[name].relative_position(text)
            axes.annotate(text, (column, height), xytext=(4, 0), textcoords="offset points", fontsize=8, va="center")
    axes.axvline(len(names), color="black", linewidth=0.6)
    for end, height in ((values.min(), 0.0), (values.max(), 1.0)):
        axes.annotate(f"{end:.3f}", (len(names), height), xytext=(4, 0), textcoords="offset points", fontsize=8)
    axes.set_xticks(range(len(names) + 1), [*(name.replace(".", "\n") for name in names), metric.replace(" ", "\n")])
    axes.set(yticks=[], xlim=(-0.1, len(names) + 0.4), ylim=(-0.06, 1.06))
    axes.tick_params(axis="x", labelsize=8, length=0)
    axes.spines[:].set_visible(False)
    return figure
