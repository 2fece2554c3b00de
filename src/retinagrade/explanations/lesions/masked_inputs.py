"""Photographs with masks, prepared for the network of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from retinagrade.datasets.copies import find_pairs
from retinagrade.datasets.examine import ExaminedFile, examine_file
from retinagrade.datasets.masks import MaskedPhotograph, read_mask
from retinagrade.datasets.prepare_file import PREPARED_PHOTOGRAPHS, prepare_file, prepared_path
from retinagrade.images.encode import encode_prepared
from retinagrade.images.prepare import PreparationSettings, prepare_mask, prepare_photograph, resize_to_input
from retinagrade.runs.photographs import read_run_photographs
from retinagrade.runs.run import Run
from retinagrade.storage.files import scratch_folder

MASK_COVERAGE: Final = 0.1
"""Share of a pixel of the network's input that a mask must cover. With a half, a sixth of IDRiD's microaneurysms would
be lost at 224 px."""
_ROOT: Final = Path("/")


@dataclass(frozen=True)
class MaskedInput:
    """A photograph and its masks at the network's input size.

    Attributes:
        image_id: Id of the photograph.
        pixels: RGB pixels (S, S, 3).
        retina: True (S, S) in the field of view.
        masks: True (S, S) on the lesions of a kind or the optic disc, by kind.
    """

    image_id: str
    pixels: NDArray[np.uint8]
    retina: NDArray[np.bool_]
    masks: dict[str, NDArray[np.bool_]]


def prepare_masked(masked: MaskedPhotograph, settings: PreparationSettings, size: int) -> MaskedInput:
    """Prepares a photograph like the photographs of a run, including the JPEG encoding, and its masks in the same way.

    Args:
        masked: The photograph and its masks.
        settings: Preparation settings of the run.
        size: Input size of the network.

    Raises:
        ImageError: A file can't be read, or a mask does not belong to the photograph.
    """
    square, field_of_view, shape = prepare_photograph(masked.photograph, settings)
    stored = simplejpeg.decode_jpeg(encode_prepared(square))

    def prepared(mask: NDArray[np.bool_], coverage: float) -> NDArray[np.bool_]:
        return np.asarray(resize_to_input(prepare_mask(mask, field_of_view, shape, settings), size) >= coverage)

    retina = prepared(field_of_view.mask, 0.5)
    masks = {kind: prepared(read_mask(path, masked.photograph), MASK_COVERAGE) for kind, path in masked.masks.items()}
    return MaskedInput(masked.image_id, resize_to_input(stored, size), retina, masks)


def find_copies_in_run(run: Run, masked: Sequence[MaskedPhotograph]) -> dict[str, str] | None:
    """Finds copies of photographs in the prepared set of a run, including re-encoded and resized copies.

    Args:
        run: The run.
        masked: The photographs.

    Returns:
        Splits of the copies by ``image_id`` (``train`` if copies are in several splits); ``None`` if the prepared set
        is gone, or its split has changed since training.
    """
    prepared, trained_on = run.prepared, read_run_photographs(run).trained_on
    if trained_on is None or not (prepared / PREPARED_PHOTOGRAPHS).is_dir():
        return None
    table = trained_on.table
    splits = {str((prepared / path).resolve()): str(split) for path, split in table[["path", "split"]].to_numpy()}
    with scratch_folder() as folder:
        # The photographs are prepared like the run's, so that both have the same frame.
        settings = run.preparation()
        for one in masked:
            prepare_file((one.image_id, one.image_id, one.photograph), settings, folder)
        ids = {str(prepared_path(folder, one.image_id)): one.image_id for one in masked}
        pairs = find_pairs([*map(_examine, splits), *(examine_file(path, _ROOT) for path in ids)], _ROOT)
    copies: dict[str, str] = {}
    for pair in pairs:
        for in_run, masked_path in ((pair.first, pair.second), (pair.second, pair.first)):
            if pair.kind == "same-eye" or in_run not in splits or masked_path not in ids:
                continue
            if copies.get(ids[masked_path]) != "train":
                copies[ids[masked_path]] = splits[in_run]
    return copies


@cache
def _examine(path: str) -> ExaminedFile:
    return examine_file(path, _ROOT)  # cached, because runs may share a prepared set
