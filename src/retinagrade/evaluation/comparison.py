"""Networks side by side on the same photographs: the metrics of each, and their differences from the first."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from retinagrade.evaluation.evaluate import Evaluation, evaluate_predictions
from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.metrics import Undefined, disease_scores
from retinagrade.evaluation.named_metrics import TASKS
from retinagrade.evaluation.paired import (
    COMPARED_METRICS,
    DeLongTest,
    Difference,
    delong_test,
    paired_differences,
)
from retinagrade.evaluation.predictions import GradedPredictions, graded_predictions
from retinagrade.evaluation.report.plots import differences_plot, figure_png, figure_svg
from retinagrade.evaluation.report.tables import METRIC_LABELS, TextTable, interval_text, metric_text, tables_html
from retinagrade.evaluation.resampling import RESAMPLES
from retinagrade.evaluation.results import EvaluationContext
from retinagrade.pages.page import format_metric, render_page
from retinagrade.provenance import provenance_record
from retinagrade.storage.files import write_bytes, write_json, write_text
from retinagrade.storage.output_guard import FOLDER_RECORD, describe_origin, folder_output, guard_outputs

_COMMAND: Final = "compare"


@dataclass(frozen=True)
class ComparisonRecord:
    """``comparison.json``: networks on the same photographs.

    Attributes:
        first: Name of the network that all others are compared with.
        evaluations: The evaluation of each network, by its name, with the fields of ``metrics.json``.
        differences: Differences of each other network from the first, by the names of network and metric; ``first`` is
            the metric of the other network, and ``second`` that of the first one.
        delong: DeLong's tests of differences between areas under ROC curves, by the names of network and task
            (``referable`` or ``vision_threatening``). A network has none where patients have several photographs. A
            task is left out where its test is undefined.
    """

    first: str
    evaluations: dict[str, dict[str, Any]]
    differences: dict[str, dict[str, Difference]]
    delong: dict[str, dict[str, DeLongTest]]


@dataclass(frozen=True, repr=False)
class NetworkComparison:
    """Networks on the same photographs.

    Attributes:
        evaluations: The evaluation of each network, by its name; the others are compared with the first.
        differences: Differences of each other network from the first, by the names of network and metric.
        delong: DeLong's tests of these differences, by the names of network and task; empty if patients have several
            photographs.
        sources: SHA-256 digests of the compared files, by path.
        inputs: The files that identify the comparison; none for data in memory.
    """

    evaluations: dict[str, Evaluation]
    differences: dict[str, dict[str, Difference]]
    delong: dict[str, dict[str, DeLongTest]]
    sources: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Path, ...] = ()

    def __repr__(self) -> str:
        """Returns the quadratic weighted kappa of each network, and the differences from the first."""
        name = "quadratic_weighted_kappa"
        lines = [f"Comparison of {len(self.evaluations)} networks by quadratic weighted kappa"]
        for network, evaluation in self.evaluations.items():
            line = f"  {network}: {metric_text(evaluation, name)}"
            difference = self.differences.get(network, {}).get(name)
            if difference is not None and difference.difference is not None:
                ends = interval_text(difference.interval)
                line += f"; difference {difference.difference:+.3f}" + (f" ({ends})" if ends else "")
            lines.append(line)
        lines += [f"  finding: {name}: {finding.text}" for name, finding in self.findings]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Returns the tables of metrics and differences, for notebooks."""
        return tables_html(comparison_tables(self), [finding for _, finding in self.findings])

    @property
    def first(self) -> str:
        """Name of the network that the others are compared with."""
        return next(iter(self.evaluations))

    @property
    def findings(self) -> list[tuple[str, Finding]]:
        """Findings of the integrity checks, each after the name of its network."""
        return [(name, finding) for name, one in self.evaluations.items() for finding in one.findings]

    def plot(self) -> Figure:
        """Draws the differences from the first network, with their intervals."""
        return differences_plot(self.first, self.differences)

    def to_json(self) -> dict[str, Any]:
        """Returns the content of ``comparison.json``."""
        evaluations = {name: evaluation.to_json() for name, evaluation in self.evaluations.items()}
        return asdict(ComparisonRecord(self.first, evaluations, self.differences, self.delong))

    def write(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Writes ``comparison.html``, ``comparison.json``, the picture as PNG and SVG, and ``run.json``.

        Args:
            folder: The folder to write to; it is made if it is missing.
            overwrite: Whether the folder may hold other files, which are replaced where they have the same names.

        Returns:
            The path of ``comparison.html``.

        Raises:
            UsageError: As for :func:`guard_comparison`.
        """
        folder = Path(folder)
        guard_comparison(folder, self.inputs, self.inputs, overwrite)
        figure = self.plot()
        picture = figure_png(figure)
        origin = describe_origin(_COMMAND, self.inputs, folder)
        write_json(folder / FOLDER_RECORD, origin | {"sources": dict(self.sources), **provenance_record()})
        write_json(folder / "comparison.json", self.to_json())
        write_bytes(folder / "differences.png", picture)
        write_bytes(folder / "differences.svg", figure_svg(figure))
        others = len(self.differences)
        page = render_page(
            "evaluation/report/comparison.html.j2",
            title=f"{self.first} and {others} more" if others > 1 else " and ".join(self.evaluations),
            comparison=self,
            tables=comparison_tables(self),
            picture=picture,
        )
        write_text(folder / "comparison.html", page)
        return folder / "comparison.html"


def guard_comparison(folder: Path, identity: Sequence[Path], inputs: Sequence[Path], overwrite: bool = False) -> None:
    """Checks, before any work, that a comparison can be written to a folder.

    Args:
        folder: The folder.
        identity: The files that identify the comparison.
        inputs: All files and folders that the user named.
        overwrite: Whether the folder may hold other files.

    Raises:
        UsageError: The folder is, holds or lies in an input, or holds files that are no earlier comparison of the same
            files.
    """
    guard_outputs([folder_output(folder, _COMMAND, identity)], inputs, overwrite)


def compare_predictions(
    tables: Mapping[str, pd.DataFrame],
    *,
    findings: Mapping[str, Sequence[Finding]] | None = None,
    inputs: Sequence[Path] = (),
    sources: Mapping[str, str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> NetworkComparison:
    """Compares networks by their predictions of the same photographs.

    Args:
        tables: Predictions of two or more networks, by name; columns as for
            :func:`~retinagrade.evaluation.evaluate.evaluate_predictions`.
        findings: Findings of the integrity checks by network, if the caller has run them with more information than the
            tables have.
        inputs: The files that identify the comparison; none for data in memory.
        sources: SHA-256 digests of all files that were read, by path.
        resamples: Number of resamples of patients, the same resamples for all networks.
        seed: Seed of the resamples.

    Raises:
        JoinError: The tables don't have the same photographs, or a photograph has different grades.
    """
    predictions = {name: graded_predictions(table) for name, table in tables.items()}
    first, *others = tables
    differences = {
        name: paired_differences(predictions[name], predictions[first], resamples=resamples, seed=seed)
        for name in others
    }
    evaluations = {
        name: evaluate_predictions(
            table,
            findings=(findings or {}).get(name),
            resamples=resamples,
            seed=seed,
            context=EvaluationContext(name),
        )
        for name, table in tables.items()
    }
    tests = {name: _delong_tests(predictions[name], predictions[first]) for name in others}
    return NetworkComparison(evaluations, differences, tests, dict(sources or {}), tuple(inputs))


def comparison_tables(comparison: NetworkComparison) -> list[TextTable]:
    """Returns the metrics side by side, and the differences from the first network."""
    return [_metrics_table(comparison), _differences_table(comparison)]


def _metrics_table(comparison: NetworkComparison) -> TextTable:
    shown = (*COMPARED_METRICS, "log_loss")
    first = comparison.evaluations[comparison.first]
    rows = [
        (network, *(metric_text(evaluation, name) for name in shown))
        for network, evaluation in comparison.evaluations.items()
    ]
    return TextTable(
        f"{first.photographs} photographs, with 95 % intervals",
        ("", *(METRIC_LABELS[name].strip() for name in shown)),
        rows,
        f"The most frequent grade alone has an accuracy of {format_metric(first.metrics['majority_baseline'])}.",
    )


def _differences_table(comparison: NetworkComparison) -> TextTable:
    rows = []
    for network, differences in comparison.differences.items():
        for name, difference in differences.items():
            test = comparison.delong.get(network, {}).get(name.removesuffix("_auc"))
            rows.append(
                (
                    f"{network}: {METRIC_LABELS[name].strip()}",
                    "–" if difference.difference is None else f"{difference.difference:+.3f}",
                    interval_text(difference.interval) or difference.reason,
                    _p_value_text(difference.p_value),
                    "" if test is None else _p_value_text(test.p_value),
                )
            )
    note = (
        "All networks use the same resamples of patients. Among many comparisons, some are significant by chance; "
        "decide before the comparison which difference matters."
    )
    head = ("", "difference", "95 % interval", "p", "p, DeLong")
    return TextTable(f"Differences from {comparison.first}", head, rows, note)


def _delong_tests(network: GradedPredictions, first: GradedPredictions) -> dict[str, DeLongTest]:
    if min(len(np.unique(part.patients)) for part in (network, first)) < len(network):
        return {}
    tests = {}
    for task, grade in TASKS.items():
        try:
            truths, scores = disease_scores(network.grades, network.probabilities, grade)
            first_scores = disease_scores(first.grades, first.probabilities, grade)[1]
            tests[task] = delong_test(truths, scores, first_scores)
        except Undefined:
            continue
    return tests


def _p_value_text(value: float | None) -> str:
    if value is None:
        return format_metric(value)
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
