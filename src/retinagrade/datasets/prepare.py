"""Preparation of a data set: every photograph is cropped to its field of view, checked and resized."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Final

from retinagrade.arguments import AT_LEAST_ONE, NumberRange, check_arguments
from retinagrade.datasets.layouts import choose_reader, has_only_masks, read_dataset
from retinagrade.datasets.left_out import left_out_files
from retinagrade.datasets.lesion_set import add_outlined, delete_unknown_masks, mark_same_eyes, prepare_masks
from retinagrade.datasets.masks import MaskedPhotograph, read_masked_photographs
from retinagrade.datasets.prepare_file import PreparedFile, crashed_file, prepare_file
from retinagrade.datasets.prepared_set import PREPARATION_RECORD, PreparationRecord, PreparedSet
from retinagrade.datasets.reusable import reusable_outcomes
from retinagrade.datasets.write_prepared import JOURNAL, UNPACKED, delete_prepared_set, write_prepared_set
from retinagrade.errors import ImageError, UsageError
from retinagrade.execution.engine import Engine, EngineName, choose_engine
from retinagrade.execution.journal import Journal
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.images.listing import LeftOutFile, list_folder
from retinagrade.images.prepare import Contrast, PreparationSettings, Square
from retinagrade.manifest import Manifest
from retinagrade.provenance import installed_versions
from retinagrade.storage.files import write_json
from retinagrade.storage.locking import locked
from retinagrade.storage.output_guard import ORIGIN, describe_origin, folder_output, guard_outputs, has_origin
from retinagrade.storage.paths import entity_tags, user_path

SMALLEST_SIDE: Final = 32
"""Smallest side of a prepared photograph, in pixels."""
COMMAND: Final = "prepare"


@check_arguments(size=NumberRange(at_least=SMALLEST_SIDE), workers=AT_LEAST_ONE)
def prepare(
    source: str | os.PathLike[str] | Manifest,
    out: str | os.PathLike[str],
    *,
    size: int = 512,
    contrast: Contrast = "none",
    square: Square = "pad",
    layout: str | None = None,
    grade_names: Mapping[str, int] | None = None,
    masks: bool = False,
    workers: int | None = None,
    engine: EngineName | Engine = "local",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PreparedSet:
    """Prepares all photographs of a data set in parallel.

    The same call again continues an interrupted one, tries failed photographs again, and adds new photographs. It knows
    photographs by their bytes, or in an object store by their entity tags. The
    bytes of the set depend neither on the number of workers nor on the engine nor on interruptions.

    Args:
        source: The data set: its folder as it was downloaded, a table of photographs, an archive, the URL of one of
            these, or a manifest in memory.
        out: The folder of the prepared set, or its URL. It holds ``photographs/<image_id>.jpg``, ``manifest.csv``
            (the usable photographs, with the source file's ``sha256`` and ``source_size``, and with
            ``official_split`` where the source has splits), ``prepare.json``, and ``contact_sheet.jpg``, which shows
            the most doubtful crops and a sample of the rest.
        size: Side of the square photographs, in pixels.
        contrast: The contrast enhancement: ``none``, ``clahe`` (report §2.3) or ``graham``.
        square: ``pad`` the field of view to a square, ``crop`` it to a square as the report does, or take the whole
            ``frame``, for photographs that were cropped before.
        layout: The layout of the source; ``None`` detects it.
        grade_names: For a source with a folder for each grade: folder names and their grades.
        masks: Whether to prepare photographs with lesion masks as well, and their masks; a folder may hold nothing
            else. The manifest gets the columns ``outlined`` (the kinds of lesions that people outlined) and
            ``same_eye`` (a number that copies and photographs of one eye share, so that no split separates them).
        workers: Number of worker processes; ``None`` takes one per processor.
        engine: ``local`` for processes of this machine, ``ray`` for a Ray cluster, or an engine.
        overwrite: Whether to delete a prepared set in ``out`` that has another source or other settings, and to
            replace files that are in its place.
        progress: Callback for progress.

    Returns:
        The prepared set, with the photographs that could not be used, and the files of the source that were left out.

    Raises:
        LayoutError: The source is missing or in no known layout.
        ManifestError: A table of the source is malformed.
        UsageError: ``out`` was prepared from another source or with other settings, holds other files, or is, holds or
            lies in the source; another call is writing it; or an argument is out of range.
        ImageError: No photograph could be used.
    """
    folder, settings = user_path(out), PreparationSettings(size, contrast, square)
    if isinstance(source, Manifest):
        if layout is not None or grade_names is not None:
            raise UsageError("a manifest has its grades: leave layout and grade_names out")
        if masks:
            raise UsageError("a manifest has no lesion masks: give the folder of the data set")
        root, inputs = source.root, [source.file(path) for path in source.table["path"]]
    else:
        root = user_path(source)
        inputs = [root]
    guard_outputs([folder_output(folder, COMMAND, [root], PREPARATION_RECORD)], inputs, overwrite)
    masked = []
    labelled: bool | None = None
    if isinstance(source, Manifest):
        manifest = source
    elif masks and layout is None and grade_names is None and has_only_masks(root):
        masked, labelled = read_masked_photographs(root), False
        manifest = add_outlined(None, masked, str(source))
    else:
        reader = choose_reader(root, layout, grade_names)
        manifest, labelled = read_dataset(root, reader.layout, grade_names, unpack=folder / UNPACKED), reader.labelled
        if masks:
            masked = read_masked_photographs(root)
            manifest = add_outlined(manifest, masked, str(source))
    left_out = _left_out(root, manifest, masked, labelled)
    with locked(folder / PREPARATION_RECORD):
        started = _begin_set(folder, settings, root, overwrite)
        chosen_engine = choose_engine(engine, [root, folder])
        outcomes, new = _prepare_photographs(manifest, folder, started, chosen_engine, workers, progress)
        if masked:
            outcomes = prepare_masks(masked, manifest, outcomes, folder, settings, chosen_engine, workers, progress)
            delete_unknown_masks(folder, outcomes)
            manifest = mark_same_eyes(manifest, outcomes, folder, chosen_engine, workers, progress)
        write_prepared_set(manifest, folder, started, outcomes, left_out)
    if all(outcome.reason is not None for outcome in outcomes):
        raise ImageError(f"no photograph (of {len(outcomes)}) could be used; the first: {outcomes[0].reason}")
    return PreparedSet(folder, sum(outcome.reason is None and outcome.image_id in new for outcome in outcomes))


def _left_out(
    source: Path, manifest: Manifest, masked: Sequence[MaskedPhotograph], labelled: bool | None
) -> tuple[LeftOutFile, ...]:
    """Returns the files of a source folder that aren't prepared; a table or an archive names all that belongs to it."""
    if labelled is None or not source.is_dir():
        return ()
    photographs = [manifest.file(str(path)) for path in manifest.table["path"]]
    masks = [path for each in masked for path in each.masks.values()]
    return left_out_files(list_folder(source), source, photographs, masks, labelled=labelled)


def _prepare_photographs(
    manifest: Manifest,
    out: Path,
    started: PreparationRecord,
    engine: Engine,
    workers: int | None,
    progress: Progress | None,
) -> tuple[list[PreparedFile], set[str]]:
    """Prepares the photographs that no earlier call has prepared.

    Returns:
        The outcome of every photograph in the order of the manifest, and the ids of those that this call has tried.
    """
    journal = Journal(out / JOURNAL)
    items = [
        (str(row.image_id), str(row.path), manifest.file(str(row.path)))
        for row in manifest.table[["image_id", "path"]].itertuples(index=False)
    ]
    interrupted = [outcome for line in journal.earlier if (outcome := _noted_outcome(line)) is not None]
    files = {image_id: file for image_id, _, file in items}
    tags = entity_tags(files.values())
    outcomes = reusable_outcomes([*started.photographs, *interrupted], items, out, tags)
    remaining = [item for item in items if item[0] not in outcomes]
    step = begin_stage(progress, "preparing photographs", len(items))
    for _ in outcomes:
        step()
    prepare_item = partial(prepare_file, settings=started.settings, out=out)
    with journal:
        for outcome in engine(prepare_item, remaining, workers, crashed_file):
            outcome = replace(outcome, etag=tags.get(files[outcome.image_id]))
            journal.add(json.dumps(asdict(outcome)))
            outcomes[outcome.image_id] = outcome
            step()
    return [outcomes[image_id] for image_id, _, _ in items], {image_id for image_id, _, _ in remaining}


def _noted_outcome(line: str) -> PreparedFile | None:
    """Reads a line of the journal; ``None`` where it is damaged: its photograph is then prepared again."""
    try:
        return PreparedFile(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None


def _begin_set(out: Path, settings: PreparationSettings, source: Path, overwrite: bool) -> PreparationRecord:
    """Begins a prepared set or continues an earlier one of the same source, and returns its record."""
    if has_origin(out / PREPARATION_RECORD, COMMAND, [source]):
        earlier = PreparationRecord.read(out)
        now = asdict(settings)
        changed = [f"{name} {value}" for name, value in asdict(earlier.settings).items() if value != now[name]]
        if not changed:
            return earlier
        if not overwrite:
            raise UsageError(
                f"{out} was prepared with {', '.join(changed)}: choose another folder, or replace that one with "
                "--overwrite"
            )
    if overwrite and (out / PREPARATION_RECORD).is_file():
        delete_prepared_set(out)
    origin = describe_origin(COMMAND, [source], out)[ORIGIN]
    record = PreparationRecord(origin=origin, settings=settings, versions=installed_versions())
    write_json(out / PREPARATION_RECORD, record.model_dump())
    return record
