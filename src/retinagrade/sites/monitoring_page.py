"""The page of a monitoring, for a medical director: what has moved, and a chart of each number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from retinagrade.evaluation.report.plots import figure_png
from retinagrade.pages.page import render_page
from retinagrade.sites.control_charts import FALSE_ALARMS, PERIODS, Chart
from retinagrade.sites.monitor import Alarm, Monitoring, shown_point, watched_number

_BLUE, _RED, _GREY = "#0072b2", "#b3261e", "#8a8f98"
_TITLES: Final = {
    "share": "{}",
    "mean": "{}",
    "distribution": "{}: distance from the reference",
    "slow": "{}: average over the last periods",
}


@dataclass(frozen=True)
class ChartPicture:
    """A chart as the page shows it.

    Attributes:
        title: What it shows.
        png: The picture.
        has_alarm: Whether a period lies beyond the limits.
    """

    title: str
    png: bytes
    has_alarm: bool


def monitoring_page(monitoring: Monitoring) -> str:
    """Returns the page as HTML that refers to no other file or server."""
    shown = [chart for chart in monitoring.charts if chart.is_main or _has_alarm(chart)]
    others = [chart for chart in monitoring.charts if chart not in shown and _is_worth_showing(chart)]
    alarms: dict[str, list[Alarm]] = {}
    for alarm in monitoring.alarms:
        alarms.setdefault(alarm.period, []).append(alarm)
    return render_page(
        "sites/monitoring.html.j2",
        title="Monitoring of a grader",
        monitoring=monitoring,
        alarms=[(period, of_period, _advice(of_period)) for period, of_period in alarms.items()],
        pictures=[_picture(chart, monitoring) for chart in sorted(shown, key=lambda one: not _has_alarm(one))],
        others=[_cells(chart) for chart in others],
        false_alarms=FALSE_ALARMS,
        year=PERIODS,
    )


def _has_alarm(chart: Chart) -> bool:
    return any(point.is_alarm for point in chart.points)


def _cells(chart: Chart) -> list[str]:
    """Returns a row of the table of quiet numbers: title, value in the reference, and the value of each period."""
    watched = watched_number(chart)
    text = watched.text if chart.test != "distribution" else "{:.2f}".format
    values = [shown_point(chart, point).value for point in chart.points]
    reference = "" if chart.test == "distribution" else text(watched.shown(chart.reference))
    return [_title(chart), reference, *("–" if value is None else text(value) for value in values)]


def _title(chart: Chart) -> str:
    title = _TITLES[chart.test].format(watched_number(chart).label)
    return title[0].upper() + title[1:]


def _advice(alarms: Sequence[Alarm]) -> list[str]:
    return list(dict.fromkeys(alarm.advice for alarm in alarms))


def _is_worth_showing(chart: Chart) -> bool:
    """Whether a chart shows anything: not for a reason for which no photograph was ever refused."""
    return bool(chart.reference) or any(point.value for point in chart.points)


def _picture(chart: Chart, monitoring: Monitoring) -> ChartPicture:
    names = [period.name for period in monitoring.judged]
    return ChartPicture(_title(chart), figure_png(chart_figure(chart, names)), _has_alarm(chart))


def chart_figure(chart: Chart, names: Sequence[str]) -> Figure:
    """Draws a chart: periods to the right, their values, the limits as a band, and alarms as red diamonds."""
    figure = Figure(figsize=(5.6, 2.9))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.1, right=0.98, top=0.9, bottom=0.24)
    factor = 100 if watched_number(chart).is_share and chart.test != "distribution" else 1
    points = [shown_point(chart, point) for point in chart.points]
    places = np.arange(len(points))
    values, low, high = (
        np.array([np.nan if each is None else factor * each for each in column], np.float64)
        for column in (
            [point.value for point in points],
            [0.0 if point.low is None and point.high is not None else point.low for point in points],
            [point.high for point in points],
        )
    )
    edges = np.concatenate([places[:1] - 0.5, places, places[-1:] + 0.5])  # one period has a band, too
    lower, upper = (np.concatenate([each[:1], each, each[-1:]]) for each in (low, high))
    axes.fill_between(edges, lower, upper, step="mid", color=_GREY, alpha=0.25, linewidth=0, label="expected")
    centre = factor * (watched_number(chart).shown(chart.reference) if chart.test != "distribution" else 0.0)
    if chart.test != "distribution":
        axes.axhline(centre, color=_GREY, linewidth=1, linestyle="--", label="reference")
    axes.plot(places, values, color=_BLUE, marker="o", markersize=4, linewidth=1.3)
    alarms = np.array([point.is_alarm for point in chart.points], bool)
    axes.plot(places[alarms], values[alarms], color=_RED, marker="D", markersize=8, linestyle="none", label="look here")
    axes.set_xticks(places, names, rotation=45 if max(map(len, names), default=0) > 4 else 0, ha="right", fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_title(_title(chart), fontsize=10, loc="left")
    axes.set_ylabel("%" if factor == 100 else "")
    axes.margins(x=0.03)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False, loc="upper left", ncols=3)
    axes.margins(y=0.2)
    return figure
