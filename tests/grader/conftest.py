"""A grader file that grades by colour, and photographs of both eyes."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinagrade.datasets.synthetic.patients import synthesize
from tests.grader.graders import write_grader


@pytest.fixture(scope="session")
def grader_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grader(tmp_path_factory.mktemp("grader") / "grader.onnx")


@pytest.fixture(scope="session")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both eyes of six synthetic patients."""
    folder = tmp_path_factory.mktemp("eyes") / "made"
    synthesize(folder, count=12, size=128, seed=3, workers=1)
    return folder / "photographs"
