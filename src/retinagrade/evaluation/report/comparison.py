"""Networks side by side, on the same photographs: each one's figures, and how far each is from the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retinagrade.evaluation.evaluate import Evaluation, evaluate_predictions
from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.intervals import RESAMPLES
from retinagrade.evaluation.metrics import Undefined, disease
from retinagrade.evaluation.named_metrics import TASKS
from retinagrade.evaluation.paired import COMPARED, DeLong, Difference, delong, paired_differences
from retinagrade.evaluation.predictions import GradedPredictions, graded_predictions
from retinagrade.evaluation.report.plots import differences_plot, figure_png, figure_svg
from retinagrade.evaluation.report.tables import NAMES, TextTable, interval_text, with_interval
from retinagrade.files import write_bytes, write_json, write_text
from retinagrade.pages.page import format_metric, render_page
from retinagrade.provenance import provenance_record


@dataclass(frozen=True)
class NetworkComparison:
    """Networks on the same photographs.

    Attributes:
        evaluations: Each one's figures, by its name; the first is what the others are compared with.
        differences: Of every other one, by figure: it less the first.
        delong: DeLong's test of its areas less the first's, by task; empty where patients have several photographs.
    """

    evaluations: dict[str, Evaluation]
    differences: dict[str, dict[str, Difference]]
    delong: dict[str, dict[str, DeLong]]

    @property
    def first(self) -> str:
        """The name of what the others are compared with."""
        return next(iter(self.evaluations))

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "first": self.first,
            "evaluations": {name: evaluation.to_json() for name, evaluation in self.evaluations.items()},
            "differences": {
                name: {figure: asdict(difference) for figure, difference in row.items()}
                for name, row in self.differences.items()
            },
            "delong": {name: {task: asdict(test) for task, test in row.items()} for name, row in self.delong.items()},
        }


def compare_predictions(
    tables: Mapping[str, pd.DataFrame],
    *,
    findings: Mapping[str, Sequence[Finding]] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> NetworkComparison:
    """Compares networks by their predictions of the same photographs.

    Args:
        tables: Predictions by the network's name, two or more; columns as for
            :func:`~retinagrade.evaluation.evaluate.evaluate_predictions`.
        findings: Of each, where more is known than the table; likewise.
        resamples: Resamples of patients, the same for all.
        seed: Of the resamples.

    Raises:
        JoinError: They are not of the same photographs, or these have other grades in another table.
    """
    photographs = {name: graded_predictions(table) for name, table in tables.items()}
    first, *others = tables
    differences = {
        name: paired_differences(photographs[name], photographs[first], resamples=resamples, seed=seed)
        for name in others
    }
    return NetworkComparison(
        {
            name: evaluate_predictions(table, findings=(findings or {}).get(name), resamples=resamples, seed=seed)
            for name, table in tables.items()
        },
        differences,
        {name: _delong(photographs[name], photographs[first]) for name in others},
    )


def _delong(one: GradedPredictions, first: GradedPredictions) -> dict[str, DeLong]:
    if min(len(np.unique(part.patients)) for part in (one, first)) < len(one):
        return {}
    found = {}
    for task, grade in TASKS.items():
        try:
            truths, ours = disease(one.grades, one.probabilities, grade)
            found[task] = delong(truths, ours, disease(first.grades, first.probabilities, grade)[1])
        except Undefined:
            continue
    return found


def comparison_tables(networks: NetworkComparison) -> list[TextTable]:
    """Figures side by side, and differences from the first."""
    shown = (*COMPARED, "log_loss")
    one = networks.evaluations[networks.first]
    figures = TextTable(
        f"{one.photographs} photographs, with 95 % intervals",
        ("", *(NAMES[name].strip() for name in shown)),
        [
            (network, *(with_interval(of.figures[name], of.intervals.get(name)) for name in shown))
            for network, of in networks.evaluations.items()
        ],
        f"Always giving the most frequent grade has an accuracy of {format_metric(one.figures['majority_baseline'])}.",
    )
    rows = []
    for name, row in networks.differences.items():
        for key, difference in row.items():
            test = networks.delong.get(name, {}).get(key.removesuffix("_auc"))
            rows.append(
                (
                    f"{name}: {NAMES[key].strip()}",
                    "–" if difference.difference is None else f"{difference.difference:+.3f}",
                    interval_text(difference.interval) or difference.reason,
                    _p(difference.p_value),
                    "" if test is None else _p(test.p_value),
                )
            )
    note = (
        "Both are seen on the same resamples of patients. Of many comparisons some are significant by chance; a "
        "difference that matters was stated before looking."
    )
    head = ("", "difference", "95 % interval", "p", "p, DeLong")
    return [figures, TextTable(f"Differences from {networks.first}", head, rows, note)]


def write_comparison(folder: Path, networks: NetworkComparison, sources: Mapping[str, str]) -> Path:
    """Writes ``comparison.html``, ``comparison.json``, the picture as PNG and SVG, and ``run.json``.

    Args:
        folder: Where to write; made where it is missing.
        networks: What to write.
        sources: The files that were compared, with their digests.

    Returns:
        The page.
    """
    picture = differences_plot(networks.first, networks.differences)
    write_json(folder / "comparison.json", networks.to_json())
    write_json(folder / "run.json", {"sources": dict(sources), **provenance_record()})
    write_bytes(folder / "differences.png", figure_png(picture))
    write_bytes(folder / "differences.svg", figure_svg(picture))
    page = render_page(
        "evaluation/report/comparison.html.j2",
        title=f"{networks.first} and {len(networks.differences)} more"
        if len(networks.differences) > 1
        else " and ".join(networks.evaluations),
        networks=networks,
        tables=comparison_tables(networks),
        picture=figure_png(picture),
        sources=sources,
    )
    write_text(folder / "comparison.html", page)
    return folder / "comparison.html"


def _p(value: float | None) -> str:
    if value is None:
        return format_metric(value)
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
