"""Watches the results of a site, period by period: has anything moved since the reference?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from retinagrade.arguments import check_arguments
from retinagrade.errors import UsageError
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.messages import counted
from retinagrade.sites.control_charts import (
    FALSE_ALARMS,
    FEWEST,
    FEWEST_REFERENCE,
    PERIODS,
    Chart,
    Point,
    Sample,
    Test,
    draw_charts,
)
from retinagrade.sites.periods import Period, PeriodBy, choose_reference, describe_change, read_periods
from retinagrade.sites.watched_numbers import WATCHED, WatchedNumber, make_samples, patient_numbers, value_table
from retinagrade.storage.files import write_text
from retinagrade.storage.output_guard import file_output, guard_outputs, write_origin

COMMAND: Final = "monitor"
_BY_NAME: Final = {watched.name: watched for watched in WATCHED}


@dataclass(frozen=True)
class MonitoredPeriod:
    """A period that is compared with the reference.

    Attributes:
        name: Its name.
        photographs: Number of photographs.
        patients: Number of patients; a photograph without a study counts as one.
        not_judged: Reason why it is not judged; ``None`` for a judged period.
        is_known_change: Whether that is a change of the grader, which a person has made.
    """

    name: str
    photographs: int
    patients: int
    not_judged: str | None = None
    is_known_change: bool = False


@dataclass(frozen=True)
class Alarm:
    """A number that has moved in a period.

    Attributes:
        period: Name of the period.
        number: Name of the number.
        test: How the period was judged, as in its chart.
        sentence: What has moved, from what to what, and in how many photographs.
        advice: What to look at.
    """

    period: str
    number: str
    test: Test
    sentence: str
    advice: str


@dataclass(frozen=True)
class ReferenceRecord:
    """The quiet periods that all later ones are compared with.

    Attributes:
        periods: Their names.
        photographs: Number of their photographs.
        patients: Number of their patients; a photograph without a study counts as one.
    """

    periods: tuple[str, ...]
    photographs: int
    patients: int


@dataclass(frozen=True)
class FalseAlarmRate:
    """How often quiet periods have an alarm.

    Attributes:
        probability: Highest probability of an alarm in any chart, 0 to 1, within so many quiet periods.
        periods: Number of these periods.
    """

    probability: float = FALSE_ALARMS
    periods: int = PERIODS


@dataclass(frozen=True)
class PointRecord(Point):
    """A judged period in a chart. Means of skewed numbers are typical numbers, not means of logarithms.

    Attributes:
        period: Name of the period.
        alarm: Whether the value lies beyond a limit.
    """

    period: str
    alarm: bool


@dataclass(frozen=True)
class ChartRecord:
    """The control chart of one number.

    Attributes:
        number: Name of the number.
        label: Its name for people.
        test: How its periods are judged: by a ``share`` of photographs (0 to 1), a ``mean``, the distance of two
            distributions (``distribution``, 0 to 1), or a moving average that finds ``slow`` changes.
        reference: Share or mean in the reference; 0 for a distance.
        points: One point for each judged period, in their order.
    """

    number: str
    label: str
    test: Test
    reference: float
    points: list[PointRecord]


@dataclass(frozen=True)
class MonitoringRecord:
    """The output of ``monitor --json``: the comparison of all periods with the reference.

    Attributes:
        summary: The result in a few words.
        needs_attention: Whether a person should look: something has moved, the grader was changed, or the newest period
            is not judged.
        reference: The quiet periods that all later ones are compared with.
        false_alarms: How often quiet periods have an alarm.
        periods: The periods after the reference.
        alarms: What has moved, by period.
        notes: What a reader should know, such as photographs that are in two tables.
        charts: The charts.
    """

    summary: str
    needs_attention: bool
    reference: ReferenceRecord
    false_alarms: FalseAlarmRate
    periods: tuple[MonitoredPeriod, ...]
    alarms: tuple[Alarm, ...]
    notes: tuple[str, ...]
    charts: list[ChartRecord]


@dataclass(frozen=True)
class Monitoring:
    """The comparison of all periods with the reference.

    Attributes:
        reference: Names of the periods of the reference.
        reference_photographs: Their photographs.
        reference_patients: Their patients.
        periods: The periods after it.
        charts: The charts, with one point for each judged period.
        alarms: What has moved, by period.
        notes: What a reader should know, such as photographs that are in two tables.
    """

    reference: tuple[str, ...]
    reference_photographs: int
    reference_patients: int
    periods: tuple[MonitoredPeriod, ...]
    charts: tuple[Chart, ...]
    alarms: tuple[Alarm, ...]
    notes: tuple[str, ...]

    @property
    def judged(self) -> tuple[MonitoredPeriod, ...]:
        """The periods that are judged, in the order of the points of each chart."""
        return tuple(period for period in self.periods if period.not_judged is None)

    @property
    def needs_attention(self) -> bool:
        """Whether a person should look: something has moved, the grader was changed, or the newest period is open."""
        return bool(self.alarms) or self.newest_is_open or any(period.is_known_change for period in self.periods)

    @property
    def newest_is_open(self) -> bool:
        """Whether the newest period could not be judged."""
        return self._newest.not_judged is not None

    @property
    def _newest(self) -> MonitoredPeriod:
        return next((period for period in reversed(self.periods) if period.photographs), self.periods[-1])

    @property
    def summary(self) -> str:
        """The result in a few words."""
        if not self.judged:
            return "No period could be judged."
        newest = self._newest
        missing = (
            f" The newest period, {newest.name}, is not judged: {newest.not_judged}." if self.newest_is_open else ""
        )
        if not self.alarms:
            return f"Nothing has moved in {counted(len(self.judged), 'period')}.{missing}"
        moved = dict.fromkeys(alarm.period for alarm in self.alarms)
        return f"A person should look: something has moved in {', '.join(moved)}.{missing}"

    def to_json(self) -> dict[str, Any]:
        """Returns everything as values of JSON, as ``monitor --json`` prints it."""
        record = MonitoringRecord(
            summary=self.summary,
            needs_attention=self.needs_attention,
            reference=ReferenceRecord(self.reference, self.reference_photographs, self.reference_patients),
            false_alarms=FalseAlarmRate(),
            periods=self.periods,
            alarms=self.alarms,
            notes=self.notes,
            charts=[self._chart_record(chart) for chart in self.charts],
        )
        return asdict(record)

    def _chart_record(self, chart: Chart) -> ChartRecord:
        points = [
            PointRecord(**asdict(shown_point(chart, point)), period=period.name, alarm=point.is_alarm)
            for period, point in zip(self.judged, chart.points, strict=True)
        ]
        return ChartRecord(chart.name, _BY_NAME[chart.name].label, chart.test, _shown(chart, chart.reference), points)


def shown_point(chart: Chart, point: Point) -> Point:
    """Returns a point as people read it: with typical numbers instead of means of logarithms."""
    value, low, high = (None if each is None else _shown(chart, each) for each in (point.value, point.low, point.high))
    return Point(value, low, high, point.photographs)


def _shown(chart: Chart, value: float) -> float:
    return value if chart.test == "distribution" else _BY_NAME[chart.name].shown(value)


def watched_number(chart: Chart) -> WatchedNumber:
    """Returns the number of a chart."""
    return _BY_NAME[chart.name]


@check_arguments()
def monitor(
    results: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    reference: int | str | Sequence[str] = 3,
    by: PeriodBy | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Monitoring:
    """Compares the results of a site with those of a reference, period by period.

    Args:
        results: Tables of :func:`~retinagrade.grader.grade.grade`, or folders of them; one or several.
        reference: The quiet periods to compare with: the number of the first ones, or their names.
        by: What a period is: ``table``, or the ``month`` or ``week`` in which photographs were graded. By default a
            table where there are several, and else a month.
        out: Page to write, ``.html``.
        overwrite: Whether to replace a page that is no earlier result of the same tables.
        progress: Callback that receives progress reports.

    Returns:
        The charts, what has moved, and what could not be judged. A year of twelve quiet periods has an alarm with a
        probability of at most 5 %.

    Raises:
        UsageError: There are no results, no period after the reference, too few photographs in the reference, or
            several graders in it; or ``out`` has another suffix, is an input or exists.
        ManifestError: A row of a table was changed.
    """
    paths = [Path(results)] if isinstance(results, str | os.PathLike) else [Path(each) for each in results]
    page = None if out is None else Path(out)
    if page is not None:
        if page.suffix != ".html":
            raise UsageError(f"{page}: the name of the page must end in .html")
        guard_outputs([file_output(page, COMMAND, paths)], paths, overwrite)
    read = read_periods(paths, by, progress)
    chosen = [reference] if isinstance(reference, str) else reference
    of_reference, later, digest = choose_reference(read.periods, chosen)
    step = begin_stage(progress, "comparing periods", 1 + len(later))
    first = [each for period in of_reference for each in period.gradings]
    samples = make_samples(value_table(first), patient_numbers(first))
    step()
    if len(first) < FEWEST_REFERENCE:
        raise UsageError(
            f"the reference {', '.join(each.name for each in of_reference)} has {counted(len(first), 'photograph')}, "
            f"and {FEWEST_REFERENCE} are needed: choose more periods with --reference"
        )
    periods, judged = [], []
    for period in later:
        compared = make_samples(value_table(period.gradings), patient_numbers(period.gradings))
        periods.append(_describe(period, compared, digest, of_reference))
        if periods[-1].not_judged is None:
            judged.append(compared)
        step()
    charts = draw_charts([watched.number for watched in WATCHED], samples, judged)
    names = [period.name for period in periods if period.not_judged is None]
    made = Monitoring(
        tuple(each.name for each in of_reference),
        len(first),
        samples["error"].number_of_patients,
        tuple(periods),
        tuple(charts),
        tuple(_alarms(charts, names, samples, judged)),
        read.notes,
    )
    if page is not None:
        from retinagrade.sites.monitoring_page import monitoring_page

        write_origin(page, COMMAND, paths)
        write_text(page, monitoring_page(made))
    return made


def _describe(period: Period, samples: dict[str, Sample], digest: str, reference: Sequence[Period]) -> MonitoredPeriod:
    """Describes a period, and says why it is not judged."""
    number, patients = len(period.gradings), samples["error"].number_of_patients
    if period.grader_digests - {digest}:
        other = next(each for each in period.gradings if each.grader_digest != digest)
        change = describe_change(next(each for one in reference for each in one.gradings), other)
        why = f"the grader was changed ({change}): a known change, and no drift; choose a reference after it"
        return MonitoredPeriod(period.name, number, patients, why, is_known_change=True)
    if number < FEWEST:
        return MonitoredPeriod(period.name, number, patients, f"too few photographs: {FEWEST} are needed")
    return MonitoredPeriod(period.name, number, patients)


def _alarms(
    charts: Sequence[Chart], names: Sequence[str], reference: dict[str, Sample], periods: Sequence[dict[str, Sample]]
) -> list[Alarm]:
    """Describes the alarms, period by period."""
    alarms = []
    for row, (name, samples) in enumerate(zip(names, periods, strict=True)):
        found = [chart for chart in charts if chart.points[row].is_alarm]
        sudden = {chart.name for chart in found if chart.test != "slow"}
        for chart in found:
            if chart.test != "slow" or chart.name not in sudden:
                watched = _BY_NAME[chart.name]
                means = [watched.shown(sample[chart.name].mean) for sample in (reference, samples)]
                sentence = _sentence(chart, shown_point(chart, chart.points[row]), watched, means)
                alarms.append(Alarm(name, chart.name, chart.test, sentence, watched.advice))
    return alarms


def _sentence(chart: Chart, point: Point, watched: WatchedNumber, means: Sequence[float]) -> str:
    before, now = map(watched.text, means)
    number = counted(point.photographs, "photograph")
    label = watched.label[0].upper() + watched.label[1:]
    assert point.value is not None
    assert point.high is not None
    if chart.test == "distribution":
        return (
            f"{label}: the values are distributed otherwise than in the reference (distance {point.value:.2f}, at most "
            f"{point.high:.2f} expected; on average {now} after {before}; {number})."
        )
    assert point.low is not None
    limits = f"{watched.text(point.low)} to {watched.text(point.high)}"
    if chart.test == "slow":
        return (
            f"{label}: the average over the last periods is {watched.text(point.value)}, after {before} in the "
            f"reference, where {limits} are expected: a slow change."
        )
    return f"{label}: {now}, after {before} in the reference, where {limits} are expected ({number})."
