"""Prepare: every photograph of a source cropped to its field of view, checked, and resized; none lost silently."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from retinagrade.datasets.contact_sheet import contact_sheet
from retinagrade.datasets.prepare_file import PHOTOGRAPHS, PreparedFile, crashed_file, prepare_file, prepared_path
from retinagrade.errors import ImageError, LayoutError, UsageError
from retinagrade.execution.engine import Engine
from retinagrade.execution.journal import Journal
from retinagrade.execution.local import map_unordered
from retinagrade.execution.progress_bar import progress_bar
from retinagrade.files import is_free_folder, write_bytes, write_json
from retinagrade.images.contrast import CLIP_LIMIT, TILES
from retinagrade.images.encode import JPEG_QUALITY
from retinagrade.images.field_of_view import LOW_CONFIDENCE
from retinagrade.images.prepare import Contrast, PreparationSettings, Square
from retinagrade.manifest import Manifest
from retinagrade.paths import file_stats, list_files, read_bytes
from retinagrade.provenance import installed_versions

_JOURNAL: Final = ".prepare.journal.jsonl"
_RECORD: Final = "prepare.json"


@dataclass(frozen=True)
class Preparation:
    """What a call of :func:`prepare_manifest` did.

    Attributes:
        out: The prepared set.
        prepared: Photographs that this call prepared.
        reused: Photographs that an earlier call had prepared.
        failed: Photographs that could not be used, with the reason.
        doubtful: Photographs that were prepared, but whose field of view a person should look at.
    """

    out: Path
    prepared: int
    reused: int
    failed: list[PreparedFile]
    doubtful: list[PreparedFile]

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "out": str(self.out),
            "prepared": self.prepared,
            "reused": self.reused,
            "failed": [asdict(outcome) for outcome in self.failed],
            "doubtful": [asdict(outcome) for outcome in self.doubtful],
        }


def prepare_manifest(
    source: Manifest,
    out: Path,
    *,
    size: int = 512,
    contrast: Contrast = "none",
    square: Square = "pad",
    workers: int | None = None,
    engine: Engine = map_unordered,
) -> Preparation:
    """Prepares all photographs of a source in parallel.

    The same call again continues a run that was cut off, tries failed photographs again, and takes in new ones. The
    folder's bytes depend neither on the number of workers nor on interruptions, nor on the engine.

    Args:
        source: The photographs.
        out: The prepared set: ``photographs/<image_id>.jpg``, ``manifest.csv`` (without the failed ones; with the
            source file's ``sha256`` and ``source_size``, and with ``official_split`` where the source has splits),
            ``prepare.json``, and ``contact_sheet.jpg``, which shows the most doubtful crops and some others.
        size: Side of the square photographs, in pixels.
        contrast: ``none``, ``clahe`` (report §2.3) or ``graham``.
        square: ``pad`` the field of view to a square, ``crop`` it as the report does, or take the whole ``frame`` of
            photographs that were cropped already.
        workers: Processes; by default one a processor.
        engine: Where they run.

    Returns:
        Counts, and every photograph that could not be used.

    Raises:
        UsageError: ``out`` was prepared with other settings, or is something else.
        ImageError: Not one photograph could be used.
    """
    if size < 32:
        raise UsageError(f"size {size}: prepared photographs need at least 32 pixels a side")
    settings = PreparationSettings(size, contrast, square)
    recorded = _begin(out, settings)
    journal = Journal(out / _JOURNAL)
    items = [
        (str(row.image_id), str(row.path), source.file(str(row.path)))
        for row in source.table[["image_id", "path"]].itertuples(index=False)
    ]
    reused = _still_good([*recorded, *map(json.loads, journal.earlier)], items, out)
    todo = [item for item in items if item[0] not in reused]
    outcomes = dict(reused)
    with progress_bar("preparing", len(items)) as step, journal:
        for _ in reused:
            step()
        work = partial(prepare_file, settings=settings, out=out)
        for outcome in engine(work, todo, workers, crashed_file):
            journal.add(json.dumps(asdict(outcome)))
            outcomes[outcome.image_id] = outcome
            step()
    in_order = [outcomes[image_id] for image_id, _, _ in items]
    failed = [outcome for outcome in in_order if outcome.reason is not None]
    _finish(source, out, settings, in_order)
    if len(failed) == len(items):
        raise ImageError(f"not one of {len(items)} photographs could be used; the first: {failed[0].reason}")
    doubtful = [outcome for outcome in in_order if outcome.doubtful]
    return Preparation(out, len(items) - len(reused) - len(failed), len(reused), failed, doubtful)


def preparation_settings(prepared: Path) -> dict[str, Any]:
    """The settings that a prepared set was made with.

    Raises:
        LayoutError: The folder is no prepared set, or one that was never finished.
    """
    try:
        record = json.loads((prepared / _RECORD).read_text(encoding="utf-8"))
        settings: dict[str, Any] = record["settings"]
    except (OSError, ValueError, KeyError) as error:
        raise LayoutError(
            f"{prepared} is not a prepared set (no readable {_RECORD}): run `retinagrade prepare`"
        ) from error
    if not (prepared / "manifest.csv").is_file():
        raise LayoutError(f"{prepared} was not prepared to the end: run the same `retinagrade prepare` again")
    return settings


def _still_good(
    records: list[dict[str, Any]], items: list[tuple[str, str, Path]], out: Path
) -> dict[str, PreparedFile]:
    """Outcomes, by id, of photographs that need no second preparation: they are there, and their source is as it was.

    Args:
        records: Outcomes of earlier calls; of several of one photograph, the last one counts.
        items: Id, path in the source's manifest, and place of each photograph.
        out: The prepared set.
    """
    done = {outcome.image_id: outcome for outcome in (PreparedFile(**values) for values in records)}
    known = [
        (done[image_id], shown, path, prepared_path(out, image_id))
        for image_id, shown, path in items
        if image_id in done
    ]
    there = file_stats([place for _, _, path, prepared in known for place in (path, prepared)])
    return {
        outcome.image_id: outcome
        for outcome, shown, path, prepared in known
        if outcome.source == shown and _unchanged(outcome, path, there.get(path), there.get(prepared))
    }


def _unchanged(outcome: PreparedFile, path: Path, now: os.stat_result | None, prepared: os.stat_result | None) -> bool:
    if outcome.reason is not None or now is None or prepared is None:
        return False
    try:
        return now.st_size == outcome.bytes and (
            now.st_mtime_ns < prepared.st_mtime_ns or hashlib.sha256(read_bytes(path)).hexdigest() == outcome.sha256
        )
    except OSError:
        return False


def _begin(out: Path, settings: PreparationSettings) -> list[dict[str, Any]]:
    """Makes or takes up the folder; returns what the last finished call recorded of each photograph."""
    record = {"settings": asdict(settings), "versions": installed_versions()}
    if (out / _RECORD).is_file():
        earlier = json.loads((out / _RECORD).read_text(encoding="utf-8"))
        if earlier["settings"] != record["settings"]:
            raise UsageError(
                f"{out} was prepared with {earlier['settings']}: choose another folder, or delete that one"
            )
    elif not is_free_folder(out):
        raise UsageError(f"{out} is not empty and not a prepared set: choose another folder")
    else:
        earlier = record
        write_json(out / _RECORD, record)
    recorded: list[dict[str, Any]] = earlier.get("photographs", [])
    return recorded


def _finish(source: Manifest, out: Path, settings: PreparationSettings, outcomes: list[PreparedFile]) -> None:
    """Writes manifest and record, and clears away what only a cut-off run needs."""
    digests = {outcome.image_id: outcome.sha256 for outcome in outcomes if outcome.reason is None}
    table = source.table[source.table["image_id"].isin(list(digests))].reset_index(drop=True)
    table = table.assign(
        path=[prepared_path(out, image_id).relative_to(out).as_posix() for image_id in table["image_id"]],
        sha256=table["image_id"].map(digests),
    )
    sizes = {outcome.image_id: outcome.source_size for outcome in outcomes}
    if any(sizes.values()):
        table["source_size"] = table["image_id"].map(sizes)
    if table["split"].notna().any():
        table["official_split"] = table["split"]
    if len(table):
        manifest = Manifest.from_table(table, out, str(out / "manifest.csv"))
        _keep_split(manifest, out).write(out / "manifest.csv")
    sheet = contact_sheet(
        [
            (source.file(outcome.source), prepared_path(out, outcome.image_id), outcome.field_of_view["confidence"])
            for outcome in outcomes
            if outcome.field_of_view is not None
        ]
    )
    write_bytes(out / "contact_sheet.jpg", sheet)
    failed = [outcome.image_id for outcome in outcomes if outcome.reason is not None]
    write_json(
        out / _RECORD,
        {
            "settings": asdict(settings),
            "constants": {
                "jpeg_quality": JPEG_QUALITY,
                "clahe_tiles": TILES,
                "clahe_clip_limit": CLIP_LIMIT,
                "low_confidence": LOW_CONFIDENCE,
            },
            "versions": installed_versions(),
            "counts": {
                "prepared": len(outcomes) - len(failed),
                "failed": len(failed),
                "doubtful": sum(outcome.doubtful for outcome in outcomes),
            },
            "photographs": [asdict(outcome) for outcome in outcomes],
        },
    )
    kept = {prepared_path(out, image_id) for image_id in digests}
    for path in list(list_files(out)):
        photograph = path.suffix == ".jpg" and path.is_relative_to(out / PHOTOGRAPHS)
        # The journal, temporary files of a killed run, photographs that left the source.
        if (photograph or path.name.startswith(".")) and path not in kept:
            path.unlink()


def _keep_split(manifest: Manifest, out: Path) -> Manifest:
    """Takes the split over from an earlier manifest of the same photographs; removes ``split.json`` otherwise."""
    if (out / "split.json").is_file():
        earlier = Manifest.read(out / "manifest.csv").table
        same = ["image_id", "grade", "patient_id", "sha256"]
        if earlier[same].astype("string").equals(manifest.table[same].astype("string")):
            return Manifest(manifest.table.assign(split=earlier["split"]), out)
        (out / "split.json").unlink()
    return manifest
