"""A grader, photographs to send, and a running service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from retinagrade import Grader
from retinagrade.datasets.synthetic.patients import synthesize
from tests.grader.conftest import grader_file
from tests.service.served import Served, served

__all__ = ["grader_file"]


@pytest.fixture(scope="session")
def grader(grader_file: Path) -> Grader:
    return Grader.load(grader_file)


@pytest.fixture(scope="session")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Both eyes of three synthetic patients."""
    folder = tmp_path_factory.mktemp("eyes")
    synthesize(folder / "made", count=6, size=256, seed=3, workers=1)
    return sorted((folder / "made" / "photographs").iterdir())


@pytest.fixture(scope="session")
def service(grader_file: Path) -> Iterator[Served]:
    """A running service that several tests share."""
    with served(grader_file) as running:
        yield running
