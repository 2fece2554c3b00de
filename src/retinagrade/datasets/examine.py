"""Examining one file of a data set: really decoded, measured, and summed up in a row."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from retinagrade.errors import ImageError
from retinagrade.images.decoding import InMemory
from retinagrade.images.field_of_view import SEARCH_SIDE, find_field_of_view
from retinagrade.images.quality import SIDE, assess_quality
from retinagrade.images.read import photograph_size, read_photograph
from retinagrade.images.similarity import perceptual_hash
from retinagrade.paths import join_path, read_bytes

_ENOUGH = max(SEARCH_SIDE, SIDE)


@dataclass(frozen=True)
class ExaminedFile:
    """What was found in one file.

    Attributes:
        file: The file, as a path from the folder that is checked.
        bytes: Its size; 0 where it can't be read.
        sha256: Digest of its bytes, hexadecimal; ``None`` where it can't be read.
        reason: Why it can't be used; ``None`` where it can.
        decoded: Whether it is a picture at all, of a fundus or not.
        width: Width of the photograph in pixels, as it is stored; 0 where it is no picture.
        height: Height, in pixels.
        crop: Confidence of the field of view, 0 to 1.
        method: How the field of view was found.
        framing: Shape of the field of view as a share of the frame's width, height and radius, rounded: what tells
            cameras apart.
        quality: Gradability, 0 to 1.
        problems: Reasons against gradability.
        likeness: The perceptual hash, 256 bits.
    """

    file: str
    bytes: int = 0
    sha256: str | None = None
    reason: str | None = None
    decoded: bool = False
    width: int = 0
    height: int = 0
    crop: float | None = None
    method: str | None = None
    framing: str | None = None
    quality: float | None = None
    problems: tuple[str, ...] = ()
    likeness: np.ndarray | None = None


def examine_file(file: str, root: Path) -> ExaminedFile:
    """Reads and measures one file.

    Args:
        file: Its path from ``root``, or an absolute one.
        root: The folder that is checked.

    Returns:
        What was found; never an error, whatever the file.
    """
    path = join_path(root, file)
    try:
        data = read_bytes(path)
    except OSError as error:
        return ExaminedFile(file, reason=f"can't be read ({error.strerror or error})")
    held = InMemory(str(path), data)
    found = ExaminedFile(file, len(data), hashlib.sha256(data).hexdigest())
    try:
        width, height = photograph_size(held)
        photograph = read_photograph(held, _ENOUGH)
        found = replace(found, decoded=True, width=width, height=height)
        fov = find_field_of_view(photograph)
    except ImageError as error:
        return replace(found, reason=str(error).removeprefix(f"{path}: "))
    quality = assess_quality(photograph, fov)
    radius = 0.0 if fov.circle is None else fov.circle.radius
    shares = (fov.width / photograph.shape[1], fov.height / photograph.shape[0], radius / photograph.shape[1])
    return replace(
        found,
        crop=fov.confidence,
        method=fov.method,
        framing=" ".join(f"{share:.2f}" for share in shares),
        quality=quality.score,
        problems=tuple(quality.reasons),
        likeness=perceptual_hash(photograph, fov),
    )
