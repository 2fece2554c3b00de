"""The page on saliency maps and lesions: tables, figures and files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from retinagrade.datasets.masks import LESIONS, OPTIC_DISC
from retinagrade.evaluation.report.plots import figure_png, figure_svg
from retinagrade.evaluation.report.tables import TextTable, with_interval
from retinagrade.explanations.lesions.agreement import NEIGHBOURHOOD
from retinagrade.explanations.lesions.measurements import OTHER, OWN, RANDOM, SHUFFLED, LesionMeasurements
from retinagrade.explanations.lesions.sanity import UNCHANGED_CORRELATION
from retinagrade.explanations.lesions.summary import LesionComparison, MeanWithInterval
from retinagrade.messages import counted
from retinagrade.pages.page import format_metric, render_page
from retinagrade.provenance import provenance_record
from retinagrade.storage.files import write_bytes, write_json, write_text
from retinagrade.storage.output_guard import FOLDER_RECORD, describe_origin

COMMAND: Final = "lesion-agreement"
CAUTION: Final = (
    "A saliency map is no evidence of reasoning: it shows where a score depends on a photograph, not why, nor "
    "whether it should."
)
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_GREY: Final = "#8a8f98"
_BASELINES: Final = {OTHER: ("s", "maps of another photograph"), SHUFFLED: ("x", "shuffled weights")}


def agreement_tables(comparison: LesionComparison) -> list[TextTable]:
    """Makes tables of the agreement with all lesions, with single kinds, of deletion and insertion, and of sanity."""
    return [
        _agreement_table(comparison),
        _kinds_table(comparison),
        _perturbation_table(comparison),
        _sanity_table(comparison),
    ]


def _agreement_table(comparison: LesionComparison) -> TextTable:
    own, other, shuffled = (comparison.select(source) for source in (OWN, OTHER, SHUFFLED))
    rows = [
        (
            _label(key),
            _cell(metrics["ratio"]),
            _cell(other.get(key, {}).get("ratio")),
            _cell(shuffled.get(key, {}).get("ratio")),
            _cell(metrics["near_ratio"]),
            _cell(metrics["hit"]),
            _cell(metrics["near_hit"]),
            _cell(other.get(key, {}).get("near_hit")),
        )
        for key, metrics in own.items()
    ]
    columns = ("", "saliency / area", "… map of another photograph", "… shuffled weights", "saliency / area, nearby",
               "most salient point in a lesion", "… or nearby", "… nearby, map of another photograph")  # fmt: skip
    first = next(iter(own.values()))
    chance, near_chance = format_metric(first["chance"].value), format_metric(first["near_chance"].value)
    note = (
        "Saliency / area: share of the saliency in lesions divided by their share of the retina. 1 is no preference "
        "on the retina; random maps have less, because a part of them is outside the retina. Nearby: within "
        f"{NEIGHBOURHOOD:.0%} of the diameter of the field of view. For the first network, a random point is in a "
        f"lesion with probability {chance}, and in a lesion or nearby with probability {near_chance}. Maps of another "
        "photograph show where saliency usually lies."
    )
    title = f"Agreement with lesions in {counted(comparison.photographs, 'photograph')}"
    return TextTable(title, columns, rows, note)


def _kinds_table(comparison: LesionComparison) -> TextTable:
    by_kind = {kind: comparison.select(OWN, kind) for kind in _kinds(comparison)}
    counts = {kind: max(each["chance"].photographs for each in of.values()) for kind, of in by_kind.items()}
    rows = [(_label(key), *(_cell(of[key]["ratio"]) for of in by_kind.values())) for key in comparison.select(OWN)]
    return TextTable(
        "Saliency / area, by kind of lesion",
        ("", *(f"{kind.replace('_', ' ')} ({count})" for kind, count in counts.items())),
        rows,
        "In brackets: photographs with this kind. The optic disc is not a lesion: saliency there is outside lesions.",
    )


def _perturbation_table(comparison: LesionComparison) -> TextTable:
    names = ("deletion", "deletion_gain", "insertion", "insertion_gain")
    rows = [
        (_label(key), *(_cell(metrics.get(name)) for name in names)) for key, metrics in comparison.select(OWN).items()
    ]
    return TextTable(
        "Deletion and insertion",
        ("", "deletion", "lower than random maps by", "insertion", "higher than random maps by"),
        rows,
        "Areas under the curve of the probability of referable retinopathy while the retina's detail is removed "
        "(deletion) or restored (insertion), the most salient pixels first. Low deletion, high insertion and "
        "differences above 0 are good.",
    )


def _sanity_table(comparison: LesionComparison) -> TextTable:
    rows = [
        (_label(key), _cell(metrics["correlation_shuffled"]), _cell(metrics["correlation_other"]))
        for key, metrics in comparison.select(OWN).items()
        if "correlation_shuffled" in metrics
    ]
    return TextTable(
        "Sanity check: rank correlation of maps",
        ("", "with maps of shuffled weights", "with maps of another photograph"),
        rows,
        f"From {UNCHANGED_CORRELATION:g} on, maps count as unchanged: they show the photograph, not what was learnt.",
    )


def plot_agreement(comparison: LesionComparison) -> Figure:
    """Plots saliency / area of all lesions beside its baselines, by network and method."""
    networks, methods = _names(comparison)
    size = (max(7.5, 3.4 * len(networks) + 1.6), 1.9 + 0.42 * len(methods))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(networks), sharey=True, sharex=True, squeeze=False)[0]
    for axes, network in zip(panels, networks, strict=True):
        for row, method in enumerate(methods):
            colour, label = (_GREY, "random maps") if method == RANDOM else (_COLOURS[0], "maps of the photograph")
            _plot_bar(axes, row, comparison.select(OWN)[network, method]["ratio"], colour, label)
            for offset, (source, (marker, name)) in zip((0.2, -0.2), _BASELINES.items(), strict=True):
                ratio = comparison.select(source).get((network, method), {}).get("ratio")
                if ratio is not None and ratio.value is not None:
                    _plot_interval(axes, row + offset, ratio, _COLOURS[1])
                    axes.plot(ratio.value, row + offset, marker, color=_COLOURS[1], markersize=5, label=name)
        _finish_panel(axes, network)
    panels[0].set_yticks(range(len(methods)), methods)
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    label = "share of saliency in lesions / their share of the retina; 1: no preference"
    figure.supxlabel(f"{label}\n{CAUTION}", fontsize=8)
    _add_legend(figure, panels[0])
    return figure


def plot_kinds(comparison: LesionComparison) -> Figure:
    """Plots saliency / area of every kind of lesion and of the optic disc, by network and method."""
    (networks, methods), kinds = _names(comparison), _kinds(comparison)
    size = (max(7.5, 3.4 * len(networks) + 1.6), 1.6 + 0.16 * len(methods) * len(kinds))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(networks), sharey=True, sharex=True, squeeze=False)[0]
    height = 0.84 / len(methods)
    for axes, network in zip(panels, networks, strict=True):
        for row, kind in enumerate(kinds):
            for number, method in enumerate(methods):
                position = row + (number - (len(methods) - 1) / 2) * height
                ratio = comparison.select(OWN, kind)[network, method]["ratio"]
                colour = _GREY if method == RANDOM else _COLOURS[number % len(_COLOURS)]
                _plot_bar(axes, position, ratio, colour, method, height * 0.9)
        _finish_panel(axes, network)
    panels[0].set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
    panels[0].set_ylim(len(kinds) - 0.5, -0.5)
    figure.supxlabel(f"share of saliency / share of the retina; 1: no preference\n{CAUTION}", fontsize=8)
    _add_legend(figure, panels[0])
    return figure


def write_lesions(
    folder: Path, measurements: LesionMeasurements, comparison: LesionComparison, sources: Sequence[Path]
) -> Path:
    """Writes ``lesions.html``, ``lesions.json``, ``regions.csv``, ``maps.csv``, figures (PNG, SVG) and ``run.json``.

    Args:
        folder: The folder to write to.
        measurements: Measurements of each photograph.
        comparison: Their summary.
        sources: The runs and the data set.

    Returns:
        The page.
    """
    origin = describe_origin(COMMAND, sources, folder)
    write_json(folder / FOLDER_RECORD, origin | {"sources": [str(source) for source in sources], **provenance_record()})
    for name, table in (("regions", measurements.regions), ("maps", measurements.maps)):
        write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_json(folder / "lesions.json", comparison.to_json())
    figures = {"agreement": plot_agreement(comparison), "kinds": plot_kinds(comparison)}
    for name, figure in figures.items():
        write_bytes(folder / f"{name}.png", figure_png(figure))
        write_bytes(folder / f"{name}.svg", figure_svg(figure))
    page = render_page(
        "explanations/lesions/report.html.j2",
        title=f"Saliency maps and lesions in {counted(comparison.photographs, 'photograph')}",
        caution=CAUTION,
        warnings=comparison.warnings,
        copies=copies_lines(comparison),
        tables=agreement_tables(comparison),
        figures={name: figure_png(figure) for name, figure in figures.items()},
        sources=sources,
    )
    write_text(folder / "lesions.html", page)
    return folder / "lesions.html"


def copies_lines(comparison: LesionComparison) -> list[str]:
    """Says for each run how many of the photographs are in its prepared set."""
    lines = []
    for network, counts in comparison.copies.items():
        if counts is None:
            lines.append(
                f"{network}: its prepared set is gone or was split again. The photographs that it was trained on are "
                "unknown."
            )
            continue
        copies = ", ".join(f"{count} in {split}" for split, count in sorted(counts.items())) or "none"
        total = counted(comparison.photographs, "photograph")
        lines.append(f"{network}: copies of the {total} in its prepared set: {copies}.")
    return lines


def _kinds(comparison: LesionComparison) -> list[str]:
    return [kind for kind in (*LESIONS, OPTIC_DISC) if comparison.select(OWN, kind)]


def _cell(mean: MeanWithInterval | None) -> str:
    return "" if mean is None else with_interval(mean.value, mean.interval)


def _label(key: tuple[str, str]) -> str:
    return f"{key[0]}: {key[1]}"


def _names(comparison: LesionComparison) -> tuple[list[str], list[str]]:
    keys = list(comparison.select(OWN))
    return list(dict.fromkeys(network for network, _ in keys)), list(dict.fromkeys(method for _, method in keys))


def _plot_bar(
    axes: Axes, position: float, mean: MeanWithInterval, colour: str, label: str, height: float = 0.7
) -> None:
    if mean.value is not None:
        axes.barh(position, mean.value, height, color=colour, alpha=0.75, label=label)
        _plot_interval(axes, position, mean, "black")


def _plot_interval(axes: Axes, position: float, mean: MeanWithInterval, colour: str) -> None:
    if mean.interval is not None:
        axes.plot([mean.interval.low, mean.interval.high], [position, position], color=colour, linewidth=1.2)


def _finish_panel(axes: Axes, network: str) -> None:
    axes.axvline(1, color="black", linestyle=":", linewidth=1)
    axes.set_title(network, fontsize=10)
    axes.grid(axis="x", alpha=0.2)


def _add_legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside upper center", ncols=3, frameon=False, fontsize=8)
