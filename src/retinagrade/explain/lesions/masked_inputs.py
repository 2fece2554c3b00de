"""Photographs with masks as a run sees them: in the frame of its network's input, to the pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import simplejpeg

from retinagrade.datasets.copies import find_pairs
from retinagrade.datasets.examine import ExaminedFile, examine_file
from retinagrade.datasets.masks import MaskedPhotograph
from retinagrade.datasets.prepare_file import PREPARED_PHOTOGRAPHS, prepare_file, prepared_path
from retinagrade.errors import ImageError
from retinagrade.images.encode import encode_prepared
from retinagrade.images.prepare import PreparationSettings, prepare_mask, prepare_photograph, resize_to_input
from retinagrade.images.read import photograph_size, read_photograph
from retinagrade.manifest import Manifest
from retinagrade.runs.run import Run

COVERED: Final = 0.1
"""Share of a pixel of the network's input that a mask must cover: by half, a sixth of IDRiD's microaneurysms would be
lost at 224 px."""
_ROOT: Final = Path("/")


@dataclass(frozen=True)
class MaskedInput:
    """A photograph and its masks in the frame of a network's input.

    Attributes:
        image_id: Its id.
        pixels: RGB (S, S, 3), uint8.
        retina: True (S, S) in the field of view.
        masks: True (S, S) where a lesion is, or the optic disc, by kind.
    """

    image_id: str
    pixels: np.ndarray
    retina: np.ndarray
    masks: dict[str, np.ndarray]


def prepare_masked(masked: MaskedPhotograph, settings: PreparationSettings, size: int) -> MaskedInput:
    """Prepares a photograph as the photographs of a run were, JPEG and all, and its masks in the same way.

    Args:
        masked: The photograph and its masks.
        settings: How the run's photographs were prepared.
        size: The network's input size.

    Raises:
        ImageError: A file that can't be used, or a mask that is not of that photograph.
    """
    square, fov, shape = prepare_photograph(masked.photograph, settings)
    stored = simplejpeg.decode_jpeg(encode_prepared(square))

    def fitted(mask: np.ndarray, share: float) -> np.ndarray:
        return np.asarray(resize_to_input(prepare_mask(mask, fov, shape, settings), size) >= share)

    retina = fitted(fov.mask, 0.5)
    masks = {kind: fitted(_read_mask(path, masked.photograph), COVERED) for kind, path in masked.masks.items()}
    return MaskedInput(masked.image_id, resize_to_input(stored, size), retina, masks)


def _read_mask(path: Path, photograph: Path) -> np.ndarray:
    mask = np.asarray(read_photograph(path).any(axis=2))
    width, height = photograph_size(photograph)
    if abs(mask.shape[1] / mask.shape[0] - width / height) > 0.01:
        raise ImageError(
            f"{path}: {mask.shape[1]} × {mask.shape[0]} px is no mask of {photograph} ({width} × {height} px)"
        )
    return mask


def find_copies_in_run(run: Run, masked: Sequence[MaskedPhotograph]) -> dict[str, str] | None:
    """Which photographs a run has in its prepared set, and in what split, re-encoded or resized as they may be.

    Args:
        run: The run.
        masked: The photographs.

    Returns:
        The split by ``image_id`` of those that are there (``train`` where one is in several); ``None`` where the
        prepared set is gone.
    """
    prepared, manifest = run.prepared, run.split_file
    if not manifest.is_file() or not (prepared / PREPARED_PHOTOGRAPHS).is_dir():
        return None
    table = Manifest.read(manifest).table
    splits = {str((prepared / path).resolve()): str(split) for path, split in table[["path", "split"]].to_numpy()}
    with TemporaryDirectory() as scratch:
        # Prepared as the run's are, so that both are compared in one frame.
        folder, settings = Path(scratch).resolve(), run.preparation()
        for one in masked:
            prepare_file((one.image_id, one.image_id, one.photograph), settings, folder)
        ids = {str(prepared_path(folder, one.image_id)): one.image_id for one in masked}
        pairs = find_pairs([*map(_examined, splits), *(examine_file(path, _ROOT) for path in ids)], _ROOT)
    found: dict[str, str] = {}
    for pair in pairs:
        for theirs, ours in ((pair.first, pair.second), (pair.second, pair.first)):
            if pair.kind != "same-eye" and theirs in splits and ours in ids and found.get(ids[ours]) != "train":
                found[ids[ours]] = splits[theirs]
    return found


@cache
def _examined(path: str) -> ExaminedFile:
    return examine_file(path, _ROOT)  # runs of one prepared set share it
