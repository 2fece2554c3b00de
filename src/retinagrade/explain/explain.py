"""Explain: maps of heat, or of layers, of photographs, by one network or several, as files and as one page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from retinagrade.evaluation.report.plots import figure_png
from retinagrade.execution.progress_bar import progress_bar
from retinagrade.explain.activations import SHOWN, layer_maps, layer_picture
from retinagrade.explain.explanations import PhotographExplanation, explain_photographs, prepare_inputs
from retinagrade.explain.overlay import add_colour_scale, encode_jpeg, grey_png, page_thumbnail
from retinagrade.explain.scores import TARGETS, Target, target_name
from retinagrade.files import short_names, write_bytes, write_json, write_text
from retinagrade.images.read import read_photograph
from retinagrade.pages.page import render_page
from retinagrade.provenance import provenance_record
from retinagrade.runs.run import Run
from retinagrade.training.checkpoints import load_network

_CAUTION: Final = "What the score is sensitive to. No evidence of reasoning; not a medical device."


@dataclass(frozen=True)
class Explanation:
    """What was made.

    Attributes:
        page: The page.
        photographs: Names of the photographs on it.
        failed: Those that could not be used, and why.
    """

    page: Path
    photographs: list[str]
    failed: dict[str, str]


def explain(
    runs: Sequence[Run], words: Sequence[str], out: Path, method: str = "gradcam", layer: str | None = None
) -> Explanation:
    """Explains what networks make of photographs, by maps of heat.

    Args:
        runs: Trained runs, at least one.
        words: Photographs: files, which are prepared as the run's were and drawn on whole, at their own resolution; or
            ids of the run's prepared set, which are drawn on as they were prepared.
        out: A folder for ``explanation.html``, ``explanation.json``, with several runs ``networks.png``, and for each
            photograph, run and target an overlay (``.jpg``), and the map at the photograph's resolution (``.png``, 16
            bits) and as the method gives it, over the square that the network saw (``.npy``, float32).
        method: One of :data:`~retinagrade.explain.saliency.METHODS`.
        layer: The layer of a class activation map, for one run.

    Returns:
        The page, and what could not be used.

    Raises:
        ImageError: Not one photograph could be used.
        UsageError: Unknown method; a layer for several runs.
        ExperimentError: No such layer, or a folder that is no run.
    """
    record: dict[str, Any] = {}
    shown = []
    with TemporaryDirectory() as scratch:
        seen, failed = prepare_inputs(runs, words, Path(scratch))
        views = explain_photographs(runs, seen, method, layer)
        with progress_bar("drawing", len(views)) as step:
            for name, by_network in views.items():
                record[name] = _write(out / name, by_network, method)
                shown.append(_shown(name, by_network))
                step()
        figure = figure_png(networks_figure(views)) if len(runs) > 1 else None
    if figure is not None:
        write_bytes(out / "networks.png", figure)
    about = {"method": method, "layer": layer, "photographs": record, "failed": failed}
    write_json(out / "explanation.json", {**about, **provenance_record()})
    count = len(views)
    page = render_page(
        "explain/explanation.html.j2",
        title=f"Explanations of {count} photographs" if count > 1 else f"Explanation of {next(iter(views))}",
        method=method,
        layer=layer,
        photographs=shown,
        targets={target: target_name(target) for target in TARGETS},
        failed=failed,
        figure=figure,
    )
    write_text(out / "explanation.html", page)
    return Explanation(out / "explanation.html", list(views), failed)


def show_activations(runs: Sequence[Run], words: Sequence[str], out: Path) -> Explanation:
    """Shows what every convolution and pooling layer of networks gives for photographs.

    Args:
        runs: Trained runs, at least one.
        words: Photographs, as for :func:`explain`.
        out: A folder for ``activations.html``, and in a folder for each photograph and run a picture a layer.

    Returns:
        The page, and what could not be used.

    Raises:
        ImageError: Not one photograph could be used.
        ExperimentError: A folder that is no run.
    """
    shown: list[dict[str, Any]] = []
    with TemporaryDirectory() as scratch:
        seen, failed = prepare_inputs(runs, words, Path(scratch))
        for place, (network_name, run) in enumerate(zip(short_names([run.folder for run in runs]), runs, strict=True)):
            network, side = load_network(run), run.experiment().network.image_size
            for name, of_runs in seen.items():
                pixels = of_runs[place].input(side)
                pictures = []
                found = layer_maps(network, pixels)
                with progress_bar(f"drawing layers of {network_name}", len(found)) as step:
                    for number, maps in enumerate(found, 1):
                        pictures.append((maps, layer_picture(maps)))
                        write_bytes(out / name / network_name / f"{number:03d}-{maps.name}.png", pictures[-1][1])
                        step()
                given = encode_jpeg(pixels[0].permute(1, 2, 0).numpy())
                shown.append({"name": name, "network": network_name, "input": given, "layers": pictures})
    names = " and ".join(short_names([run.folder for run in runs]))
    title = f"What {names} compute{'s' * (len(runs) == 1)} of a photograph"
    page = render_page("explain/activations.html.j2", title=title, photographs=shown, failed=failed, shown=SHOWN)
    write_text(out / "activations.html", page)
    return Explanation(out / "activations.html", list(seen), failed)


def networks_figure(views: Mapping[str, Sequence[PhotographExplanation]]) -> Figure:
    """The same photographs by several networks: the heat of the grade that each gives (report, chapter 7).

    Args:
        views: By photograph, once a network; at least one of each.
    """
    columns = 1 + len(next(iter(views.values())))
    figure = Figure(figsize=(2.7 * columns, 2.2 * len(views) + 0.6), layout="constrained")
    panels = figure.subplots(len(views), columns, squeeze=False)
    for row, (name, by_network) in zip(panels, views.items(), strict=True):
        grade = by_network[0].seen.grade
        row[0].imshow(page_thumbnail(read_photograph(by_network[0].seen.drawn)))
        row[0].set_title(name if grade is None else f"{name}: {grade.value} {grade.label}", fontsize=8)
        for axes, view in zip(row[1:], by_network, strict=True):
            drawn, _, _ = view.drawn_on(page_thumbnail(read_photograph(view.seen.drawn)), view.given.value)
            axes.imshow(drawn)
            sure = view.probabilities[view.given]
            axes.set_title(f"{view.network}: {view.given.value} {view.given.label} ({sure:.2f})", fontsize=8)
        for axes in row:
            axes.axis("off")
    figure.supxlabel(_CAUTION, fontsize=8)
    return figure


def _file_name(target: Target) -> str:
    return target if target == "referable" else f"grade-{target}"


def _write(folder: Path, views: Sequence[PhotographExplanation], method: str) -> dict[str, Any]:
    """Writes the files of one photograph; returns what programs may read of it."""
    networks = {}
    for view in views:
        photograph = read_photograph(view.seen.drawn)
        ends = {}
        for target in TARGETS:
            file = folder / view.network / f"{_file_name(target)}.jpg"
            drawn, over, ends[_file_name(target)] = view.drawn_on(photograph, target)
            end = ends[_file_name(target)]
            says = f"{view.network}, {method}: {target_name(target)}. {_CAUTION}"
            write_bytes(file, encode_jpeg(add_colour_scale(drawn, end, says)))
            write_bytes(file.with_suffix(".png"), grey_png(over, end))
            stream = io.BytesIO()
            np.save(stream, view.map_of(target))
            write_bytes(file.with_suffix(".npy"), stream.getvalue())
        place = view.seen.place
        networks[view.network] = {
            "probabilities": view.probabilities.tolist(),
            "grade": view.given.value,
            "square": {"x": place.x, "y": place.y, "side": place.side},
            "scale_ends": ends,
        }
    seen = views[0].seen
    return {"file": str(seen.drawn), "known_grade": None if seen.grade is None else seen.grade.value, "by": networks}


def _shown(name: str, views: Sequence[PhotographExplanation]) -> dict[str, Any]:
    """What the page shows of one photograph."""
    rows = []
    for view in views:
        photograph = page_thumbnail(read_photograph(view.seen.drawn))
        pictures = {}
        for target in TARGETS:
            drawn, _, end = view.drawn_on(photograph, target)
            pictures[target] = encode_jpeg(add_colour_scale(drawn, end))
        side = " × ".join(map(str, view.heat.shape[1:]))
        rows.append({"view": view, "photograph": encode_jpeg(photograph), "pictures": pictures, "side": side})
    return {"name": name, "seen": views[0].seen, "rows": rows}
