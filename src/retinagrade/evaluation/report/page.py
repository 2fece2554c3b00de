"""The report of an evaluation: one self-contained HTML page, for clinicians too, with all metrics and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from retinagrade.evaluation.decisions import DecisionResults, Outcome
from retinagrade.evaluation.examples import Example
from retinagrade.evaluation.report import plots
from retinagrade.evaluation.report.decision_tables import as_used, decisions_notes, decisions_tables
from retinagrade.evaluation.report.pictures import Picture, evaluation_pictures
from retinagrade.evaluation.report.tables import (
    METRIC_LABELS,
    TextTable,
    folds_table,
    grades_table,
    interval_text,
    metric_text,
    metrics_table,
    operating_points_table,
    prediction_sets_table,
    probabilities_table,
    review_table,
    rule_text,
    subgroups_table,
)
from retinagrade.evaluation.results import EvaluationResults
from retinagrade.grades import Grade
from retinagrade.pages.page import format_metric, render_page
from retinagrade.provenance import provenance_record
from retinagrade.storage.files import write_bytes, write_json, write_text
from retinagrade.storage.output_guard import FOLDER_RECORD, describe_origin, folder_output, guard_outputs

_COMMAND: Final = "evaluate"


@dataclass(frozen=True)
class HeadlineMetric:
    """A metric at the top of the report.

    Attributes:
        label: Name for people.
        value: The value, as text.
        interval: The ends of its interval, as text; empty without an interval.
        note: Explanation for the reader.
    """

    label: str
    value: str
    interval: str
    note: str


@dataclass(frozen=True)
class ReportPart:
    """A part of the report.

    Attributes:
        title: Its heading.
        text: Explanation for the reader.
        pictures: Its pictures.
        tables: Its tables.
    """

    title: str
    text: str = ""
    pictures: Sequence[Picture] = ()
    tables: Sequence[TextTable] = ()


@dataclass(frozen=True)
class EvaluationView:
    """An evaluation as the report shows it.

    Attributes:
        headlines: The metrics at the top.
        parts: The parts below them.
        examples: Example photographs by the reason to show them.
    """

    headlines: list[HeadlineMetric]
    parts: list[ReportPart]
    examples: list[tuple[str, list[Example]]]

    @property
    def pictures(self) -> list[Picture]:
        """All pictures, first to last."""
        return [picture for part in self.parts for picture in part.pictures]


def guard_evaluation(folder: Path, inputs: Sequence[Path], overwrite: bool = False) -> None:
    """Checks, before any work, that an evaluation can be written to a folder.

    Raises:
        UsageError: The folder holds an input, or files that are no earlier evaluation of the same inputs.
    """
    guard_outputs([folder_output(folder, _COMMAND, inputs)], inputs, overwrite)


def write_evaluation(folder: Path, results: EvaluationResults, overwrite: bool = False) -> Path:
    """Writes ``report.html``, ``metrics.json``, the pictures as PNG and SVG, and ``run.json``.

    Args:
        folder: The folder to write to; it is made if it is missing.
        results: The evaluation.
        overwrite: Whether the folder may hold other files.

    Returns:
        The path of ``report.html``.

    Raises:
        UsageError: As for :func:`guard_evaluation`.
    """
    guard_evaluation(folder, results.context.inputs, overwrite)
    view = evaluation_view(results)
    origin = describe_origin(_COMMAND, results.context.inputs, folder)
    write_json(folder / FOLDER_RECORD, origin | {"sources": dict(results.context.sources), **provenance_record()})
    write_json(folder / "metrics.json", results.to_json())
    for picture in view.pictures:
        write_bytes(folder / f"{picture.name}.png", picture.png)
        write_bytes(folder / f"{picture.name}.svg", plots.figure_svg(picture.figure))
    write_text(folder / "report.html", _render(f"Evaluation of {results.context.name}", [(results, view)]))
    return folder / "report.html"


def render_report(title: str, evaluations: Sequence[EvaluationResults]) -> str:
    """Renders a page with several evaluations.

    Args:
        title: Heading of the page.
        evaluations: The evaluations, one after the other; two or more are compared in a table first.

    Returns:
        HTML without references to other files or servers.
    """
    return _render(title, [(results, evaluation_view(results)) for results in evaluations])


def evaluation_view(results: EvaluationResults) -> EvaluationView:
    """Returns the parts of the report on an evaluation."""
    pictures = evaluation_pictures(results)
    parts = [] if results.decisions is None else [_decisions_part(results.decisions, pictures)]
    parts.append(_grades_part(results, pictures))
    if "roc" in pictures:
        parts.append(_screening_part(results, pictures))
    if "reliability" in pictures:
        parts.append(_certainty_part(results, pictures))
    if results.subgroups:
        text = "The same metrics for parts of the photographs: good metrics overall can hide a camera that fails."
        parts.append(ReportPart("Subgroups", text, tables=[subgroups_table(results)]))
    parts.append(ReportPart("All metrics", tables=[metrics_table(results)]))
    if results.context.folds is not None:
        text = (
            "Each fold's network on the photographs that it didn't learn from. The spread over the folds holds that of "
            "the photographs and that of the training; the other metrics on this page are of all photographs together, "
            "each predicted out of fold."
        )
        parts.append(ReportPart("Folds", text, [pictures["fold_curves"]], [folds_table(results.context.folds)]))
    if "training_curves" in pictures:
        parts.append(ReportPart("Training", pictures=[pictures["training_curves"]]))
    by_reason = groupby(results.context.examples, key=lambda example: example.reason)
    return EvaluationView(_headlines(results), parts, [(reason, list(examples)) for reason, examples in by_reason])


def _render(title: str, evaluations: Sequence[tuple[EvaluationResults, EvaluationView]]) -> str:
    return render_page(
        "evaluation/report/report.html.j2",
        title=title,
        evaluations=evaluations,
        side_by_side=_side_by_side([results for results, _ in evaluations]),
        grades=list(Grade),
    )


def _side_by_side(evaluations: Sequence[EvaluationResults]) -> TextTable:
    rows = [
        (label, *(metric_text(results, name) for results in evaluations))
        for name, label in METRIC_LABELS.items()
        if any(name in results.metrics for results in evaluations)
    ]
    return TextTable("Side by side", ("", *(results.context.name for results in evaluations)), rows)


def _headlines(results: EvaluationResults) -> list[HeadlineMetric]:
    def headline(name: str, label: str, note: str) -> HeadlineMetric:
        value, interval = results.metrics[name], results.intervals.get(name)
        return HeadlineMetric(label, format_metric(value), interval_text(interval), note)

    majority = format_metric(results.metrics["majority_baseline"])
    headlines = [
        headline("quadratic_weighted_kappa", "Agreement with the grades (QWK)", "0 is chance, 1 perfect agreement."),
        headline("accuracy", "Photographs with the right grade", f"Always the most frequent grade: {majority}."),
        headline("referable_auc", "Ranking of referable retinopathy (AUC)", "0.5 is chance, 1 perfect."),
    ]
    if results.decisions is not None and (used := as_used(results.decisions)) is not None:
        return headlines + _decision_headlines(used)
    applied = results.applied_calibration
    point = next((one for one in applied.operating_points if one.task == "referable"), None) if applied else None
    for name, meaning in (
        ("sensitivity", "Share of the photographs with referable retinopathy that are positive."),
        ("specificity", "Share of the photographs without referable retinopathy that are negative."),
    ):
        label = f"Referable: {name}"
        if point is None:
            headlines.append(headline(f"referable_{name}", label, f"{meaning} By the most probable grade."))
        else:
            note = f"{meaning} At a threshold that other photographs chose ({rule_text(point.point)})."
            ends = interval_text(point.intervals[name])
            headlines.append(HeadlineMetric(label, format_metric(point.metrics[name]), ends, note))
    return headlines


def _decision_headlines(outcome: Outcome) -> list[HeadlineMetric]:
    meanings = {
        "sensitivity": f"Share of the {outcome.unit}s with referable disease that are referred.",
        "specificity": f"Share of the {outcome.unit}s without it that are not referred.",
    }
    return [
        HeadlineMetric(
            f"Referral by {outcome.unit}: {name}",
            format_metric(outcome.metrics[name]),
            interval_text(outcome.intervals.get(name)),
            f"{meaning} By the grader's decision; refused photographs are referred.",
        )
        for name, meaning in meanings.items()
    ]


def _decisions_part(decisions: DecisionResults, pictures: dict[str, Picture]) -> ReportPart:
    text = (
        "The decisions in the table of results, as a programme uses them. Refused photographs have no grade; they "
        "count as referred, as not referred, or are left out. "
    )
    by_patient = "A patient is referred if any photograph is, and labelled referable if any photograph is. "
    return ReportPart(
        "Decisions, as used",
        text + by_patient * ("patient" in decisions.units) + " ".join(decisions_notes(decisions)),
        [picture for name, picture in pictures.items() if name.startswith("decision_curve")],
        decisions_tables(decisions),
    )


def _grades_part(results: EvaluationResults, pictures: dict[str, Picture]) -> ReportPart:
    return ReportPart(
        "Grades",
        "Rows are grades, columns are predicted grades. A good network has its counts on the diagonal or beside it.",
        [pictures["confusion_matrix"], pictures["grades"]],
        [grades_table(results)],
    )


def _screening_part(results: EvaluationResults, pictures: dict[str, Picture]) -> ReportPart:
    applied = results.applied_calibration
    if applied is None:
        text = (
            "No thresholds were given; “retinagrade calibrate” chooses them on validation predictions. The marked "
            "point uses the most probable grade."
        )
    else:
        source = applied.calibration.source
        text = (
            f"The thresholds were chosen on {source.photographs} other photographs ({source.file}), and are unchanged."
        )
    tables = [operating_points_table(applied)] if applied is not None and applied.operating_points else []
    return ReportPart("Screening", text, [pictures["roc"], pictures["precision_recall"]], tables)


def _certainty_part(results: EvaluationResults, pictures: dict[str, Picture]) -> ReportPart:
    applied = results.applied_calibration
    tables = []
    if applied is not None:
        tables = [probabilities_table(results, applied), prediction_sets_table(applied)]
        tables += [review_table(applied)] if applied.review_thresholds else []
    return ReportPart(
        "Certainty",
        "A probability of 0.8 should be right for eight of ten photographs. If it is, a person can review the "
        "uncertain photographs.",
        [pictures["reliability"], pictures["risk_coverage"]],
        tables,
    )
