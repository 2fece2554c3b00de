"""An evaluation as tables for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from retinagrade.evaluation.evaluate import SHARES, Evaluation
from retinagrade.grades import N_GRADES, Grade
from retinagrade.pages import figure

NAMES = {
    "accuracy": "accuracy",
    "majority_baseline": "  always the most frequent grade",
    "chance_accuracy": "  by chance, with these predictions",
    "quadratic_weighted_kappa": "quadratic weighted kappa",
    "balanced_accuracy": "balanced accuracy",
    "macro_auc": "macro AUC, one grade against the rest",
    "referable_auc": "referable AUC",
}
"""What people call the figures, in the order to read them."""


def evaluation_tables(evaluation: Evaluation) -> RenderableType:
    """All figures of an evaluation, its confusion matrix and its findings."""
    figures = Table("figure", "value", title=f"{evaluation.photographs} photographs")
    for key, name in NAMES.items():
        figures.add_row(name, figure(evaluation.figures[key]))
    if evaluation.independence is not None:
        figures.add_row("independence of the grades, p", f"{evaluation.independence.p_value:.2g}")
        figures.add_row("  strength of association, Cramér's V", figure(evaluation.independence.cramers_v))
    grades = Table("grade", *(f"given {grade}" for grade in range(N_GRADES)), *SHARES, "support")
    for grade, row, counts in zip(Grade, evaluation.per_grade, evaluation.matrix, strict=True):
        cells = [*map(str, counts), *(figure(row[name]) for name in SHARES), str(row["support"])]
        grades.add_row(f"{grade.value} {grade.label}", *cells)
    for kind, shares in evaluation.averages.items():
        cells = [*[""] * N_GRADES, *(figure(shares[name]) for name in SHARES), str(evaluation.photographs)]
        grades.add_row(kind, *cells)
    parts: list[RenderableType] = [figures, grades]
    if evaluation.ungraded:
        parts.append(Text(f"{evaluation.ungraded} photographs without a grade were left out"))
    parts += [Text(f"attention: {finding.message}", style="bold red") for finding in evaluation.findings]
    parts += [Text(f"undefined: {name}: {why}", style="dim") for name, why in evaluation.undefined.items()]
    return Group(*parts)
