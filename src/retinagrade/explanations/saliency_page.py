"""The page of saliency maps, and the files beside it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from retinagrade.evaluation.report.plots import figure_png
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.explanations.explanations import PhotographExplanation
from retinagrade.explanations.overlay import add_colour_scale, encode_jpeg, grey_png, page_thumbnail
from retinagrade.explanations.saliency_record import (
    ExplanationRecord,
    NetworkRecord,
    PhotographRecord,
    SquareRecord,
)
from retinagrade.explanations.scores import TARGETS, Target, target_name
from retinagrade.explanations.style import DrawingStyle
from retinagrade.images.read import read_photograph
from retinagrade.pages.page import render_page
from retinagrade.provenance import provenance_record
from retinagrade.storage.files import write_bytes, write_json, write_text

_CAUTION: Final = "Shows where the score is sensitive. No evidence of reasoning; not a medical device."


def write_saliency(
    out: Path,
    explanations: Mapping[str, Sequence[PhotographExplanation]],
    method: str,
    layer: str | None,
    failures: Mapping[str, str],
    style: DrawingStyle,
    progress: Progress | None = None,
) -> Path:
    """Writes ``explanation.html``, ``explanation.json``, overlays and maps, and with several runs ``networks.png``.

    Overlays, and ``networks``, have the format of the style.

    Args:
        out: The folder to write to.
        explanations: One explanation per run, by name of the photograph.
        method: The method of the maps.
        layer: The layer of a class activation map; ``None`` for the last one.
        failures: Reasons why photographs could not be used, by photograph.
        style: The look of overlays and figures.
        progress: Receives reports of progress; ``None`` for none.

    Returns:
        The page.
    """
    records: dict[str, PhotographRecord] = {}
    sections = []
    step = begin_stage(progress, "drawing saliency maps", len(explanations))
    for name, by_run in explanations.items():
        records[name] = _write_photograph(out / name, by_run, method, style)
        sections.append(_section(name, by_run, style))
        step()
    several = any(len(by_run) > 1 for by_run in explanations.values())
    figure = plot_networks(explanations, style) if several else None
    if figure is not None:
        suffix, encoded = style.encode_figure(figure)
        write_bytes(out / f"networks{suffix}", encoded)
    record = ExplanationRecord(
        method=method,
        layer=layer,
        style=style,
        photographs=records,
        failures=dict(failures),
        **provenance_record(),
    )
    write_json(out / "explanation.json", record.model_dump(mode="json"))
    count = len(explanations)
    page = render_page(
        "explanations/explanation.html.j2",
        title=f"Explanations of {count} photographs" if count > 1 else f"Explanation of {next(iter(explanations))}",
        method=method,
        layer=layer,
        sections=sections,
        targets={target: target_name(target) for target in TARGETS},
        failures=failures,
        figure=None if figure is None else figure_png(figure),
    )
    write_text(out / "explanation.html", page)
    return out / "explanation.html"


def plot_networks(explanations: Mapping[str, Sequence[PhotographExplanation]], style: DrawingStyle) -> Figure:
    """Plots photographs beside the saliency maps of several networks, each for the grade that the network predicts.

    Args:
        explanations: One explanation per run, by name of the photograph; at least one of each.
        style: The look.
    """
    columns = 1 + len(next(iter(explanations.values())))
    figure = Figure(figsize=(2.7 * columns, 2.2 * len(explanations) + 0.6), layout="constrained")
    panels = figure.subplots(len(explanations), columns, squeeze=False)
    for row, (name, by_run) in zip(panels, explanations.items(), strict=True):
        grade = by_run[0].photograph.grade
        row[0].imshow(page_thumbnail(read_photograph(by_run[0].photograph.file)))
        row[0].set_title(name if grade is None else f"{name}: {grade.value} {grade.label}", fontsize=8)
        for axes, explanation in zip(row[1:], by_run, strict=True):
            predicted = explanation.predicted
            thumbnail = page_thumbnail(read_photograph(explanation.photograph.file))
            axes.imshow(explanation.draw(thumbnail, predicted.value, style).overlay)
            probability = explanation.probabilities[predicted]
            title = f"{explanation.network}: {predicted.value} {predicted.label} ({probability:.2f})"
            axes.set_title(title, fontsize=8)
        for axes in row:
            axes.axis("off")
    if not style.plain:
        figure.supxlabel(_CAUTION, fontsize=8)
    return figure


def _file_name(target: Target) -> str:
    return target if target == "referable" else f"grade-{target}"


def _write_photograph(
    folder: Path, explanations: Sequence[PhotographExplanation], method: str, style: DrawingStyle
) -> PhotographRecord:
    """Writes the files of one photograph, and returns its entry in ``explanation.json``."""
    networks = {}
    for explanation in explanations:
        photograph = read_photograph(explanation.photograph.file)
        scale_maxima = {}
        for target in TARGETS:
            path = folder / explanation.network / f"{_file_name(target)}.{style.format}"
            drawn = explanation.draw(photograph, target, style)
            scale_maxima[_file_name(target)] = drawn.maximum
            caption = f"{explanation.network}, {method}: {target_name(target)}. {_CAUTION}"
            whole = drawn.overlay if style.plain else add_colour_scale(drawn.overlay, drawn.maximum, style, caption)
            write_bytes(path, style.encode_overlay(whole))
            write_bytes(path.with_suffix(".png"), grey_png(drawn.saliency, drawn.maximum))
            stream = io.BytesIO()
            np.save(stream, explanation.map_of(target))
            write_bytes(path.with_suffix(".npy"), stream.getvalue())
        place = explanation.photograph.placement.enlarged(photograph.shape[1] / explanation.photograph.width)
        networks[explanation.network] = NetworkRecord(
            probabilities=tuple(explanation.probabilities.tolist()),
            predicted_grade=explanation.predicted.value,
            square=SquareRecord(left=place.left, top=place.top, width=place.width, height=place.height),
            scale_maxima=scale_maxima,
        )
    file, grade = explanations[0].photograph.file, explanations[0].photograph.grade
    return PhotographRecord(file=str(file), grade=None if grade is None else grade.value, networks=networks)


def _section(name: str, explanations: Sequence[PhotographExplanation], style: DrawingStyle) -> dict[str, Any]:
    """The section of one photograph on the page."""
    rows = []
    for explanation in explanations:
        photograph = page_thumbnail(read_photograph(explanation.photograph.file))
        overlays = {}
        for target in TARGETS:
            drawn = explanation.draw(photograph, target, style)
            overlays[target] = encode_jpeg(add_colour_scale(drawn.overlay, drawn.maximum, style))
        rows.append(
            {
                "explanation": explanation,
                "photograph": encode_jpeg(photograph),
                "overlays": overlays,
                "map_size": " × ".join(map(str, explanation.saliency.shape[1:])),
            }
        )
    return {"name": name, "photograph": explanations[0].photograph, "rows": rows}
