"""What maps of heat have to do with lesions, for people: tables, pictures and a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from retinagrade.datasets.masks import LESIONS, OPTIC_DISC
from retinagrade.evaluation.report.plots import figure_png, figure_svg
from retinagrade.evaluation.report.tables import TextTable, with_interval
from retinagrade.explain.lesions.agreement import NEAR
from retinagrade.explain.lesions.measure import (
    ALL,
    OTHER,
    OWN,
    RANDOM,
    SHUFFLED,
    LesionMeasurements,
    MeanWithInterval,
    summarise_measurements,
)
from retinagrade.explain.lesions.sanity import UNCHANGED, is_unchanged
from retinagrade.files import write_bytes, write_json, write_text
from retinagrade.pages.page import format_metric, render_page
from retinagrade.provenance import provenance_record

CAUTION: Final = (
    "A heat map is no evidence of reasoning: it says what a score depends on near one photograph, "
    "not why, nor that it should."
)
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_GREY: Final = "#8a8f98"
_BASELINES: Final = {OTHER: ("s", "heat of another photograph"), SHUFFLED: ("x", "shuffled weights")}


@dataclass(frozen=True)
class AgreementRow:
    """Figures of one network, method, kind of heat and region.

    Attributes:
        network: The network's name.
        method: How it was explained, or :data:`~retinagrade.explain.lesions.measure.RANDOM`.
        heat_of: Whose heat.
        region: A kind of lesion, all of them, or the optic disc.
        figures: By name.
    """

    network: str
    method: str
    heat_of: str
    region: str
    figures: dict[str, MeanWithInterval]


@dataclass(frozen=True)
class LesionComparison:
    """Networks and methods side by side.

    Attributes:
        rows: All figures.
        learnt: Photographs by network that its run has in a split of its set, as counts by split; ``None`` where that
            is not known any more.
        photographs: How many there are.
        messages: What a person should know before believing the maps.
    """

    rows: list[AgreementRow]
    learnt: dict[str, dict[str, int] | None]
    photographs: int
    messages: list[str]

    def select(self, heat_of: str, region: str = ALL) -> dict[tuple[str, str], dict[str, MeanWithInterval]]:
        """Figures by network and method."""
        return {
            (row.network, row.method): row.figures
            for row in self.rows
            if row.heat_of == heat_of and row.region == region
        }

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {**asdict(self), "neighbourhood": NEAR, "unchanged_from": UNCHANGED}


def summarise_agreement(
    measured: LesionMeasurements, copies: Mapping[str, Mapping[str, str] | None]
) -> LesionComparison:
    """Sums up what was measured.

    Args:
        measured: Of all networks.
        copies: By network, what :func:`~retinagrade.explain.lesions.masked_inputs.find_copies_in_run` found.
    """
    rows = [AgreementRow(**of, figures=figures) for of, figures in summarise_measurements(measured)]
    learnt = {network: None if found is None else dict(Counter(found.values())) for network, found in copies.items()}
    messages = []
    for key, maps in measured.maps.groupby(["network", "method"], sort=False):
        network, method = map(str, key)
        same = maps["same"].to_numpy(dtype=float)
        if is_unchanged(same):
            messages.append(
                f"{network}, {method}: the maps hardly change when the weights are shuffled (rank correlation "
                f"{np.nanmean(same):.2f} on average): they show the photograph, not what the network has learnt."
            )
    own = measured.regions[measured.regions["heat_of"].eq(OWN) & measured.regions["region"].eq(ALL)]
    for key, maps in own.groupby(["network", "method"], sort=False):
        if count := int(maps["heat"].isna().sum()):
            network, method = map(str, key)
            messages.append(f"{network}, {method}: {count} of {len(maps)} maps are without any heat, and left out.")
    return LesionComparison(rows, learnt, measured.maps["image_id"].nunique(), messages)


def agreement_tables(comparison: LesionComparison) -> list[TextTable]:
    """Agreement with all lesions, with single kinds, deletion and insertion, and sanity."""
    own = comparison.select(OWN)
    others, forgetful = comparison.select(OTHER), comparison.select(SHUFFLED)

    agreement = [
        (
            _name(key),
            _cells(figures["ratio"]),
            _cells(others.get(key, {}).get("ratio")),
            _cells(forgetful.get(key, {}).get("ratio")),
            _cells(figures["near_ratio"]),
            _cells(figures["hit"]),
            _cells(figures["near_hit"]),
            _cells(others.get(key, {}).get("near_hit")),
        )
        for key, figures in own.items()
    ]
    one = next(iter(own.values()))
    chance, near_chance = format_metric(one["chance"].value), format_metric(one["near_chance"].value)
    head = ("", "heat / area", "… heat of another photograph", "… shuffled weights", "heat / area, nearby",
            "hottest point in a lesion", "… or nearby", "… nearby, another photograph")  # fmt: skip
    note = (
        f"Share of heat in lesions by their share of the retina: 1 is no preference on the retina, and random heat, of "
        f"which a part lies outside the retina, has less. Nearby: within {NEAR:.0%} of the "
        f"diameter of the field of view. A random point is in a lesion of the first network's photographs with "
        f"probability {chance}, nearby {near_chance}. Heat of another photograph lies where heat usually lies."
    )
    kinds = [kind for kind in (*LESIONS, OPTIC_DISC) if comparison.select(OWN, kind)]
    of_kinds = {kind: comparison.select(OWN, kind) for kind in kinds}
    counts = {kind: max(f["chance"].photographs for f in of.values()) for kind, of in of_kinds.items()}
    by_kind = [(_name(key), *(_cells(of_kinds[kind][key]["ratio"]) for kind in kinds)) for key in own]
    curves = [
        (
            _name(key),
            *(_cells(figures.get(name)) for name in ("deletion", "deletion_gain", "insertion", "insertion_gain")),
        )
        for key, figures in own.items()
    ]
    sanity = [
        (_name(key), _cells(figures["same"]), _cells(figures["same_others"]))
        for key, figures in own.items()
        if "same" in figures
    ]
    return [
        TextTable(f"Agreement with lesions in {comparison.photographs} photographs", head, agreement, note),
        TextTable(
            "Heat by area, by kind",
            ("", *(f"{kind.replace('_', ' ')} ({counts[kind]})" for kind in kinds)),
            by_kind,
            "In brackets: photographs with the kind. The optic disc is no lesion: heat on it is beside the lesions.",
        ),
        TextTable(
            "Deletion and insertion",
            ("", "deletion", "less than random heat by", "insertion", "more than random heat by"),
            curves,
            "Areas under the probability of referable retinopathy while the retina loses its detail, or gets it back, "
            "the hottest pixels first. Low deletion and high insertion are good, and so are both differences above 0.",
        ),
        TextTable(
            "Sanity: rank correlation of maps",
            ("", "with those of shuffled weights", "with those of another photograph"),
            sanity,
            f"From {UNCHANGED:g} on, maps count as the same: they then show the photograph, not what was learnt.",
        ),
    ]


def agreement_picture(comparison: LesionComparison) -> Picture:
    """Heat by area of all lesions, by network and method, beside the baselines."""
    networks, methods = _names(comparison)
    picture = Picture(figsize=(max(7.5, 3.4 * len(networks) + 1.6), 1.9 + 0.42 * len(methods)), layout="constrained")
    panels = picture.subplots(1, len(networks), sharey=True, sharex=True, squeeze=False)[0]
    for axes, network in zip(panels, networks, strict=True):
        for place, method in enumerate(methods):
            colour, label = (
                (_GREY, "random heat") if method == RANDOM else (_COLOURS[0], "heat of the photograph itself")
            )
            _bar(axes, place, comparison.select(OWN)[network, method]["ratio"], colour, label)
            for offset, (whose, (marker, label)) in zip((0.2, -0.2), _BASELINES.items(), strict=True):
                of = comparison.select(whose).get((network, method), {}).get("ratio")
                if of is not None and of.value is not None:
                    _interval(axes, place + offset, of, _COLOURS[1])
                    axes.plot(of.value, place + offset, marker, color=_COLOURS[1], markersize=5, label=label)
        axes.axvline(1, color="black", linestyle=":", linewidth=1)
        axes.set_title(network, fontsize=10)
        axes.grid(axis="x", alpha=0.2)
    panels[0].set_yticks(range(len(methods)), methods)
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    picture.supxlabel(f"share of heat in lesions / their share of the retina; 1: no preference\n{CAUTION}", fontsize=8)
    _legend(picture, panels[0])
    return picture


def kinds_picture(comparison: LesionComparison) -> Picture:
    """Heat by area of every kind of lesion and of the optic disc, by network and method."""
    networks, methods = _names(comparison)
    kinds = [kind for kind in (*LESIONS, OPTIC_DISC) if comparison.select(OWN, kind)]
    picture = Picture(
        figsize=(max(7.5, 3.4 * len(networks) + 1.6), 1.6 + 0.16 * len(methods) * len(kinds)), layout="constrained"
    )
    panels = picture.subplots(1, len(networks), sharey=True, sharex=True, squeeze=False)[0]
    height = 0.84 / len(methods)
    for axes, network in zip(panels, networks, strict=True):
        for place, kind in enumerate(kinds):
            for number, method in enumerate(methods):
                at = place + (number - (len(methods) - 1) / 2) * height
                found = comparison.select(OWN, kind)[network, method]["ratio"]
                colour = _GREY if method == RANDOM else _COLOURS[number % len(_COLOURS)]
                _bar(axes, at, found, colour, method, height * 0.9)
        axes.axvline(1, color="black", linestyle=":", linewidth=1)
        axes.set_title(network, fontsize=10)
        axes.grid(axis="x", alpha=0.2)
    panels[0].set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
    panels[0].set_ylim(len(kinds) - 0.5, -0.5)
    picture.supxlabel(f"share of heat / share of the retina; 1: no preference\n{CAUTION}", fontsize=8)
    _legend(picture, panels[0])
    return picture


def write_lesions(
    folder: Path, measured: LesionMeasurements, comparison: LesionComparison, sources: Sequence[Path]
) -> Path:
    """Writes ``lesions.html``, ``lesions.json``, ``regions.csv``, ``maps.csv``, pictures (PNG, SVG) and ``run.json``.

    Args:
        folder: Where to write; made where it is missing.
        measured: What was measured of each photograph.
        comparison: What it comes to.
        sources: The runs and the photographs' folder.

    Returns:
        The page.
    """
    for name, table in (("regions", measured.regions), ("maps", measured.maps)):
        write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_json(folder / "lesions.json", comparison.to_json())
    write_json(folder / "run.json", {"sources": [str(source) for source in sources], **provenance_record()})
    pictures = {"agreement": agreement_picture(comparison), "kinds": kinds_picture(comparison)}
    for name, picture in pictures.items():
        write_bytes(folder / f"{name}.png", figure_png(picture))
        write_bytes(folder / f"{name}.svg", figure_svg(picture))
    page = render_page(
        "explain/lesions/report.html.j2",
        title=f"Heat and lesions in {comparison.photographs} photographs",
        caution=CAUTION,
        messages=comparison.messages,
        learnt=training_copies_lines(comparison),
        tables=agreement_tables(comparison),
        pictures={name: figure_png(picture) for name, picture in pictures.items()},
        sources=sources,
    )
    write_text(folder / "lesions.html", page)
    return folder / "lesions.html"


def training_copies_lines(comparison: LesionComparison) -> list[str]:
    """Which of the photographs each run had in its set, in words."""
    lines = []
    for network, counts in comparison.learnt.items():
        if counts is None:
            lines.append(
                f"{network}: its prepared set is gone, so nobody can tell which photographs it has learnt from."
            )
            continue
        found = ", ".join(f"{count} in {split}" for split, count in sorted(counts.items())) or "none"
        lines.append(f"{network}: of the {comparison.photographs} photographs, copies in its own set: {found}.")
    return lines


def _cells(found: MeanWithInterval | None) -> str:
    return "" if found is None else with_interval(found.value, found.interval)


def _name(key: tuple[str, str]) -> str:
    return f"{key[0]}: {key[1]}"


def _names(comparison: LesionComparison) -> tuple[list[str], list[str]]:
    keys = list(comparison.select(OWN))
    return list(dict.fromkeys(network for network, _ in keys)), list(dict.fromkeys(method for _, method in keys))


def _bar(axes: Axes, place: float, found: MeanWithInterval, colour: str, label: str, height: float = 0.7) -> None:
    if found.value is not None:
        axes.barh(place, found.value, height, color=colour, alpha=0.75, label=label)
        _interval(axes, place, found, "black")


def _interval(axes: Axes, place: float, found: MeanWithInterval, colour: str) -> None:
    if found.interval is not None:
        axes.plot([found.interval.low, found.interval.high], [place, place], color=colour, linewidth=1.2)


def _legend(picture: Picture, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    picture.legend(once.values(), once.keys(), loc="outside upper center", ncols=3, frameon=False, fontsize=8)
