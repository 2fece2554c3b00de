"""The outlined photographs behind a folder of lesion maps, for the benchmarks that compare maps and masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retinagrade import LesionMaps
from retinagrade.datasets.lesion_set import OUTLINED, mask_digests, read_masks
from retinagrade.datasets.prepared_set import prepared_digests, read_prepared
from retinagrade.images.camera import apply_camera, camera_of, lit_region
from retinagrade.lesion_maps.outline import enlarge_maps
from retinagrade.runs.lesion_numbers import prepared_manifest


@dataclass(frozen=True)
class OutlinedPhotograph:
    """What a network and people outlined in one photograph, at the size of the prepared photograph.

    Attributes:
        image_id: Id of the photograph.
        known: The kinds of lesions that people looked for.
        probabilities: Probability (S, S), 0 to 1, by kind.
        masks: True (S, S) within people's outlines, by kind.
        inside: True (S, S) inside the field of view.
    """

    image_id: str
    known: frozenset[str]
    probabilities: dict[str, NDArray[np.float32]]
    masks: dict[str, NDArray[np.bool_]]
    inside: NDArray[np.bool_]


def read_outlined(maps: LesionMaps) -> Iterator[OutlinedPhotograph]:
    """Reads the outlined photographs of a finished folder of lesion maps, whose prepared set has masks."""
    record, manifest = maps.finished_record(), prepared_manifest(maps, maps.prepared)
    digests, of_photographs = mask_digests(manifest.root), prepared_digests(manifest.root)
    table = manifest.table[manifest.table[OUTLINED].notna() & manifest.table["image_id"].isin(record.photographs)]
    for image_id, path, known in zip(table["image_id"], table["path"], table[OUTLINED], strict=True):
        pixels = read_prepared(manifest.file(path), of_photographs[image_id])
        size = pixels.shape[0]
        masks = read_masks(manifest.root, image_id, record.kinds, size, digests.get(image_id, {}))
        probabilities = enlarge_maps(maps.read(image_id, record.kinds), size)
        yield OutlinedPhotograph(
            image_id,
            frozenset(str(known).split()),
            {kind: each.astype(np.float32) / 255 for kind, each in zip(record.kinds, probabilities, strict=True)},
            {kind: each > 127 for kind, each in zip(record.kinds, masks, strict=True)},
            lit_region(apply_camera(camera_of(image_id, record.camera), pixels, lit_region(pixels))),
        )
