"""Lesion numbers of all photographs of a folder of maps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from retinagrade.datasets.masks import OPTIC_DISC
from retinagrade.datasets.prepared_set import prepared_digests, read_prepared
from retinagrade.errors import ExperimentError, ImageError
from retinagrade.execution.local import map_unordered
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.images.camera import apply_camera, camera_of, lit_region
from retinagrade.images.prepare import resize_to_input
from retinagrade.lesion_maps.anatomy import find_anatomy
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
    """

    table: pd.DataFrame
    peaks: list[dict[str, list[float]]]


@dataclass(frozen=True)
class _Photograph:
    """One photograph with its maps, or the numbers that were read from them, or the reason why not."""

    row: int
    image_id: str
    digest: str | None
    numbers: dict[str, float] | None = None
    peaks: dict[str, list[float]] | None = None
    problem: str | None = None


def read_lesion_numbers(
    maps: LesionMaps, manifest: Manifest, workers: int | None = None, progress: Progress | None = None
) -> LesionNumbers:
    """Reads the numbers of all photographs of a manifest from their lesion maps.

    Args:
        maps: A finished folder of maps.
        manifest: Photographs of the prepared set that the maps were made of; each has maps.
        workers: Number of worker processes; ``None`` takes one per processor.
        progress: Receives the number of photographs.

    Returns:
        The numbers, and the peaks that they summarise.

    Raises:
        ExperimentError: A map can't be read, or a photograph was changed since it was prepared.
    """
    record = maps.finished_record()
    digests = prepared_digests(manifest.root)
    items = [_Photograph(row, name, digests.get(name)) for row, name in enumerate(manifest.table["image_id"])]
    step = begin_stage(progress, "reading lesion maps", len(items))
    found: dict[str, _Photograph] = {}
    for photograph in map_unordered(partial(_read, maps=maps, manifest=manifest, record=record), items, workers, _died):
        if photograph.numbers is None:
            raise ExperimentError(str(photograph.problem))
        found[photograph.image_id] = photograph
        step()
    ordered = [found[image_id] for image_id in sorted(found)]
    table = pd.DataFrame([each.numbers for each in ordered], index=sorted(found)).rename_axis("image_id")
    return LesionNumbers(table, [each.peaks or {} for each in ordered])


def _read(item: _Photograph, maps: LesionMaps, manifest: Manifest, record: MapsRecord) -> _Photograph:
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
    read = read_maps(of_photograph, record.kinds, inside)
    peaks = {kind: regions.peaks.tolist() for kind, regions in read.regions.items() if kind != RED}
    return replace(item, numbers=lesion_numbers(read, anatomy), peaks=peaks)


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
