"""Joining prepared sets: one set of several data sets, in which no photograph stands on two sides of a split."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from retinagrade.arguments import AT_LEAST_ONE, check_arguments
from retinagrade.datasets.copies import find_pairs, group_pairs
from retinagrade.datasets.examine import ExaminedFile, fingerprint_file
from retinagrade.datasets.lesion_set import SAME_EYE, delete_masks, mask_path
from retinagrade.datasets.prepare_file import PreparedFile, prepared_path
from retinagrade.datasets.prepared_set import PREPARATION_RECORD, PREPARED_MANIFEST, PreparationRecord, PreparedSet
from retinagrade.datasets.split import EXCLUDED
from retinagrade.datasets.stratification import photograph_groups
from retinagrade.datasets.write_prepared import delete_prepared_set
from retinagrade.errors import UsageError
from retinagrade.execution.engine import Engine, EngineName, choose_engine
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.manifest import Manifest
from retinagrade.provenance import installed_versions
from retinagrade.storage.file_names import is_safe_id
from retinagrade.storage.files import naming, write_json
from retinagrade.storage.locking import locked
from retinagrade.storage.output_guard import ORIGIN, describe_origin, folder_output, guard_outputs
from retinagrade.storage.paths import is_local

COMMAND: Final = "data join"
_SIDES: Final = ("test", "val", "train")
"""Sides of a split: where a group stands on several, its photographs stay on the first of them."""


@dataclass(frozen=True)
class _Part:
    """A prepared set that is joined, under the name of its data set."""

    name: str
    folder: Path
    record: PreparationRecord
    manifest: Manifest


@check_arguments(workers=AT_LEAST_ONE)
def join(
    sets: Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    engine: EngineName | Engine = "local",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PreparedSet:
    """Joins prepared sets, so that a network is trained on several data sets at once.

    The joined set is a prepared set like any other. Its ids are ``NAME/ID`` with the name of the data set, which also
    stands in the column ``dataset`` and before each patient. Its photographs are links to those of the sets, or copies
    where the disk has no links.

    Every photograph keeps its split. The photographs of all sets are compared: where a photograph, a copy of it, the
    same eye or the same patient stands on two sides, those in ``train`` beside ``val`` or ``test``, and those in
    ``val`` beside ``test``, become ``excluded``. ``split`` can divide the joined set anew; it then keeps copies
    together.

    Args:
        sets: The prepared sets, or their folders, at least two; or a mapping from names of data sets to them. Without
            names, a set has the name of its data set, else that of its folder.
        out: The folder of the joined set.
        workers: Number of worker processes; ``None`` takes one per processor.
        engine: ``local`` for processes of this machine, ``ray`` for a Ray cluster, or an engine.
        overwrite: Whether to replace a joined set of other sets, or under other names, in ``out``.
        progress: Receives the progress of the comparison.

    Returns:
        The joined set.

    Raises:
        LayoutError: A folder is no prepared set.
        UsageError: Fewer than two sets; two have one name; they were prepared with different settings; some have a
            split and some have none; ``out`` is, holds or lies in one of them, or holds other files; or it
            holds these sets under other names.
    """
    parts = _read_parts(sets)
    folder, folders = Path(out), [part.folder for part in parts]
    guard_outputs([folder_output(folder, COMMAND, folders, PREPARATION_RECORD)], folders, overwrite)
    if not overwrite:
        _require_same_names(folder, parts)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / PREPARATION_RECORD):
        if (folder / PREPARATION_RECORD).is_file():
            delete_masks(folder)
            delete_prepared_set(folder)
        record = PreparationRecord(
            origin=describe_origin(COMMAND, folders, folder)[ORIGIN],
            settings=parts[0].record.settings,
            constants=parts[0].record.constants,
            versions=installed_versions(),
        )
        write_json(folder / PREPARATION_RECORD, record.model_dump())
        outcomes = [outcome for part in parts for outcome in _link_photographs(part, folder)]
        table = pd.concat([_renamed(part) for part in parts], ignore_index=True)
        same_eyes = _find_same_eyes(table, folder, choose_engine(engine, [*folders, folder]), workers, progress)
        table = table.assign(**{SAME_EYE: table["image_id"].map(same_eyes).astype("string")})
        joined = Manifest.from_table(_with_one_side(table), folder, str(folder / PREPARED_MANIFEST))
        counts = {name: sum(part.record.counts.get(name, 0) for part in parts) for name in parts[0].record.counts}
        full = record.model_copy(update={"photographs": outcomes, "counts": counts})
        write_json(folder / PREPARATION_RECORD, full.model_dump())
        joined.write(folder / PREPARED_MANIFEST)
    return PreparedSet(folder)


def _read_parts(sets: Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]]) -> list[_Part]:
    named: list[tuple[str | None, str | os.PathLike[str]]]
    named = [*sets.items()] if isinstance(sets, Mapping) else [(None, each) for each in sets]
    if len(named) < 2:
        raise UsageError("join: name at least two prepared sets")
    parts = []
    for given, each in named:
        prepared = PreparedSet(each)
        if not is_local(prepared.folder):
            raise UsageError(f"{prepared.folder}: join works on this machine's disks: copy the set first")
        names = prepared.manifest.table["dataset"].dropna().unique()
        name = given or (str(names[0]) if len(names) == 1 else prepared.folder.resolve().name)
        if "/" in name or not is_safe_id(name):
            raise UsageError(f"{name!r} can't name a data set: use letters, digits, '-' and '_'")
        parts.append(_Part(name, prepared.folder, PreparationRecord.read(prepared.folder), prepared.manifest))
    _require_joinable(parts)
    return parts


def _require_joinable(parts: Sequence[_Part]) -> None:
    by_name: dict[str, Path] = {}
    for part in parts:
        if (other := by_name.get(part.name.casefold())) is not None:
            raise UsageError(
                f"{other} and {part.folder} both have the name {part.name}: write NAME=FOLDER, with a name for each"
            )
        by_name[part.name.casefold()] = part.folder
        if part.record.settings != parts[0].record.settings:
            raise UsageError(
                f"{part.folder} was prepared with {part.record.settings}, but {parts[0].folder} with "
                f"{parts[0].record.settings}: prepare both with the same settings"
            )
    split = {bool(part.manifest.table["split"].notna().any()): part.folder for part in parts}
    if len(split) == 2:
        raise UsageError(
            f"{split[True]} has a split, and {split[False]} has none: run `retinagrade split {split[False]}` first"
        )


def _require_same_names(folder: Path, parts: Sequence[_Part]) -> None:
    """Requires that a set that was joined here before has the same names, which all its ids contain."""
    if not (folder / PREPARATION_RECORD).is_file():
        return
    joined = PreparationRecord.read(folder).photographs
    earlier = list(dict.fromkeys(each.image_id.partition("/")[0] for each in joined))
    names = [part.name for part in parts if part.record.photographs]
    if earlier and earlier != names:  # a join that was cut off has no photographs yet
        raise UsageError(
            f"{folder} holds these sets under the names {', '.join(earlier)}, and they are now {', '.join(names)}, so "
            "all ids would change: give the earlier names (NAME=FOLDER), choose another place, or replace the joined "
            "set with --overwrite"
        )


def _link_photographs(part: _Part, out: Path) -> list[PreparedFile]:
    """Links the photographs and masks of a set into the joined set, and returns their outcomes under their new ids."""
    outcomes = []
    for outcome in part.record.photographs:
        renamed = replace(outcome, image_id=f"{part.name}/{outcome.image_id}")
        if outcome.reason is None:
            _link(prepared_path(part.folder, outcome.image_id), prepared_path(out, renamed.image_id))
        for kind in outcome.mask_sha256:
            _link(mask_path(part.folder, kind, outcome.image_id), mask_path(out, kind, renamed.image_id))
        outcomes.append(renamed)
    return outcomes


def _link(source: Path, target: Path) -> None:
    """Links a file, or copies it where the disk has no links, or source and target are on two disks.

    Every later reader compares the digest, so a copy that was cut off is found.
    """
    with naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)


def _renamed(part: _Part) -> pd.DataFrame:
    table = part.manifest.table
    ids = part.name + "/" + table["image_id"]
    return table.assign(
        image_id=ids,
        path=[prepared_path(Path(), image_id).as_posix() for image_id in ids],
        dataset=part.name,
        patient_id=part.name + "/" + table["patient_id"],
    )


def _find_same_eyes(
    table: pd.DataFrame, out: Path, engine: Engine, workers: int | None, progress: Progress | None
) -> dict[str, str]:
    """Finds copies and photographs of one eye among all photographs: a number for each group, by id."""
    ids = dict(zip(table["path"], table["image_id"], strict=True))
    step = begin_stage(progress, "searching for copies", len(ids))
    examined = []
    for each in engine(partial(fingerprint_file, root=out), list(ids), workers, _unreadable):
        examined.append(each)
        step()
    groups = group_pairs(find_pairs(examined, out), {"identical", "copy", "same-eye"})
    return {ids[file]: str(number) for number, group in enumerate(groups) for file in group}


def _unreadable(file: str) -> ExaminedFile:
    return ExaminedFile(file, reason="decoding it killed the process")


def _with_one_side(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the table with each group of photographs on one side of the split at most."""
    splits, groups = table["split"], photograph_groups(table)
    for place, side in enumerate(_SIDES):
        here = np.isin(groups, groups[splits.eq(side).fillna(False).to_numpy(dtype=bool)])
        splits = splits.mask(here & splits.isin(_SIDES[place + 1 :]), EXCLUDED)
    return table.assign(split=splits)
