"""An evaluation as tables: the same ones on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich import table as rich
from rich.console import Group, RenderableType
from rich.text import Text

from retinagrade.evaluation.curves import TASK_NAMES
from retinagrade.evaluation.evaluate import Evaluation
from retinagrade.evaluation.fitting.application import OF_PROBABILITIES, AppliedCalibration
from retinagrade.evaluation.fitting.operating_points import OperatingPoint
from retinagrade.evaluation.intervals import Interval
from retinagrade.evaluation.subgroups import FEWEST
from retinagrade.evaluation.subgroups import FIGURES as SUBGROUP_FIGURES
from retinagrade.grades import Grade
from retinagrade.pages.page import format_metric

NAMES: Final = {
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
    "brier": "Brier score (0 to 2)",
    "log_loss": "log loss",
    "expected_calibration_error": "expected calibration error",
}
"""What people call the figures, in the order to read them."""

SHARES: Final = ("precision", "recall", "f1", "specificity")
"""What is counted of every grade."""


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes:
        title: What it shows.
        head: Names of the columns.
        rows: Cells, as many as the head has; the first says what the row is of.
        note: What to know when reading it.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def interval_text(interval: Interval | None) -> str:
    """The ends of an interval, or nothing where there is none."""
    return "" if interval is None else f"{format_metric(interval.low)} to {format_metric(interval.high)}"


def with_interval(value: float | None, interval: Interval | None) -> str:
    """A figure with its interval in brackets."""
    return format_metric(value) + (f" ({interval_text(interval)})" if interval is not None else "")


def metrics_table(evaluation: Evaluation) -> TextTable:
    """Every figure that is not of a single grade, with its interval."""
    named = {**NAMES, **{name: _at_prevalence(name) for name in evaluation.figures if "at_prevalence" in name}}
    rows = [
        (label, format_metric(evaluation.figures[name]), interval_text(evaluation.intervals.get(name)))
        for name, label in named.items()
    ]
    return TextTable(f"{evaluation.photographs} photographs", ("figure", "value", "95 % interval"), rows)


def grades_table(evaluation: Evaluation) -> TextTable:
    """What is right of each grade, and averages over the grades that are present."""
    rows = []
    for grade in Grade:
        shares = [evaluation.figures[f"grade_{grade.value}_{name}"] for name in SHARES]
        rows.append((f"{grade.value} {grade.label}", *map(format_metric, shares), str(evaluation.support[grade])))
    for kind in ("macro", "weighted"):
        shares = [evaluation.figures.get(f"{kind}_{name}") for name in SHARES]
        rows.append((f"{kind} average", *map(format_metric, shares), str(evaluation.photographs)))
    return TextTable("", ("grade", *SHARES, "photographs"), rows)


def confusion_table(evaluation: Evaluation) -> TextTable:
    """The confusion matrix, in counts."""
    rows = [(f"{grade.value} {grade.label}", *map(str, evaluation.matrix[grade])) for grade in Grade]
    return TextTable("", ("grade", *(f"given {grade.value}" for grade in Grade)), rows)


def operating_points_table(applied: AppliedCalibration) -> TextTable:
    """What the operating points are worth here, beside what they were on the photographs that they were chosen on."""
    names = list(applied.decisions[0].figures) if applied.decisions else []
    rows = [
        (
            TASK_NAMES[decision.task],
            rule_text(decision.point),
            f"{decision.point.threshold:.3f}",
            f"{decision.point.sensitivity:.3f} / {decision.point.specificity:.3f}",
            *(with_interval(decision.figures[name], decision.intervals[name]) for name in names),
        )
        for decision in applied.decisions
    ]
    labels = {"ppv": "positive predictive value", "npv": "negative predictive value"}
    head = ("", "asked for", "from probability", "sensitivity / specificity when chosen")
    return TextTable("Operating points", (*head, *(labels.get(name, name.replace("_", " ")) for name in names)), rows)


def probabilities_table(evaluation: Evaluation, applied: AppliedCalibration) -> TextTable:
    """Probabilities before and after calibration."""
    rows = [
        (
            NAMES[name],
            with_interval(evaluation.figures[name], evaluation.intervals.get(name)),
            with_interval(applied.probabilities[name], applied.intervals.get(name)),
        )
        for name in OF_PROBABILITIES
    ]
    return TextTable("Calibration", ("lower is better", "as predicted", f"calibrated ({applied.fitted.method})"), rows)


def sets_table(applied: AppliedCalibration) -> TextTable:
    """Sets of grades that hold the right one."""
    rows = [
        (
            f"{sets.asked:.0%} of {'each grade' if sets.by_grade else 'all photographs'}",
            with_interval(sets.coverage, sets.interval),
            ", ".join(format_metric(share) for share in sets.of_grade),
            ", ".join(f"{share:.0%}" for share in sets.sizes),
        )
        for sets in applied.sets
    ]
    head = ("asked to hold the right grade of", "do here", "by grade 0 to 4", "sets of one, two, … five grades")
    return TextTable("Sets of possible grades (conformal prediction)", head, rows)


def referral_table(applied: AppliedCalibration) -> TextTable:
    """What is gained by leaving uncertain photographs to a person."""
    asked = {"share": "a person sees at most {:.0%}", "error": "at most {:.0%} of the others are wrong"}
    rows = [
        (
            asked[referred.rule.rule].format(referred.rule.target),
            f"{referred.rule.confidence:.3f}",
            f"{referred.referred:.1%}",
            format_metric(referred.error),
            format_metric(referred.far_off),
        )
        for referred in applied.referred
    ]
    head = ("asked for", "confidence below", "seen by a person here", "others wrong", "others off by ≥ 2")
    return TextTable("Referral by confidence", head, rows)


def subgroups_table(evaluation: Evaluation) -> TextTable:
    """Figures of subgroups."""
    rows = [
        (
            f"{subgroup.column}: {subgroup.value}" + (" ⚠ few" if subgroup.small else ""),
            str(subgroup.photographs),
            *(with_interval(subgroup.figures[name], subgroup.intervals.get(name)) for name in SUBGROUP_FIGURES),
        )
        for subgroup in evaluation.subgroups
    ]
    small = any(subgroup.small for subgroup in evaluation.subgroups)
    note = f"⚠ few: fewer than {FEWEST} referable photographs, or others; too few to say anything by." if small else ""
    return TextTable("Subgroups", ("", "photographs", *(NAMES[name].strip() for name in SUBGROUP_FIGURES)), rows, note)


def evaluation_tables(evaluation: Evaluation) -> list[TextTable]:
    """All figures of an evaluation, as tables."""
    tables = [metrics_table(evaluation), confusion_table(evaluation), grades_table(evaluation)]
    if (applied := evaluation.applied) is not None:
        tables += [operating_points_table(applied)] if applied.decisions else []
        tables += [probabilities_table(evaluation, applied), sets_table(applied)]
        tables += [referral_table(applied)] if applied.referred else []
    return tables + ([subgroups_table(evaluation)] if evaluation.subgroups else [])


def rule_text(point: OperatingPoint) -> str:
    """What was asked of an operating point."""
    if point.target is None:
        return "sensitivity > 85 % and specificity > 82.5 %"
    return f"{point.rule} at least {point.target:g}"


def _at_prevalence(name: str) -> str:
    task, value = name.split("_at_prevalence")[0].rsplit("_", 1)
    sign = "positive" if value == "ppv" else "negative"
    return f"{task.replace('_', '-')}: {sign} predictive value at the stated prevalence"


def rich_table(table: TextTable) -> RenderableType:
    """A table for the terminal."""
    on_screen = rich.Table(*table.head, title=table.title or None, caption=table.note or None)
    for row in table.rows:
        on_screen.add_row(*row)
    return on_screen


def evaluation_text(evaluation: Evaluation) -> RenderableType:
    """An evaluation for the terminal: its tables, what was left out, and its findings."""
    parts = [rich_table(table) for table in evaluation_tables(evaluation)]
    if evaluation.ungraded:
        parts.append(Text(f"{evaluation.ungraded} photographs without a grade were left out"))
    parts += [Text(f"attention: {finding.message}", style="bold red") for finding in evaluation.findings]
    parts += [Text(f"undefined: {name}: {why}", style="dim") for name, why in evaluation.undefined.items()]
    return Group(*parts)
