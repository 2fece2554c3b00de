"""Decoding of what clients send, in processes with limits: a photograph that takes too much costs only itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from retinagrade.errors import ImageError
from retinagrade.execution.guarded import GuardedProcess
from retinagrade.grader.eyes import UNKNOWN, identify_eye
from retinagrade.grader.metadata import Metadata
from retinagrade.grader.runtime import PreparedPhotograph, prepare_for_grading
from retinagrade.images.decoding import InMemory
from retinagrade.images.encode import encode_view
from retinagrade.images.prepare import PreparationSettings
from retinagrade.images.read import photograph_size, read_photograph, upright_size
from retinagrade.images.visit import UNKNOWN_VISIT, Visit, read_visit
from retinagrade.service.settings import ServiceSettings

_PATIENCE: Final = 1.0
"""Seconds that a photograph may take whose client has gone."""


@dataclass(frozen=True)
class DecodedPhotograph:
    """A photograph that is ready for the network, or the reason why it can't be used.

    Attributes:
        prepared: The photograph.
        is_too_large: Whether it has more pixels than the service decodes.
        size: Width and height of the upright photograph, in pixels; ``None`` after an error.
        visit: Patient and date.
        picture: The whole photograph at its own resolution, as JPEG, where the item was a :class:`WholePicture`.
    """

    prepared: PreparedPhotograph
    is_too_large: bool = False
    size: tuple[int, int] | None = None
    visit: Visit = UNKNOWN_VISIT
    picture: bytes | None = None


@dataclass(frozen=True)
class WholePicture:
    """A photograph to be converted for people, and not prepared for the network.

    Attributes:
        file: The photograph.
    """

    file: InMemory


Decoder = GuardedProcess[InMemory | WholePicture, DecodedPhotograph]
"""A process that decodes."""


def start_decoder(metadata: Metadata, settings: ServiceSettings) -> Decoder:
    """Starts a process that decodes photographs for a grader file."""
    decode = partial(
        decode_photograph,
        preparation=metadata.preparation.settings(),
        side=metadata.image_size,
        max_megapixels=settings.max_megapixels,
    )
    return GuardedProcess(
        decode, seconds=settings.photograph_seconds, memory=settings.photograph_bytes, patience=_PATIENCE
    )


def decode_photograph(
    item: InMemory | WholePicture, preparation: PreparationSettings, side: int, max_megapixels: float
) -> DecodedPhotograph:
    """Reads one photograph, and prepares it for the network or converts it for people.

    Args:
        item: The photograph.
        preparation: Settings of the prepared set that the network learnt from.
        side: Side of the network's input, in pixels.
        max_megapixels: Largest size, in millions of pixels; it is checked before decoding.
    """
    file = item.file if isinstance(item, WholePicture) else item
    try:
        width, height = photograph_size(file)
    except (ImageError, ModuleNotFoundError):  # preparing it raises a better error
        width = height = 0
    if width * height <= max_megapixels * 1e6:
        if isinstance(item, WholePicture):
            return _convert(file, max_megapixels)
        prepared = prepare_for_grading(file, file.stem, preparation, side)
        return DecodedPhotograph(
            prepared, size=None if prepared.error is not None else upright_size(file), visit=read_visit(file)
        )
    eye, visit = identify_eye(file), read_visit(file)
    error = (
        f"{file}: {width} × {height} pixels exceed the service's limit of {max_megapixels:g} megapixels: "
        "shrink the photograph"
    )
    return DecodedPhotograph(PreparedPhotograph(file.stem, file.name, eye, error=error), is_too_large=True, visit=visit)


def _convert(file: InMemory, max_megapixels: float) -> DecodedPhotograph:
    error, picture = None, None
    try:
        picture = encode_view(read_photograph(file, max_megapixels=max_megapixels))
    except (ImageError, ModuleNotFoundError) as problem:
        error = str(problem)
    return DecodedPhotograph(PreparedPhotograph(file.stem, file.name, UNKNOWN, error=error), picture=picture)
