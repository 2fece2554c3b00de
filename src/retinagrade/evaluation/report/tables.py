"""Tables of an evaluation, the same on the terminal, in a notebook and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich import table as rich
from rich.console import RenderableType

from retinagrade.evaluation.curves import TASK_NAMES
from retinagrade.evaluation.fitting.applied_calibration import CALIBRATION_METRICS, AppliedCalibration
from retinagrade.evaluation.fitting.operating_points import FittedThreshold
from retinagrade.evaluation.folds import FoldResults
from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.intervals import Interval
from retinagrade.evaluation.oedema import OEDEMA_AUC
from retinagrade.evaluation.results import EvaluationResults
from retinagrade.evaluation.subgroups import SMALL_SUBGROUP, SUBGROUP_METRICS
from retinagrade.grades import Grade
from retinagrade.messages import counted
from retinagrade.pages.page import format_metric, render_page

METRIC_LABELS: Final = {
    "accuracy": "accuracy",
    "majority_baseline": "  always the most frequent grade",
    "chance_accuracy": "  by chance, with these predictions",
    "quadratic_weighted_kappa": "quadratic weighted kappa",
    "linear_weighted_kappa": "linear weighted kappa",
    "unweighted_kappa": "unweighted kappa",
    "balanced_accuracy": "balanced accuracy",
    "mean_absolute_grade_error": "mean absolute error, in grades",
    "off_by_two_or_more": "share off by two grades or more",
    "macro_auc": "macro AUC, one grade against the rest",
    "referable_auc": "referable: AUC",
    "referable_average_precision": "  average precision",
    "referable_sensitivity": "  sensitivity, by predicted grade",
    "referable_specificity": "  specificity",
    "referable_ppv": "  positive predictive value",
    "referable_npv": "  negative predictive value",
    "vision_threatening_auc": "vision-threatening: AUC",
    "vision_threatening_average_precision": "  average precision",
    "vision_threatening_sensitivity": "  sensitivity, by predicted grade",
    "vision_threatening_specificity": "  specificity",
    "vision_threatening_ppv": "  positive predictive value",
    "vision_threatening_npv": "  negative predictive value",
    OEDEMA_AUC: "macular oedema: AUC",
    "brier": "Brier score (0 to 2)",
    "log_loss": "log loss",
    "expected_calibration_error": "expected calibration error",
}
"""Names of the metrics for people, in reading order; two leading spaces mean "belongs to the metric above"."""

GRADE_METRIC_NAMES: Final = ("precision", "recall", "f1", "specificity")
"""Metrics of a single grade, in the order of the columns."""


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes:
        title: Title of the table.
        head: Names of the columns.
        rows: Cells, one for each column; the first cell names the row.
        note: A sentence that helps to read the table.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def interval_text(interval: Interval | None) -> str:
    """Returns the ends of an interval as text; an empty text without an interval."""
    return "" if interval is None else f"{format_metric(interval.low)} to {format_metric(interval.high)}"


def with_interval(value: float | None, interval: Interval | None) -> str:
    """Returns a metric as text, with its interval in brackets."""
    return format_metric(value) + (f" ({interval_text(interval)})" if interval is not None else "")


def metric_text(results: EvaluationResults, name: str) -> str:
    """Returns a metric of an evaluation as text, with its interval in brackets."""
    return with_interval(results.metrics.get(name), results.intervals.get(name))


def metrics_table(results: EvaluationResults) -> TextTable:
    """Returns all metrics that are not metrics of a single grade, with their intervals."""
    labels = {**METRIC_LABELS, **{name: _prevalence_label(name) for name in results.metrics if "at_prevalence" in name}}
    rows = [
        (label, format_metric(results.metrics[name]), interval_text(results.intervals.get(name)))
        for name, label in labels.items()
        if name in results.metrics
    ]
    return TextTable(counted(results.photographs, "photograph"), ("metric", "value", "95 % interval"), rows)


def folds_table(folds: FoldResults) -> TextTable:
    """Returns mean and standard deviation over the folds, and the value of each fold, of all metrics."""
    rows = []
    for name, label in METRIC_LABELS.items():
        if name in folds.metrics[0]:
            metric = folds.metric(name)
            rows.append((label, *map(format_metric, (metric.mean, metric.sd, *metric.values))))
    head = ("metric", "mean", "standard deviation", *(f"fold {number}" for number in range(len(folds.metrics))))
    return TextTable(counted(len(folds.metrics), "fold"), head, rows)


def grades_table(results: EvaluationResults) -> TextTable:
    """Returns the metrics of each grade, and their averages over the grades that are present."""
    rows = []
    for grade in Grade:
        cells = [results.metrics[f"grade_{grade.value}_{name}"] for name in GRADE_METRIC_NAMES]
        rows.append((f"{grade.value} {grade.label}", *map(format_metric, cells), str(results.support[grade])))
    for kind in ("macro", "weighted"):
        cells = [results.metrics.get(f"{kind}_{name}") for name in GRADE_METRIC_NAMES]
        rows.append((f"{kind} average", *map(format_metric, cells), str(results.photographs)))
    return TextTable("", ("grade", *GRADE_METRIC_NAMES, "photographs"), rows)


def confusion_table(results: EvaluationResults) -> TextTable:
    """Returns the confusion matrix, in counts."""
    rows = [(f"{grade.value} {grade.label}", *map(str, results.confusion_matrix[grade])) for grade in Grade]
    return TextTable("", ("grade", *(f"predicted {grade.value}" for grade in Grade)), rows)


DECISION_NAMES: Final = {**TASK_NAMES, "oedema": "Macular oedema"}
"""Names of the decisions that have an operating point."""


def operating_points_table(applied: AppliedCalibration) -> TextTable:
    """Returns the operating points with their metrics on the evaluated and on the validation photographs."""
    names = list(dict.fromkeys(name for one in applied.operating_points for name in one.metrics))
    rows = [
        (
            DECISION_NAMES[one.task],
            rule_text(one.point),
            f"{one.point.threshold:.3f}",
            f"{one.point.sensitivity:.3f} / {one.point.specificity:.3f}",
            *(with_interval(one.metrics[name], one.intervals[name]) if name in one.metrics else "" for name in names),
        )
        for one in applied.operating_points
    ]
    labels = {"ppv": "positive predictive value", "npv": "negative predictive value"}
    head = ("", "rule", "from probability", "sensitivity / specificity on validation photographs")
    return TextTable("Operating points", (*head, *(labels.get(name, name.replace("_", " ")) for name in names)), rows)


def probabilities_table(results: EvaluationResults, applied: AppliedCalibration) -> TextTable:
    """Returns the metrics of the probabilities before and after calibration."""
    rows = [
        (
            METRIC_LABELS[name],
            metric_text(results, name),
            with_interval(applied.metrics[name], applied.intervals.get(name)),
        )
        for name in CALIBRATION_METRICS
    ]
    head = ("lower is better", "as predicted", f"calibrated ({applied.calibration.method})")
    return TextTable("Calibration", head, rows)


def prediction_sets_table(applied: AppliedCalibration) -> TextTable:
    """Returns the coverage and the sizes of the conformal prediction sets."""
    rows = [
        (
            f"{sets.target:.0%} of {'each grade' if sets.by_grade else 'all photographs'}",
            with_interval(sets.coverage, sets.interval),
            ", ".join(format_metric(share) for share in sets.coverage_by_grade),
            ", ".join(f"{share:.0%}" for share in sets.sizes),
        )
        for sets in applied.prediction_sets
    ]
    head = ("target", "coverage here", "by grade 0 to 4", "sets of one, two, … five grades")
    return TextTable("Sets of possible grades (conformal prediction)", head, rows)


def review_table(applied: AppliedCalibration) -> TextTable:
    """Returns the effect of the review thresholds."""
    targets = {
        "share": "a person reviews at most {:.0%}",
        "error": "at most {:.0%} of the other photographs are wrong",
    }
    rows = [
        (
            targets[one.threshold.rule].format(one.threshold.target),
            f"{one.threshold.confidence:.3f}",
            f"{one.reviewed:.1%}",
            format_metric(one.error),
            format_metric(one.far_off),
        )
        for one in applied.review_thresholds
    ]
    head = ("target", "confidence below", "reviewed here", "wrong without review", "off by ≥ 2 without review")
    return TextTable("Review by confidence", head, rows)


def subgroups_table(results: EvaluationResults) -> TextTable:
    """Returns the metrics of the subgroups."""
    rows = [
        (
            f"{subgroup.column}: {subgroup.value}" + (" ⚠ few" if subgroup.small else ""),
            str(subgroup.photographs),
            *(with_interval(subgroup.metrics[name], subgroup.intervals.get(name)) for name in SUBGROUP_METRICS),
        )
        for subgroup in results.subgroups
    ]
    note = (
        f"⚠ few: fewer than {SMALL_SUBGROUP} referable or fewer than {SMALL_SUBGROUP} non-referable photographs, "
        "too few for conclusions."
    )
    small = any(subgroup.small for subgroup in results.subgroups)
    head = ("", "photographs", *(METRIC_LABELS[name].strip() for name in SUBGROUP_METRICS))
    return TextTable("Subgroups", head, rows, note if small else "")


def rule_text(point: FittedThreshold) -> str:
    """Returns the rule that chose an operating point, as text."""
    if point.target is None:
        return "sensitivity > 85 % and specificity > 82.5 %"
    return f"{point.rule} at least {point.target:g}"


def rich_table(table: TextTable) -> RenderableType:
    """Returns a table for the terminal."""
    on_screen = rich.Table(*table.head, title=table.title or None, caption=table.note or None)
    for row in table.rows:
        on_screen.add_row(*row)
    return on_screen


def tables_html(tables: Sequence[TextTable], findings: Sequence[Finding] = ()) -> str:
    """Returns findings and tables as HTML for a notebook."""
    return render_page("evaluation/report/notebook.html.j2", tables=tables, findings=findings)


def _prevalence_label(name: str) -> str:
    task, value = name.split("_at_prevalence")[0].rsplit("_", 1)
    sign = "positive" if value == "ppv" else "negative"
    return f"{task.replace('_', '-')}: {sign} predictive value at the stated prevalence"
