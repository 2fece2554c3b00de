"""An evaluation in few lines, and all its tables for the terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from retinagrade.evaluation.decisions import DecisionResults
from retinagrade.evaluation.oedema import OEDEMA_AUC
from retinagrade.evaluation.report.decision_tables import (
    DECISION_LABELS,
    as_used_text,
    decisions_notes,
    decisions_tables,
)
from retinagrade.evaluation.report.tables import (
    METRIC_LABELS,
    TextTable,
    confusion_table,
    grades_table,
    metric_text,
    metrics_table,
    operating_points_table,
    prediction_sets_table,
    probabilities_table,
    review_table,
    rich_table,
    subgroups_table,
)
from retinagrade.evaluation.results import EvaluationResults
from retinagrade.messages import counted

_MAIN_METRICS: Final = (
    "quadratic_weighted_kappa",
    "accuracy",
    "referable_auc",
    "vision_threatening_auc",
    OEDEMA_AUC,
    "macro_auc",
)


def main_metrics_text(results: EvaluationResults) -> str:
    """Returns the main metrics and the findings of an evaluation, in a few lines of text."""
    patients = f" of {counted(results.patients, 'patient')}" if results.patients < results.photographs else ""
    lines = [f"Evaluation of {results.context.name}: {counted(results.photographs, 'graded photograph')}{patients}"]
    lines += [
        f"  {METRIC_LABELS[name]}: {metric_text(results, name)}"
        for name in _MAIN_METRICS
        if results.metrics.get(name) is not None
    ]
    if results.decisions is not None and (used := as_used_text(results.decisions)):
        lines.append(f"  {used}")
    lines += [f"  finding: {finding.text}" for finding in results.findings]
    return "\n".join(lines if results.findings else [*lines, "  no findings of the integrity checks"])


def evaluation_tables(results: EvaluationResults) -> list[TextTable]:
    """Returns all tables of an evaluation."""
    tables = [] if results.decisions is None else decisions_tables(results.decisions)
    tables += [metrics_table(results), confusion_table(results), grades_table(results)]
    if (applied := results.applied_calibration) is not None:
        tables += [operating_points_table(applied)] if applied.operating_points else []
        tables += [probabilities_table(results, applied), prediction_sets_table(applied)]
        tables += [review_table(applied)] if applied.review_thresholds else []
    return tables + ([subgroups_table(results)] if results.subgroups else [])


def evaluation_text(results: EvaluationResults) -> RenderableType:
    """Returns an evaluation for the terminal: tables, findings, and reasons for undefined metrics."""
    parts = [rich_table(table) for table in evaluation_tables(results)]
    if results.decisions is not None:
        parts += [Text(f"decisions: {note}") for note in decisions_notes(results.decisions)]
    if results.ungraded:
        parts.append(Text(f"left out: {counted(results.ungraded, 'photograph')} without a grade"))
    parts += [Text(f"attention: {finding.text}", style="bold red") for finding in results.findings]
    parts += [Text(f"undefined: {name}: {reason}", style="dim") for name, reason in results.undefined.items()]
    if results.decisions is not None:
        parts += [Text(f"undefined: {name}: {reason}", style="dim") for name, reason in _undefined(results.decisions)]
    return Group(*parts)


def _undefined(decisions: DecisionResults) -> list[tuple[str, str]]:
    """Returns the reasons why metrics of all photographs have no value or no interval, by name."""
    return [
        (f"{DECISION_LABELS[one.decision]}, by {one.unit}, refused {one.refused}: {name}", reason)
        for one in decisions.outcomes
        if one.column is None
        for name, reason in one.undefined.items()
    ]
