"""A folder with the files that the examples of the documentation name."""

from __future__ import annotations

from pathlib import Path

import pytest

import retinagrade


@pytest.fixture(scope="session")
def example_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up eye of the README as ``eye.jpg``, and a small data set as ``YOUR_FOLDER``."""
    folder = tmp_path_factory.mktemp("examples")
    retinagrade.synthesize(folder / "eyes", count=2, size=1024, seed=4)
    (folder / "eyes" / "photographs" / "00000_left.jpg").rename(folder / "eye.jpg")
    retinagrade.synthesize(folder / "YOUR_FOLDER", count=30, size=160, seed=0)
    return folder
