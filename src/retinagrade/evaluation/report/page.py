"""The report: one self-contained HTML page that a clinician understands, with every figure and picture inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from retinagrade.evaluation.curves import Curve, precision_recall, reliability, roc
from retinagrade.evaluation.evaluate import Evaluation
from retinagrade.evaluation.fitting.application import AppliedCalibration
from retinagrade.evaluation.fitting.selective import risk_coverage
from retinagrade.evaluation.intervals import Interval
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.named_metrics import TASKS
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.report import plots
from retinagrade.evaluation.report.examples import Example
from retinagrade.evaluation.report.plots import MarkedPoint
from retinagrade.evaluation.report.tables import (
    NAMES,
    TextTable,
    grades_table,
    interval_text,
    metrics_table,
    operating_points_table,
    probabilities_table,
    referral_table,
    rule_text,
    sets_table,
    subgroups_table,
    with_interval,
)
from retinagrade.files import sha256, write_bytes, write_json, write_text
from retinagrade.grades import Grade
from retinagrade.pages.page import format_metric, render_page
from retinagrade.provenance import provenance_record


@dataclass(frozen=True)
class ReportSection:
    """One network, or one table of predictions.

    Attributes:
        name: Its heading.
        evaluation: Its figures.
        about: One line on what was evaluated: network, data, split.
        history: A run's history, for training curves.
        examples: Photographs to show.
        loss: Which loss is in the history.
        sources: The files that were evaluated, with their digests.
    """

    name: str
    evaluation: Evaluation
    about: str = ""
    history: pd.DataFrame | None = None
    examples: Sequence[Example] = field(default_factory=tuple)
    loss: str = "cross-entropy"
    sources: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """One figure: the name of its file without suffix, what it shows, and itself."""

    name: str
    caption: str
    figure: Figure

    @cached_property
    def png(self) -> bytes:
        """The figure as PNG."""
        return plots.figure_png(self.figure)


@dataclass(frozen=True)
class HeadlineMetric:
    """A figure that is read first, with its interval and what it means."""

    name: str
    value: str
    interval: str
    note: str


@dataclass(frozen=True)
class SectionPart:
    """A part of a section: its heading, what to know, pictures and tables."""

    title: str
    says: str = ""
    pictures: Sequence[Picture] = ()
    tables: Sequence[TextTable] = ()


@dataclass(frozen=True)
class SectionView:
    """A section as the page shows it."""

    cards: list[HeadlineMetric]
    parts: list[SectionPart]
    examples: list[tuple[str, list[Example]]]

    @property
    def pictures(self) -> list[Picture]:
        """All pictures, first to last."""
        return [picture for part in self.parts for picture in part.pictures]


def file_digests(files: Sequence[Path]) -> dict[str, str]:
    """Digests of files, by their paths."""
    return {str(path): sha256(path) for path in files}


def write_evaluation(folder: Path, section: ReportSection) -> Path:
    """Writes one evaluation: ``report.html``, ``metrics.json``, its pictures as PNG and SVG, and ``run.json``.

    Args:
        folder: Where to write; made where it is missing.
        section: What to write.

    Returns:
        The page.
    """
    view = section_view(section)
    write_json(folder / "metrics.json", section.evaluation.to_json())
    write_json(folder / "run.json", {"sources": section.sources, **provenance_record()})
    for picture in view.pictures:
        write_bytes(folder / f"{picture.name}.png", picture.png)
        write_bytes(folder / f"{picture.name}.svg", plots.figure_svg(picture.figure))
    write_text(folder / "report.html", _page(f"Evaluation of {section.name}", [(section, view)]))
    return folder / "report.html"


def render_report(title: str, sections: Sequence[ReportSection]) -> str:
    """Renders the page.

    Args:
        title: Its heading.
        sections: What it shows, one after the other; two or more are compared in a table first.

    Returns:
        HTML without a reference to any other file or server.
    """
    return _page(title, [(section, section_view(section)) for section in sections])


def section_view(section: ReportSection) -> SectionView:
    """What the page shows of a section."""
    evaluation = section.evaluation
    parts = [_grades(evaluation)]
    if (photographs := evaluation.graded) is not None:
        parts += [*_screening(evaluation, photographs), _certainty(evaluation, photographs)]
    if evaluation.subgroups:
        says = "The same figures for parts of the photographs: good figures overall can hide a camera that fails."
        parts.append(SectionPart("Subgroups", says, tables=[subgroups_table(evaluation)]))
    parts.append(SectionPart("All figures", tables=[metrics_table(evaluation)]))
    if section.history is not None:
        curves = plots.training_curves(section.history, section.loss)
        caption = "Training; the weights of the marked epoch were kept."
        parts.append(SectionPart("Training", pictures=[Picture("curves", caption, curves)]))
    examples = [(why, list(some)) for why, some in groupby(section.examples, key=lambda example: example.why)]
    return SectionView(_cards(evaluation), parts, examples)


def _page(title: str, sections: Sequence[tuple[ReportSection, SectionView]]) -> str:
    return render_page(
        "evaluation/report/report.html.j2",
        title=title,
        sections=sections,
        side_by_side=_side_by_side([section for section, _ in sections]),
        grades=list(Grade),
    )


def _side_by_side(sections: Sequence[ReportSection]) -> TextTable:
    rows = [
        (label, *(with_interval(of.figures[name], of.intervals.get(name)) for of in (s.evaluation for s in sections)))
        for name, label in NAMES.items()
    ]
    return TextTable("Side by side", ("", *(section.name for section in sections)), rows)


def _cards(evaluation: Evaluation) -> list[HeadlineMetric]:
    def card(name: str, label: str, note: str) -> HeadlineMetric:
        value = evaluation.figures[name]
        return HeadlineMetric(label, format_metric(value), interval_text(evaluation.intervals.get(name)), note)

    cards = [
        card("quadratic_weighted_kappa", "Agreement with the grades (QWK)", "0 is chance, 1 perfect agreement."),
        card(
            "accuracy",
            "Photographs with the right grade",
            f"Always giving the most frequent grade: {format_metric(evaluation.figures['majority_baseline'])}.",
        ),
        card("referable_auc", "Ranking of referable retinopathy (AUC)", "0.5 is chance, 1 perfect."),
    ]
    applied = evaluation.applied
    decision = next((one for one in applied.decisions if one.task == "referable"), None) if applied else None
    for name, says in (
        ("sensitivity", "The share of photographs with referable retinopathy that is found."),
        ("specificity", "The share of the others that is rightly left alone."),
    ):
        label = f"Referable: {name}"
        if decision is None:
            cards.append(card(f"referable_{name}", label, f"{says} By the most probable grade; no threshold is set."))
        else:
            ends = interval_text(decision.intervals[name])
            note = f"{says} At the threshold chosen on other photographs ({rule_text(decision.point)})."
            cards.append(HeadlineMetric(label, format_metric(decision.figures[name]), ends, note))
    return cards


def _grades(evaluation: Evaluation) -> SectionPart:
    shares = {
        label: [
            _with_ends(evaluation.figures[f"grade_{grade}_{name}"], evaluation.intervals.get(f"grade_{grade}_{name}"))
            for grade in range(len(Grade))
        ]
        for name, label in (("recall", "sensitivity (recall)"), ("precision", "precision"))
    }
    return SectionPart(
        "Grades",
        "Rows are grades, columns what was given; a good network has its numbers on the diagonal or beside it.",
        [
            Picture(
                "confusion_matrix",
                "Counts, and their share of the row.",
                plots.confusion_matrix_plot(evaluation.matrix),
            ),
            Picture(
                "grades",
                "Of the photographs of a grade, how many were given it (sensitivity); of those given it, how many have "
                "it (precision).",
                plots.grades_plot(shares, evaluation.support),
            ),
        ],
        [grades_table(evaluation)],
    )


def _screening(evaluation: Evaluation, photographs: GradedPredictions) -> list[SectionPart]:
    applied = evaluation.applied
    curves: dict[str, Curve] = {}
    for task in TASKS:
        try:
            curves[task] = roc(photographs, task)
        except Undefined:
            continue
    if not curves:
        return []
    areas = {
        task: with_interval(evaluation.figures[f"{task}_auc"], evaluation.intervals.get(f"{task}_auc"))
        for task in curves
    }
    precision = {task: precision_recall(photographs, task) for task in curves}
    prevalence = {task: float((photographs.grades >= TASKS[task]).mean()) for task in curves}
    pictures = [
        Picture(
            "roc",
            "Sensitivity against false alarms. Hollow marks are published systems, each measured on its own patients "
            "with its own reference: for orientation only.",
            plots.roc_plot(curves, areas, {task: _points(evaluation, applied, task) for task in curves}),
        ),
        Picture(
            "precision_recall",
            "Of the photographs called diseased, the share that is, for every share of the diseased that is found.",
            plots.precision_recall_plot(precision, prevalence),
        ),
    ]
    tables = [operating_points_table(applied)] if applied is not None and applied.decisions else []
    says = (
        "No thresholds were given: “retinagrade calibrate” chooses them on validation predictions. The marked point is "
        "that of the most probable grade."
        if applied is None
        else f"Thresholds were chosen on {applied.fitted.source.photographs} other photographs "
        f"({applied.fitted.source.file}) and are applied unchanged."
    )
    return [SectionPart("Screening", says, pictures, tables)]


def _points(evaluation: Evaluation, applied: AppliedCalibration | None, task: str) -> list[MarkedPoint]:
    """The point that decides, as it is on these photographs."""
    if applied is None:
        values, name = (
            [evaluation.figures[f"{task}_{kind}"] for kind in ("sensitivity", "specificity")],
            "most probable grade",
        )
    else:
        decision = next((one for one in applied.decisions if one.task == task), None)
        if decision is None:
            return []
        values, name = [decision.figures[kind] for kind in ("sensitivity", "specificity")], rule_text(decision.point)
    sensitivity, specificity = values
    return (
        [] if sensitivity is None or specificity is None else [MarkedPoint(name, sensitivity, specificity, ours=True)]
    )


def _certainty(evaluation: Evaluation, photographs: GradedPredictions) -> SectionPart:
    applied = evaluation.applied
    bins = {"as predicted": reliability(photographs)}
    shown = photographs
    kept = None
    tables = []
    if applied is not None:
        shown = applied.calibrated
        bins = {"calibrated": reliability(shown), **bins}
        tables = [probabilities_table(evaluation, applied), sets_table(applied)]
        if applied.referred:
            tables.append(referral_table(applied))
            kept = 1 - applied.referred[0].referred
    risk = risk_coverage(shown)
    curves = {
        "wrong grade": Curve(risk.coverage, risk.error),
        "off by two or more": Curve(risk.coverage, risk.far_off),
    }
    return SectionPart(
        "Certainty",
        "A probability of 0.8 should be right in eight of ten photographs. Where it is, the uncertain ones can go to a "
        "person.",
        [
            Picture("reliability", "On the dotted line, confidence is what it says.", plots.reliability_plot(bins)),
            Picture(
                "risk_coverage",
                "What is left to go wrong when the least certain photographs go to a person; area under the curve of "
                f"wrong grades {risk.area:.3f}.",
                plots.risk_coverage_plot(curves, kept),
            ),
        ],
        tables,
    )


def _with_ends(value: float | None, interval: Interval | None) -> tuple[float, float, float] | None:
    if value is None:
        return None
    return (value, value, value) if interval is None else (value, interval.low, interval.high)
