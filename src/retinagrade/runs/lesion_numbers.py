"""Lesion numbers of all photographs of a folder of maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade.datasets.masks import OPTIC_DISC
from retinagrade.datasets.prepared_set import prepared_digests, read_prepared
from retinagrade.errors import ExperimentError, ImageError
from retinagrade.execution.local import map_unordered
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.images.camera import apply_camera, camera_of, lit_region
from retinagrade.images.prepare import resize_to_input
from retinagrade.lesion_maps.anatomy import Anatomy, find_anatomy
from retinagrade.lesion_maps.marks import MarkFinder, erase_marks, find_marks
from retinagrade.lesion_maps.numbers import RED, lesion_numbers, read_maps
from retinagrade.lesion_maps.outline import blacken_outside
from retinagrade.manifest import Manifest
from retinagrade.runs.lesion_maps import LesionMaps, MapsRecord


@dataclass(frozen=True)
class LesionNumbers:
    """The numbers of many photographs.

    Attributes:
        table: One row for each photograph, indexed and sorted by ``image_id``, with one column for each number.
        peaks: Highest probability of each lesion, by kind, of each photograph, in the same order.
        without_marks: The same of maps without lesions at the camera's marks; ``None`` where no marks are known.
    """

    table: pd.DataFrame
    peaks: list[dict[str, list[float]]]
    without_marks: LesionNumbers | None = None


@dataclass(frozen=True)
class _Numbers:
    """The numbers of one photograph's maps, and the highest probability of each lesion, by kind."""

    numbers: dict[str, float]
    peaks: dict[str, list[float]]


@dataclass(frozen=True)
class _Photograph:
    """One photograph with its maps, or what was read from them, with and without marks, or the reason why not."""

    row: int
    image_id: str
    digest: str | None
    read: tuple[_Numbers, ...] = ()
    problem: str | None = None


def read_lesion_numbers(
    maps: LesionMaps,
    manifest: Manifest,
    workers: int | None = None,
    progress: Progress | None = None,
    marks: NDArray[np.bool_] | None = None,
) -> LesionNumbers:
    """Reads the numbers of all photographs of a manifest from their lesion maps.

    Args:
        maps: A finished folder of maps.
        manifest: Photographs of the prepared set that the maps were made of; each has maps.
        workers: Number of worker processes; ``None`` takes one per processor.
        progress: Receives the number of photographs.
        marks: True (S, S) at marks of the camera, from :func:`read_marks`.

    Returns:
        The numbers, and the peaks that they summarise.

    Raises:
        ExperimentError: A map can't be read, or a photograph was changed since it was prepared.
    """
    record = maps.finished_record()
    digests = prepared_digests(manifest.root)
    items = [_Photograph(row, name, digests.get(name)) for row, name in enumerate(manifest.table["image_id"])]
    step = begin_stage(progress, "reading lesion maps", len(items))
    found: dict[str, tuple[_Numbers, ...]] = {}
    read = partial(_read, maps=maps, manifest=manifest, record=record, marks=marks)
    for photograph in map_unordered(read, items, workers, _died):
        if photograph.problem is not None:
            raise ExperimentError(photograph.problem)
        found[photograph.image_id] = photograph.read
        step()
    image_ids = sorted(found)
    whole, *erased = (_collect(image_ids, each) for each in zip(*(found[name] for name in image_ids), strict=True))
    return replace(whole, without_marks=erased[0] if erased else None)


def read_marks(maps: LesionMaps, manifest: Manifest, progress: Progress | None = None) -> MarkFinder:
    """Looks for marks of the camera in the maps of all photographs of a manifest.

    Raises:
        ExperimentError: A map can't be read.
    """
    kinds = maps.finished_record().kinds
    step = begin_stage(progress, "looking for marks of the camera", len(manifest.table))

    def each() -> Iterator[NDArray[np.uint8]]:
        for image_id in manifest.table["image_id"]:
            yield maps.read(image_id, kinds)
            step()

    try:
        return find_marks(each(), kinds)
    except ImageError as error:
        raise ExperimentError(str(error)) from error


def _collect(image_ids: Sequence[str], read: Sequence[_Numbers]) -> LesionNumbers:
    table = pd.DataFrame([each.numbers for each in read], index=list(image_ids)).rename_axis("image_id")
    return LesionNumbers(table, [each.peaks for each in read])


def _read(
    item: _Photograph, maps: LesionMaps, manifest: Manifest, record: MapsRecord, marks: NDArray[np.bool_] | None
) -> _Photograph:
    try:
        of_photograph = maps.read(item.image_id, record.kinds)
        size = of_photograph.shape[-1]
        pixels = read_prepared(manifest.file(manifest.table["path"].iloc[item.row]), item.digest)
    except ImageError as error:
        return replace(item, problem=str(error))
    if record.camera:
        pixels = apply_camera(camera_of(item.image_id, record.camera), pixels, lit_region(pixels))
    photograph, inside = blacken_outside(resize_to_input(pixels, size))
    disc = of_photograph[record.kinds.index(OPTIC_DISC)] if OPTIC_DISC in record.kinds else None
    anatomy = find_anatomy(photograph, disc, inside)
    versions = [of_photograph] if marks is None else [of_photograph, erase_marks(of_photograph, record.kinds, marks)]
    return replace(item, read=tuple(_numbers_of(each, record.kinds, inside, anatomy) for each in versions))


def _numbers_of(
    of_photograph: NDArray[np.uint8], kinds: Sequence[str], inside: NDArray[np.bool_], anatomy: Anatomy
) -> _Numbers:
    read = read_maps(of_photograph, kinds, inside)
    peaks = {kind: regions.peaks.tolist() for kind, regions in read.regions.items() if kind != RED}
    return _Numbers(lesion_numbers(read, anatomy), peaks)


def _died(item: _Photograph) -> _Photograph:
    return replace(item, problem=f"reading the maps of {item.image_id} killed the process")


def prepared_manifest(maps: LesionMaps, prepared: Path) -> Manifest:
    """Reads the photographs of a folder of maps, with their labels.

    Raises:
        ExperimentError: The prepared set is gone, or lacks photographs of the maps.
    """
    file = prepared / "manifest.csv"
    if not file.is_file():
        raise ExperimentError(f"{maps.folder}: its prepared set {prepared} is gone: move both together")
    manifest = Manifest.read(file)
    wanted = maps.finished_record().photographs
    chosen = manifest.table[manifest.table["image_id"].isin(wanted)].reset_index(drop=True)
    if len(chosen) < len(wanted):
        missing = sorted(set(wanted) - set(chosen["image_id"]))
        raise ExperimentError(f"{prepared} lacks photographs of {maps.folder}, such as {missing[0]}: outline it again")
    return Manifest(chosen, manifest.root)
