"""A grader file, photographs to send, and services of both."""

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
    """Both eyes of three made-up patients."""
    folder = tmp_path_factory.mktemp("eyes")
    synthesize(folder / "made", count=6, size=256, seed=3, workers=1)
    return sorted((folder / "made" / "photographs").iterdir())


@pytest.fixture(scope="session")
def service(grader_file: Path) -> Iterator[Served]:
    """One that nobody stops, fills or breaks."""
    with served(grader_file) as running:
        yield running
