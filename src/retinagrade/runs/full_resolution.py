"""Compares lesion maps with masks at the resolution of the photographs, as the IDRiD challenge does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from retinagrade.datasets.masks import MaskedPhotograph, read_mask, read_masked_photographs
from retinagrade.datasets.prepare_file import PreparedFile
from retinagrade.datasets.prepared_set import PreparationRecord
from retinagrade.errors import ExperimentError, ImageError, JoinError
from retinagrade.evaluation.lesion_counts import PhotographCounts
from retinagrade.evaluation.lesion_metrics import LesionCounts, count_lesions
from retinagrade.execution.local import map_unordered
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.images.prepare import PreparationSettings
from retinagrade.images.read import read_photograph
from retinagrade.runs.lesion_maps import LesionMaps, MapsRecord
from retinagrade.storage.files import sha256


@dataclass(frozen=True)
class _Comparison:
    """The maps of a photograph and its masks."""

    prepared: PreparedFile
    masked: MaskedPhotograph
    counts: Mapping[str, LesionCounts] | None = None
    problem: str | None = None


def count_at_full_resolution(
    maps: LesionMaps, masks: Path, workers: int | None, progress: Progress | None
) -> PhotographCounts:
    """Counts the pixels and the lesions of every photograph that has maps and masks.

    Args:
        maps: A finished folder of lesion maps of photographs that no camera has cut. Other changes of a camera move no
            lesion.
        masks: The data set with masks. Its photographs are known by their bytes.
        workers: Number of worker processes; ``None`` takes one per processor.
        progress: Receives the number of photographs.

    Returns:
        Counts by ``image_id`` and kind of lesion.

    Raises:
        ExperimentError: The folder holds no finished maps, a camera cut their photographs, or a map, a photograph
            or a mask can't be read.
        JoinError: No photograph of the maps has masks.
        LayoutError: The data set has no masks in a known layout, or the prepared set of the maps is gone.
    """
    record = maps.finished_record()
    if "cut" in record.camera:
        raise ExperimentError(
            f"{maps.folder}: a camera's frame cut its photographs, and masks show lesions that it hides: outline them "
            "without --camera cut"
        )
    preparation = PreparationRecord.read(maps.prepared)
    by_digest = {
        outcome.sha256: outcome for outcome in preparation.photographs if outcome.image_id in record.photographs
    }
    masked = {sha256(each.photograph): each for each in read_masked_photographs(masks)}
    items = [_Comparison(by_digest[digest], each) for digest, each in masked.items() if digest in by_digest]
    if not items:
        raise JoinError(f"{masks} has masks of no photograph of {maps.folder}: name the data set that was prepared")
    step = begin_stage(progress, "comparing maps with masks", len(items))
    counts: dict[str, Mapping[str, LesionCounts]] = {}
    compare = partial(_compare, maps=maps, record=record, settings=preparation.settings)
    for item in map_unordered(compare, items, workers, _died):
        if item.counts is None:
            raise ExperimentError(item.problem or f"{item.masked.photograph}: its maps could not be compared")
        counts[item.prepared.image_id] = item.counts
        step()
    return dict(sorted(counts.items()))


def _compare(item: _Comparison, maps: LesionMaps, record: MapsRecord, settings: PreparationSettings) -> _Comparison:
    counts = {}
    try:
        photograph = read_photograph(item.masked.photograph)
        height, width = photograph.shape[:2]
        place, everywhere = item.prepared.place(width, settings), np.ones((height, width), np.bool_)
        for kind, values in zip(record.kinds, maps.read(item.prepared.image_id, record.kinds), strict=True):
            if kind not in item.masked.outlined:
                continue
            probability = np.minimum(place.project(values.astype(np.float32) / 255, height, width), 1)
            lesions = ~everywhere
            if kind in item.masked.masks:
                mask = read_mask(item.masked.masks[kind], item.masked.photograph).astype(np.uint8)
                lesions = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0
            counts[kind] = count_lesions(probability, lesions, everywhere, place.width / values.shape[-1])
    except ImageError as error:
        return replace(item, problem=str(error))
    return replace(item, counts=counts)


def _died(item: _Comparison) -> _Comparison:
    return replace(item, problem=f"comparing the maps of {item.masked.photograph} killed the process")
