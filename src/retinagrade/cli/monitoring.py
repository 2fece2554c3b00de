"""``retinagrade monitor``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json, terminal_progress
from retinagrade.cli.options import OverwriteOption

if TYPE_CHECKING:
    from retinagrade.sites.monitor import Monitoring


class PeriodChoice(StrEnum):
    """What a period is."""

    TABLE = "table"
    MONTH = "month"
    WEEK = "week"


def monitor(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS",
            help="Tables that `grade` wrote (CSV, JSON Lines or Parquet), or folders of them, such as one table for "
            "each month.",
        ),
    ],
    reference: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PERIOD",
            help="Quiet period to compare with, by its name; repeat the option for several. Or the number of the first "
            "periods. [default: 3]",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        PeriodChoice | None,
        typer.Option(
            help="A period is a table, or the month or week in which photographs were graded. [default: table where "
            "there are several, else month]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Page to write, .html, with a chart of each number.", show_default=False),
    ] = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Watch a site's results for changes, month by month.

    The command compares grades, referrals, ungradable photographs and their reasons, quality, confidence, lesions and
    errors of each period with those of the reference, on control charts. In a year of twelve quiet periods, it says
    that something has moved with a probability of at most 5 %.

    Exit code 0: nothing has moved; 1: a person should look; 2: there is nothing to compare.
    """
    from retinagrade.sites.monitor import monitor as monitor_results

    chosen: int | list[str] = reference or 3
    if reference is not None and len(reference) == 1 and reference[0].isdigit() and len(reference[0]) < 4:
        chosen = int(reference[0])
    with terminal_progress() as progress:
        made = monitor_results(
            results,
            reference=chosen,
            by=None if by is None else by.value,
            out=out,
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        print_json(made.to_json())
    else:
        console().print(_table(made))
        for alarm in made.alarms:
            console().print(f"{alarm.period}: {alarm.sentence}")
        for advice in dict.fromkeys(alarm.advice for alarm in made.alarms):
            console().print(f"to do: {advice}")
        for note in made.notes:
            console().print(f"note: {note}")
        console().print(made.summary, style="bold red" if made.needs_attention else None)
        if out is not None:
            console().print(f"wrote {out}")
    if made.needs_attention:
        raise typer.Exit(ATTENTION)


def _table(made: Monitoring) -> Table:
    from retinagrade.sites.monitor import shown_point, watched_number

    charts = [chart for chart in made.charts if chart.is_main and chart.test in ("share", "mean")]
    labels = [watched_number(chart).name.replace("_", " ") for chart in charts]
    table = Table("period", "photographs", *labels, "result", title=f"Reference: {', '.join(made.reference)}")
    moved = {alarm.period for alarm in made.alarms}
    places = {period.name: place for place, period in enumerate(made.judged)}
    for period in made.periods:
        cells = ["–"] * len(charts)
        if period.name in places:
            points = [shown_point(chart, chart.points[places[period.name]]) for chart in charts]
            cells = [
                "–" if point.value is None else watched_number(chart).text(point.value)
                for chart, point in zip(charts, points, strict=True)
            ]
        result = period.not_judged or ("has moved" if period.name in moved else "quiet")
        table.add_row(period.name, str(period.photographs), *cells, result)
    return table
