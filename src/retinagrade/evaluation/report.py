"""The report: one self-contained HTML page that a clinician understands, with every figure and picture inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from retinagrade.evaluation.evaluate import SHARES, Evaluation
from retinagrade.evaluation.examples import Example
from retinagrade.evaluation.plots import confusion_matrix_plot, figure_png, roc_plot, training_curves
from retinagrade.evaluation.tables import NAMES
from retinagrade.files import sha256, write_bytes, write_json, write_text
from retinagrade.grades import Grade
from retinagrade.pages import render_page
from retinagrade.provenance import stamp


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
    """

    name: str
    evaluation: Evaluation
    about: str = ""
    history: pd.DataFrame | None = None
    examples: Sequence[Example] = field(default_factory=tuple)
    loss: str = "cross-entropy"


@dataclass(frozen=True)
class Picture:
    """One figure: the name of its file without suffix, what it shows, and itself."""

    name: str
    caption: str
    figure: Figure

    @cached_property
    def png(self) -> bytes:
        """The figure as PNG."""
        return figure_png(self.figure)


def write_evaluation(folder: Path, section: ReportSection, sources: Sequence[Path]) -> Path:
    """Writes one evaluation: ``report.html``, ``evaluation.json``, its pictures as PNG, and ``run.json``.

    Args:
        folder: Where to write; made where it is missing.
        section: What to write.
        sources: The files that were evaluated, for their fingerprints in ``run.json``.

    Returns:
        The page.
    """
    write_json(folder / "evaluation.json", section.evaluation.to_json())
    write_json(folder / "run.json", {"sources": {str(path): sha256(path) for path in sources}, **stamp()})
    for picture in _pictures(section):
        write_bytes(folder / f"{picture.name}.png", picture.png)
    write_text(folder / "report.html", render_report(f"Evaluation of {section.name}", [section]))
    return folder / "report.html"


def render_report(title: str, sections: Sequence[ReportSection]) -> str:
    """Renders the page.

    Args:
        title: Its heading.
        sections: What it shows, one after the other; two or more are compared in a table first.

    Returns:
        HTML without a reference to any other file or server.
    """
    return render_page(
        "evaluation/report.html.j2",
        title=title,
        sections=[(section, _pictures(section)) for section in sections],
        figures=NAMES,
        shares=SHARES,
        grades=list(Grade),
    )


def _pictures(section: ReportSection) -> list[Picture]:
    evaluation = section.evaluation
    caption = "Rows are grades, columns what was given."
    pictures = [Picture("confusion_matrix", caption, confusion_matrix_plot(evaluation.matrix))]
    auc = evaluation.figures["referable_auc"]
    if evaluation.roc is not None and auc is not None:
        caption = "Finding referable retinopathy (moderate or worse)."
        pictures.append(Picture("roc", caption, roc_plot(evaluation.roc, auc)))
    if section.history is not None:
        caption = "Training; the epoch of the lowest validation loss was kept."
        pictures.append(Picture("curves", caption, training_curves(section.history, section.loss)))
    return pictures
