"""Prepared sets with lesion masks: the photographs, graded or outlined, and masks in the frame of each photograph."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade.datasets.copies import find_pairs, group_pairs
from retinagrade.datasets.examine import ExaminedFile, examine_file
from retinagrade.datasets.left_out import real_place
from retinagrade.datasets.masks import MaskedPhotograph, read_mask
from retinagrade.datasets.prepare_file import PreparedFile, prepared_path
from retinagrade.datasets.prepared_set import PreparationRecord
from retinagrade.errors import ImageError
from retinagrade.execution.engine import Engine
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.images.prepare import PreparationSettings, prepare_mask
from retinagrade.manifest import Manifest
from retinagrade.storage.files import write_bytes
from retinagrade.storage.paths import join_path, read_bytes

OUTLINED: Final = "outlined"
"""Column of the manifest: the kinds of lesions that people outlined, separated by spaces; empty for no masks."""
SAME_EYE: Final = "same_eye"
"""Column of the manifest: a number that copies of a photograph and photographs of one eye share."""
_MASKS: Final = "masks"


def add_outlined(graded: Manifest | None, masked: Sequence[MaskedPhotograph], source: str) -> Manifest:
    """Joins graded photographs with photographs that have lesion masks.

    Args:
        graded: The graded photographs; ``None`` where a data set has no grades.
        masked: The photographs with masks. One that is also graded stays one row.
        source: Name of the data set in messages.

    Returns:
        All photographs, with the column :data:`OUTLINED`. The ids of photographs that are not graded begin with
        ``outlined-``: data sets count both groups from 1.
    """
    root = masked[0].photograph.parent if graded is None else graded.root
    table = pd.DataFrame(columns=["image_id", "path"]) if graded is None else graded.table
    by_file = {str(join_path(root, path).resolve()): row for row, path in enumerate(table["path"])}
    outlined = pd.Series(pd.NA, index=table.index, dtype="string")
    further = []
    for each in masked:
        kinds = " ".join(each.outlined)
        row = by_file.get(str(each.photograph.resolve()))
        if row is not None:
            outlined.iloc[row] = kinds
            continue
        further.append(
            {
                "image_id": f"outlined-{each.image_id}",
                "path": str(real_place(each.photograph)),
                "split": each.split,
                OUTLINED: kinds,
            }
        )
    rows = pd.concat([table.assign(**{OUTLINED: outlined}), pd.DataFrame(further)], ignore_index=True)
    return Manifest.from_table(rows, root, source)


def prepare_masks(
    masked: Sequence[MaskedPhotograph],
    manifest: Manifest,
    outcomes: Sequence[PreparedFile],
    out: Path,
    settings: PreparationSettings,
    engine: Engine,
    workers: int | None,
    progress: Progress | None,
) -> list[PreparedFile]:
    """Writes the masks of all usable photographs, cropped and resized like their photographs.

    Args:
        masked: The photographs with masks.
        manifest: The photographs of the data set, as :func:`add_outlined` joined them.
        outcomes: The outcome of the preparation of each photograph.
        out: Folder of the prepared set. It gets ``masks/KIND/ID.png``: grey values 0 to 255, the share of each pixel
            that the lesion covers.
        settings: Settings of the preparation.
        engine: The engine that does the work.
        workers: Number of worker processes; ``None`` takes one per processor.
        progress: Receives the number of photographs.

    Returns:
        The outcomes. A photograph whose masks can't be used has a reason: without them, it would look healthy.
    """
    rows = manifest.table[["image_id", "path"]].to_numpy()
    files = {manifest.file(path).resolve(): image_id for image_id, path in rows}
    by_id = {outcome.image_id: outcome for outcome in outcomes}
    items = [(by_id[files[each.photograph.resolve()]], each) for each in masked]
    usable = [item for item in items if item[0].reason is None]
    step = begin_stage(progress, "preparing masks", len(usable))
    for outcome in engine(partial(_prepare_masks_of, out=out, settings=settings), usable, workers, _crashed):
        by_id[outcome.image_id] = outcome
        step()
    return list(by_id.values())


def _prepare_masks_of(
    item: tuple[PreparedFile, MaskedPhotograph], out: Path, settings: PreparationSettings
) -> PreparedFile:
    outcome, masked = item
    crop = outcome.field_of_view
    assert crop is not None
    digests = {}
    for kind, path in masked.masks.items():
        try:
            mask = read_mask(path, masked.photograph)
        except ImageError as error:
            return replace(outcome, reason=str(error))
        covered = prepare_mask(mask, outcome.crop, (crop["decoded_height"], crop["decoded_width"]), settings)
        png = cv2.imencode(".png", np.round(255 * covered).astype(np.uint8))[1].tobytes()
        write_bytes(mask_path(out, kind, outcome.image_id), png)
        digests[kind] = hashlib.sha256(png).hexdigest()
    return replace(outcome, mask_sha256=digests)


def _crashed(item: tuple[PreparedFile, MaskedPhotograph]) -> PreparedFile:
    return replace(item[0], reason=f"{item[1].photograph}: decoding its masks killed the process")


def mask_path(prepared: Path, kind: str, image_id: str) -> Path:
    """Returns the file of a mask in a prepared set."""
    return prepared / _MASKS / kind / f"{image_id}.png"


def delete_unknown_masks(prepared: Path, outcomes: Sequence[PreparedFile]) -> None:
    """Deletes masks of earlier calls that belong to no photograph any more, or that the source no longer has."""
    known = {mask_path(prepared, kind, each.image_id) for each in outcomes for kind in each.mask_sha256}
    for mask in (prepared / _MASKS).glob("*/**/*.png"):
        if mask not in known:
            mask.unlink()


def delete_masks(prepared: Path) -> None:
    """Deletes the masks of a prepared set."""
    for mask in (prepared / _MASKS).glob("*/**/*.png"):
        mask.unlink()


def mask_digests(prepared: Path) -> dict[str, dict[str, str]]:
    """Returns the SHA-256 digests of the prepared masks by photograph and kind.

    Raises:
        LayoutError: The folder is no prepared set.
    """
    return {outcome.image_id: outcome.mask_sha256 for outcome in PreparationRecord.read(prepared).photographs}


def read_masks(
    prepared: Path, image_id: str, kinds: Sequence[str], size: int, digests: Mapping[str, str]
) -> NDArray[np.uint8]:
    """Reads the masks of a photograph of a prepared set.

    Args:
        prepared: Folder of the prepared set.
        image_id: Id of the photograph.
        kinds: The kinds of masks to read.
        size: Side of the prepared photographs, in pixels.
        digests: Digests of the photograph's masks, from :func:`mask_digests`.

    Returns:
        The share of each pixel that the lesion covers, (kinds, size, size), uint8, 0 to 255; 0 for a kind of which the
        photograph has no mask.

    Raises:
        ImageError: A mask is missing, can't be read, or isn't the one that ``prepare`` wrote.
    """
    masks = np.zeros((len(kinds), size, size), np.uint8)
    for index, kind in enumerate(kinds):
        path = mask_path(prepared, kind, image_id)
        if kind not in digests:
            if path.exists():
                raise ImageError(
                    f"{path} is a mask that the set's prepare.json doesn't know: an older version wrote the set, or "
                    "somebody added the file. Prepare the set anew with `retinagrade prepare --masks`"
                )
            continue
        data = read_bytes(path) if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != digests[kind]:
            raise ImageError(
                f"{path} is missing, or differs from the mask that `prepare` wrote: run the same `retinagrade prepare` "
                "again"
            )
        mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert mask is not None
        masks[index] = mask
    return masks


def mark_same_eyes(
    manifest: Manifest,
    outcomes: Sequence[PreparedFile],
    out: Path,
    engine: Engine,
    workers: int | None,
    progress: Progress | None,
) -> Manifest:
    """Finds copies and photographs of one eye among prepared photographs, so that no split separates them.

    Args:
        manifest: The photographs of the data set.
        outcomes: The outcome of the preparation of each photograph.
        out: Folder of the prepared set.
        engine: The engine that does the work.
        workers: Number of worker processes; ``None`` takes one per processor.
        progress: Receives the number of photographs.

    Returns:
        The manifest with the column :data:`SAME_EYE`.
    """
    files = {
        prepared_path(out, outcome.image_id).relative_to(out).as_posix(): outcome.image_id
        for outcome in outcomes
        if outcome.reason is None
    }
    step = begin_stage(progress, "searching for copies", len(files))
    examined = []
    for each in engine(partial(examine_file, root=out), files, workers, _unreadable):
        examined.append(each)
        step()
    groups = group_pairs(find_pairs(examined, out), {"identical", "copy", "same-eye"})
    numbers = {files[file]: str(number) for number, group in enumerate(groups) for file in group}
    marked = manifest.table["image_id"].map(numbers).astype("string")
    return Manifest(manifest.table.assign(**{SAME_EYE: marked}), manifest.root)


def _unreadable(file: str) -> ExaminedFile:
    return ExaminedFile(file, reason="decoding it killed the process")
