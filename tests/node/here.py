"""Decoding in this process: one of its own takes seconds to start."""

from __future__ import annotations

from functools import partial

import pytest

from retinagrade.grader.metadata import Metadata
from retinagrade.images.decoding import InMemory
from retinagrade.service.decoding import DecodedPhotograph, decode_photograph
from retinagrade.service.settings import ServiceSettings


class DecoderHere:
    """Stands for a :data:`~retinagrade.service.decoding.Decoder`."""

    def __init__(self, metadata: Metadata, settings: ServiceSettings) -> None:
        """Sets it up. Args: as of :func:`~retinagrade.service.decoding.start_decoder`."""
        self._work = partial(
            decode_photograph,
            preparation=metadata.preparation.settings(),
            side=metadata.image_size,
            max_megapixels=settings.max_megapixels,
        )

    def __call__(self, file: InMemory) -> DecodedPhotograph:
        """Decodes a photograph."""
        return self._work(file)

    def close(self) -> None:
        """Does nothing."""


def decode_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets nodes of a test decode in this process."""
    monkeypatch.setattr("retinagrade.node.node.start_decoder", DecoderHere)
