"""Calibration of the gate: cut points from a table of results and a person's judgement of the same photographs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retinagrade.arguments import check_arguments
from retinagrade.cells import decode_table, split_table, unprotect
from retinagrade.errors import JoinError, ManifestError, UsageError
from retinagrade.gate.cuts import JUDGED, JudgedQuality, choose_cuts
from retinagrade.gate.names import reason_of
from retinagrade.gate.quality import score_decides
from retinagrade.gate.settings import GateSettings
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.table import SUFFIXES, read_gradings
from retinagrade.messages import counted, first_few
from retinagrade.storage.files import write_text
from retinagrade.storage.output_guard import Output, guard_outputs
from retinagrade.storage.paths import read_bytes


@dataclass(frozen=True)
class GateCalibration:
    """Cut points of the gate that were fitted to a person's judgement.

    Attributes:
        settings: The settings.
        counts: Numbers of photographs by the person's quality and the gate's level with these settings.
        left_out: Ids of photographs that were judged, but have no score: they could not be read.
        warnings: Parts that can't be relied on.
    """

    settings: GateSettings
    counts: dict[JudgedQuality, dict[str, int]]
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        """Returns the cut points, and how they judge the photographs."""
        lines = [
            f"Gate: reject below {self.settings.reject_below:g}, usable below {self.settings.usable_below:g}",
            *(
                f"  judged {quality}: " + (", ".join(f"{n} {level}" for level, n in levels.items()) or "none")
                for quality, levels in self.counts.items()
            ),
            *(f"  attention: {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)


@check_arguments()
def calibrate_gate(
    results: str | os.PathLike[str],
    quality: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> GateCalibration:
    """Fits the cut points of the gate to photographs whose quality a person has judged; a few dozen are enough.

    The scores of the results count, so a table of ``grade --gate off`` serves as well. The cut points apply to all
    photographs of the same camera: ``grade(..., gate="gate.json")``.

    Args:
        results: Table of results of :func:`~retinagrade.grader.grade.grade`.
        quality: CSV table with the columns ``image_id`` and ``quality``: ``good``, ``usable`` or ``reject``.
        out: JSON file to write; ``None`` for none.
        overwrite: Whether ``out`` may be a file that exists, which is replaced.

    Returns:
        The settings, and how they judge these photographs.

    Raises:
        UsageError: A table is of another kind, or ``out`` is an input or exists.
        ManifestError: A table can't be read, or holds an unknown quality.
        JoinError: The results lack a photograph that was judged, or no photograph has a score.
    """
    table, labels = Path(results), Path(quality)
    if table.suffix not in SUFFIXES:
        raise UsageError(
            f"{table} is no table of results: name one that `retinagrade grade` wrote ({', '.join(SUFFIXES)})"
        )
    if out is not None and Path(out).suffix != ".json":
        raise UsageError(f"{out}: the name of a file for `grade --gate` ends in .json")
    judged = _read_quality(labels)
    if not judged:
        raise JoinError(f"{labels} has no row with a quality: judge some photographs")
    results_of = {each.image_id: each for each in read_gradings(table, further_columns=True)}
    if missing := [image_id for image_id in judged if image_id not in results_of]:
        raise JoinError(
            f"{table} has no result of {counted(len(missing), 'photograph')} of {labels}: {first_few(missing)}: grade "
            "these, too, or correct the ids"
        )
    read = [each for image_id in judged if (each := results_of[image_id]).quality is not None]
    if not read:
        raise JoinError(f"{table}: no photograph of {labels} has a quality: all had errors")
    settings, warnings = _fit(read, judged)
    settings = settings.model_copy(update={"origin": f"{labels.name}: {counted(len(read), 'photograph')}"})
    counts = {each: Counter[str]() for each in JUDGED}
    for each in read:
        counts[judged[each.image_id]][_level(each, settings)] += 1
    if out is not None:
        content = settings.model_dump_json(indent=2) + "\n"
        is_same = Path(out).is_file() and Path(out).read_bytes() == content.encode()
        guard_outputs([Output(Path(out), False, lambda: is_same)], [table, labels], overwrite)
        write_text(Path(out), content)
    left_out = tuple(image_id for image_id in judged if results_of[image_id].quality is None)
    return GateCalibration(settings, {each: dict(found) for each, found in counts.items()}, left_out, tuple(warnings))


def _fit(gradings: Sequence[Grading], judged: Mapping[str, JudgedQuality]) -> tuple[GateSettings, list[str]]:
    """Fits cut points to the photographs on which they decide, and warns of good ones that they can't save."""
    decided = [each for each in gradings if score_decides(each.modality, each.quality_reasons)]
    scores = [each.quality for each in decided if each.quality is not None]
    settings, warnings = choose_cuts(scores, [judged[each.image_id] for each in decided], GateSettings())
    others = [each for each in gradings if each not in decided and judged[each.image_id] != "reject"]
    reasons = Counter(_refusal(each) for each in others)
    warnings += [
        f"{counted(count, 'photograph')} that you called good or usable are refused for {reason}, with any cut points: "
        f"`grade --gate '{reason}=0.95'` refuses for it only where it is nearly certain"
        for reason, count in reasons.items()
    ]
    return settings, warnings


def _refusal(grading: Grading) -> str:
    return "macula missing" if grading.modality in (None, "colour") else grading.modality


def _level(grading: Grading, settings: GateSettings) -> str:
    """Returns the level that a photograph would get with these cut points."""
    score = grading.quality
    if score is None or score < settings.reject_below or not score_decides(grading.modality, grading.quality_reasons):
        return "reject"
    is_usable = score < settings.usable_below or "optic disc missing" in map(reason_of, grading.quality_reasons)
    return "usable" if is_usable else "good"


def _read_quality(path: Path) -> dict[str, JudgedQuality]:
    table = split_table(decode_table(read_bytes(path), str(path)), str(path))
    if missing := {"image_id", "quality"}.difference(table.header):
        raise ManifestError(f"{path} has no column {sorted(missing)[0]!r}: it needs image_id and quality")
    judged: dict[str, JudgedQuality] = {}
    for row, line in zip(table.rows, table.lines, strict=True):
        cells = dict(zip(table.header, map(unprotect, row), strict=False))
        image_id, value = cells.get("image_id", "").strip(), cells.get("quality", "").strip().lower()
        if not image_id and not value:
            continue
        if value not in JUDGED:
            raise ManifestError(f"{path}, line {line}: quality {value!r}: write good, usable or reject")
        if judged.setdefault(image_id, value) != value:
            raise ManifestError(f"{path}, line {line}: {image_id!r} is judged twice, differently: keep one row")
    return judged
