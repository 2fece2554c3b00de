"""Preparation of one file. This module imports little, so that worker processes start fast."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from retinagrade.errors import ImageError
from retinagrade.images.decoding import InMemory, as_photograph_errors, read_file_bytes
from retinagrade.images.encode import encode_prepared
from retinagrade.images.field_of_view import LOW_CONFIDENCE, FieldOfView
from retinagrade.images.placement import Placement, place_square
from retinagrade.images.prepare import PreparationSettings, prepare_photograph
from retinagrade.images.read import photograph_size
from retinagrade.storage.files import write_bytes

PREPARED_PHOTOGRAPHS: Final = "photographs"
"""The folder of prepared photographs in a prepared set."""


@dataclass(frozen=True)
class PreparedFile:
    """The outcome of the preparation of one photograph.

    Attributes:
        image_id: The photograph's id.
        source: The photograph's path in the source's manifest.
        bytes: Size of the source file in bytes.
        sha256: Digest of the source file, hexadecimal; ``None`` if it can't be read.
        reason: The reason why the photograph could not be used; ``None`` if it was prepared.
        field_of_view: The crop: ``x``, ``y``, ``width`` and ``height`` in pixels of the decoded photograph;
            ``decoded_width`` and ``decoded_height`` of that photograph, which are smaller than the file's where a JPEG
            was decoded at reduced scale; and the ``method`` and ``confidence`` of the crop.
        source_size: Width and height of the source's photograph in pixels, such as ``4288x2848``, which differ between
            cameras; ``None`` if the photograph could not be used.
        prepared_sha256: Digest of the prepared photograph, hexadecimal; ``None`` if there is none.
        mask_sha256: Digest of each prepared lesion mask, hexadecimal, by kind.
        etag: Entity tag and size of a source in an object store; ``None`` for a local file, or without a tag.
    """

    image_id: str
    source: str
    bytes: int
    sha256: str | None
    reason: str | None
    field_of_view: dict[str, Any] | None
    source_size: str | None = None
    prepared_sha256: str | None = None
    mask_sha256: dict[str, str] = field(default_factory=dict)
    etag: str | None = None

    @property
    def doubtful(self) -> bool:
        """True if a person should look at the crop."""
        return self.field_of_view is not None and self.field_of_view["confidence"] < LOW_CONFIDENCE

    def place(self, width: int, settings: PreparationSettings) -> Placement:
        """Returns the place of the prepared photograph in its original.

        Args:
            width: Width of the original, in pixels, at the scale of the place.
            settings: The settings of the preparation.
        """
        assert self.field_of_view is not None
        return place_square(self.crop, settings).enlarged(width / self.field_of_view["decoded_width"])

    @property
    def crop(self) -> FieldOfView:
        """The field of view in the decoded photograph; a photograph that could not be used has none."""
        assert self.field_of_view is not None
        parts = ("x", "y", "width", "height", "method", "confidence")
        return FieldOfView(
            circle=None, mask=np.ones((1, 1), bool), **{part: self.field_of_view[part] for part in parts}
        )


def prepare_file(item: tuple[str, str, Path], settings: PreparationSettings, out: Path) -> PreparedFile:
    """Prepares one file.

    Args:
        item: The photograph's id, its path in the source's manifest, and its file.
        settings: The settings of the preparation.
        out: The folder of the prepared set.

    Returns:
        The outcome. Any problem of the file is a reason in it, never an error.
    """
    image_id, source, path = item
    outcome = PreparedFile(image_id, source, 0, None, None, None)
    try:
        data = read_file_bytes(path)
        outcome = replace(outcome, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        file = InMemory(str(path), data)
        with as_photograph_errors(path):
            square, fov, (height, width) = prepare_photograph(file, settings)
            size = "{}x{}".format(*photograph_size(file))
    except ImageError as error:
        return replace(outcome, reason=str(error))
    jpeg = encode_prepared(square)
    write_bytes(prepared_path(out, image_id), jpeg)
    box = {"x": fov.x, "y": fov.y, "width": fov.width, "height": fov.height}
    decoded = {"decoded_width": width, "decoded_height": height}
    certainty = {"method": fov.method, "confidence": round(fov.confidence, 4)}
    crop, digest = {**box, **decoded, **certainty}, hashlib.sha256(jpeg).hexdigest()
    return replace(outcome, field_of_view=crop, source_size=size, prepared_sha256=digest)


def crashed_file(item: tuple[str, str, Path]) -> PreparedFile:
    """Returns the outcome of a file that killed its worker process."""
    image_id, source, path = item
    return PreparedFile(image_id, source, 0, None, f"{path}: decoding it killed the process", None)


def prepared_path(out: Path, image_id: str) -> Path:
    """Returns the file of a prepared photograph."""
    return out / PREPARED_PHOTOGRAPHS / f"{image_id}.jpg"
