"""One file of a source becomes one of the prepared set. Imports little, so that worker processes start fast."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from retinagrade.errors import ImageError
from retinagrade.files import write_bytes
from retinagrade.images.decoding import InMemory
from retinagrade.images.encode import encode_prepared
from retinagrade.images.field_of_view import LOW_CONFIDENCE
from retinagrade.images.prepare import PreparationSettings, prepare_photograph
from retinagrade.images.read import photograph_size
from retinagrade.paths import read_bytes

PHOTOGRAPHS: Final = "photographs"
"""The folder of prepared photographs in a prepared set."""


@dataclass(frozen=True)
class PreparedFile:
    """What happened to one photograph.

    Attributes:
        image_id: Its id.
        source: Its path, as the source's manifest says it.
        bytes: The source file's size.
        sha256: Digest of the source file, hexadecimal; ``None`` where it can't be read.
        reason: Why it could not be used; ``None`` where it was prepared.
        field_of_view: x, y, width, height in pixels of the decoded photograph, and that photograph's width and
            height, which are smaller than the file's where a JPEG was decoded at reduced scale; how it was found, and
            with what confidence.
        source_size: Width and height of the source file's photograph in pixels, such as ``4288x2848``, which tell
            cameras apart; ``None`` where it could not be used, and in sets of earlier versions.
    """

    image_id: str
    source: str
    bytes: int
    sha256: str | None
    reason: str | None
    field_of_view: dict[str, Any] | None
    source_size: str | None = None

    @property
    def doubtful(self) -> bool:
        """Whether a person should look at the crop."""
        return self.field_of_view is not None and self.field_of_view["confidence"] < LOW_CONFIDENCE


def prepare_file(item: tuple[str, str, Path], settings: PreparationSettings, out: Path) -> PreparedFile:
    """Prepares one file.

    Args:
        item: Its id, its path as the source's manifest says it, and its place.
        settings: What to make of it.
        out: The prepared set.

    Returns:
        What happened; never an error, whatever the file.
    """
    image_id, shown, path = item
    try:
        data = read_bytes(path)
    except OSError as error:
        return PreparedFile(image_id, shown, 0, None, f"{path}: can't be read ({error.strerror or error})", None)
    file = InMemory(str(path), data)
    outcome = PreparedFile(image_id, shown, len(data), hashlib.sha256(data).hexdigest(), None, None)
    try:
        square, fov, (height, width) = prepare_photograph(file, settings)
        size = "{}x{}".format(*photograph_size(file))
    except ImageError as error:
        return replace(outcome, reason=str(error))
    write_bytes(prepared_path(out, image_id), encode_prepared(square))
    box = {"x": fov.x, "y": fov.y, "width": fov.width, "height": fov.height, "of_width": width, "of_height": height}
    found = {"method": fov.method, "confidence": round(fov.confidence, 4)}
    return replace(outcome, field_of_view={**box, **found}, source_size=size)


def crashed_file(item: tuple[str, str, Path]) -> PreparedFile:
    """What happened to a file that killed its process."""
    image_id, shown, path = item
    return PreparedFile(image_id, shown, 0, None, f"{path}: decoding it killed the process", None)


def prepared_path(out: Path, image_id: str) -> Path:
    """Where a prepared photograph lies."""
    return out / PHOTOGRAPHS / f"{image_id}.jpg"
