"""Writing a prepared set when all its photographs are ready: manifest, contact sheet and record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.datasets.contact_sheet import contact_sheet
from retinagrade.datasets.prepare_file import PREPARED_PHOTOGRAPHS, PreparedFile, prepared_path
from retinagrade.datasets.prepared_set import (
    CONTACT_SHEET,
    PREPARATION_RECORD,
    PREPARED_MANIFEST,
    PreparationRecord,
)
from retinagrade.errors import LayoutError
from retinagrade.images.contrast import CLIP_LIMIT, TILES
from retinagrade.images.encode import JPEG_QUALITY
from retinagrade.images.field_of_view import LOW_CONFIDENCE
from retinagrade.images.listing import LeftOutFile
from retinagrade.manifest import Manifest
from retinagrade.messages import count_and_first_few
from retinagrade.provenance import installed_versions
from retinagrade.storage.files import is_temporary, write_bytes, write_json
from retinagrade.storage.paths import list_files

JOURNAL: Final = ".prepare.journal.jsonl"
UNPACKED: Final = ".unpacked"
"""Folder for the photographs of an archive, while they are prepared."""


def write_prepared_set(
    source: Manifest,
    out: Path,
    started: PreparationRecord,
    outcomes: Sequence[PreparedFile],
    left_out: Sequence[LeftOutFile] = (),
) -> None:
    """Writes manifest, contact sheet and record, and deletes the files that only an interrupted call needs.

    Args:
        source: The photographs of the source.
        out: The folder of the prepared set.
        started: The record that was written before the first photograph.
        outcomes: The outcome of every photograph of the source, in its order.
        left_out: The other files of the source.

    Raises:
        LayoutError: Prepared photographs have disappeared.
    """
    _require_photographs(out, outcomes)
    table = _prepared_table(source, out, outcomes)
    if len(table):
        manifest = Manifest.from_table(table, out, str(out / PREPARED_MANIFEST))
        _keep_split(manifest, out).write(out / PREPARED_MANIFEST)
    sheet = contact_sheet(
        [
            (source.file(outcome.source), prepared_path(out, outcome.image_id), outcome.field_of_view["confidence"])
            for outcome in outcomes
            if outcome.field_of_view is not None
        ]
    )
    write_bytes(out / CONTACT_SHEET, sheet)
    write_json(out / PREPARATION_RECORD, _record(started, outcomes, left_out).model_dump())
    _delete_leftovers(out, {prepared_path(out, image_id) for image_id in table["image_id"]})


def _require_photographs(out: Path, outcomes: Sequence[PreparedFile]) -> None:
    there = set(list_files(out))
    gone = [
        each.image_id for each in outcomes if each.reason is None and prepared_path(out, each.image_id) not in there
    ]
    if gone:
        raise LayoutError(
            f"{out}: prepared photographs have disappeared ({count_and_first_few(gone)}): give the same command again"
        )


def _prepared_table(source: Manifest, out: Path, outcomes: Sequence[PreparedFile]) -> pd.DataFrame:
    """Returns the source's rows of the usable photographs, with their prepared files."""
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
    return table


def _keep_split(manifest: Manifest, out: Path) -> Manifest:
    """Adopts the split of an earlier manifest of the same photographs; deletes ``split.json`` otherwise."""
    if (out / "split.json").is_file():
        earlier = Manifest.read(out / PREPARED_MANIFEST).table
        same = ["image_id", "grade", "patient_id", "sha256"]
        if earlier[same].astype("string").equals(manifest.table[same].astype("string")):
            return Manifest(manifest.table.assign(split=earlier["split"]), out)
        (out / "split.json").unlink()
    return manifest


def _record(
    started: PreparationRecord, outcomes: Sequence[PreparedFile], left_out: Sequence[LeftOutFile]
) -> PreparationRecord:
    failed = sum(outcome.reason is not None for outcome in outcomes)
    return PreparationRecord(
        origin=started.origin,
        settings=started.settings,
        constants={
            "jpeg_quality": JPEG_QUALITY,
            "clahe_tiles": TILES,
            "clahe_clip_limit": CLIP_LIMIT,
            "low_confidence": LOW_CONFIDENCE,
        },
        versions=installed_versions(),
        counts={
            "prepared": len(outcomes) - failed,
            "failed": failed,
            "doubtful": sum(outcome.doubtful for outcome in outcomes),
        },
        photographs=list(outcomes),
        left_out=list(left_out),
    )


def delete_prepared_set(out: Path) -> None:
    """Deletes all files of a prepared set, and no others."""
    for name in (PREPARED_MANIFEST, "split.json", CONTACT_SHEET, PREPARATION_RECORD):
        (out / name).unlink(missing_ok=True)
    _delete_leftovers(out, set())


def _delete_leftovers(out: Path, kept: set[Path]) -> None:
    """Deletes the journal, temporary files of a killed call, and photographs that have left the source."""
    for path in list(list_files(out)):
        photograph = path.suffix == ".jpg" and path.is_relative_to(out / PREPARED_PHOTOGRAPHS)
        leftover = is_temporary(path) or path.name.startswith(JOURNAL) or path.is_relative_to(out / UNPACKED)
        if (photograph or leftover) and path not in kept:
            path.unlink()
