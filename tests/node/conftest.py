"""Grader files for tests of the node."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.grader.conftest import grader_file
from tests.grader.lesion_graders import write_lesion_grader

__all__ = ["grader_file"]


@pytest.fixture(scope="session")
def lesion_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lesion_grader(tmp_path_factory.mktemp("lesions") / "lesions.onnx")
