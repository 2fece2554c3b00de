"""Examination of one file of a data set: it is decoded, measured and summed up in a row."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.errors import ImageError
from retinagrade.gate.inputs import SQUARE
from retinagrade.gate.session import assess_quality
from retinagrade.images.decoding import InMemory, as_photograph_errors, read_file_bytes
from retinagrade.images.field_of_view import SEARCH_SIDE, find_field_of_view
from retinagrade.images.read import photograph_size, read_photograph
from retinagrade.images.similarity import descriptor, perceptual_hash
from retinagrade.storage.paths import join_path

_DECODED_SIDE: Final = 2 * max(SEARCH_SIDE, SQUARE)
"""The gate sees fine detail, which a photograph that was decoded at a reduced size must not lack."""


@dataclass(frozen=True)
class ExaminedFile:
    """The measurements of one file.

    Attributes:
        file: The file's path from the folder that is checked.
        bytes: Size of the file in bytes; 0 if it can't be read.
        sha256: Digest of the bytes, hexadecimal; ``None`` if the file can't be read.
        reason: The reason why the file can't be used; ``None`` for a usable photograph.
        decoded: True if the file is a picture, of a fundus or of anything else.
        width: Width of the stored picture in pixels; 0 if the file is no picture.
        height: Height of the stored picture in pixels.
        crop_confidence: Confidence of the field of view, 0 to 1.
        crop_method: The method that found the field of view.
        framing: Shape of the field of view, which differs between cameras: its width, height and radius as shares of
            the picture's width, height and width, rounded.
        modality: Kind of photograph, one of :data:`~retinagrade.gate.names.MODALITIES`.
        quality: Quality, 0 to 1.
        quality_level: ``good``, ``usable`` or ``reject``.
        quality_reasons: Reasons for a warning or a refusal.
        perceptual_hash: Hash (4,) of 256 bits, uint64, that similar photographs almost share.
        descriptor: Structures of the photograph (1024,), int8; see :func:`~retinagrade.images.similarity.descriptor`.
    """

    file: str
    bytes: int = 0
    sha256: str | None = None
    reason: str | None = None
    decoded: bool = False
    width: int = 0
    height: int = 0
    crop_confidence: float | None = None
    crop_method: str | None = None
    framing: str | None = None
    modality: str | None = None
    quality: float | None = None
    quality_level: str | None = None
    quality_reasons: tuple[str, ...] = ()
    perceptual_hash: NDArray[np.uint64] | None = None
    descriptor: NDArray[np.int8] | None = None


def examine_file(file: str, root: Path) -> ExaminedFile:
    """Reads and measures one file.

    Args:
        file: The file's path from ``root``, or an absolute path.
        root: The folder that is checked.

    Returns:
        The measurements. Any problem of the file is a reason in them, never an error.
    """
    path = join_path(root, file)
    examined = ExaminedFile(file)
    try:
        data = read_file_bytes(path)
        examined = replace(examined, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        photograph = InMemory(str(path), data)
        width, height = photograph_size(photograph)
        pixels = read_photograph(photograph, _DECODED_SIDE)
        examined = replace(examined, decoded=True, width=width, height=height)
        with as_photograph_errors(path):
            return _measure(pixels, examined)
    except ImageError as error:
        return replace(examined, reason=str(error).removeprefix(f"{path}: "))


def fingerprint_file(file: str, root: Path) -> ExaminedFile:
    """Reads one file and measures only what the search for copies needs, which takes a fraction of the time.

    Args:
        file: The file's path from ``root``, or an absolute path.
        root: The folder that is searched.

    Returns:
        The digest, the perceptual hash and the descriptor. Any problem of the file is a reason, never an error.
    """
    path = join_path(root, file)
    examined = ExaminedFile(file)
    try:
        data = read_file_bytes(path)
        examined = replace(examined, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        pixels = read_photograph(InMemory(str(path), data), _DECODED_SIDE)
        with as_photograph_errors(path):
            fov = find_field_of_view(pixels)
            return replace(
                examined, decoded=True, perceptual_hash=perceptual_hash(pixels, fov), descriptor=descriptor(pixels, fov)
            )
    except ImageError as error:
        return replace(examined, reason=str(error).removeprefix(f"{path}: "))


def _measure(photograph: NDArray[np.uint8], examined: ExaminedFile) -> ExaminedFile:
    """Adds the measurements of a decoded photograph (H, W, 3), uint8."""
    fov = find_field_of_view(photograph)
    quality = assess_quality(photograph, fov)
    radius = 0.0 if fov.circle is None else fov.circle.radius
    shares = (fov.width / photograph.shape[1], fov.height / photograph.shape[0], radius / photograph.shape[1])
    return replace(
        examined,
        crop_confidence=fov.confidence,
        crop_method=fov.method,
        framing=" ".join(f"{share:.2f}" for share in shares),
        modality=quality.modality,
        quality=quality.score,
        quality_level=quality.level,
        quality_reasons=quality.reasons,
        perceptual_hash=perceptual_hash(photograph, fov),
        descriptor=descriptor(photograph, fov),
    )
