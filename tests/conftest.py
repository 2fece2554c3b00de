"""Fixtures that many rooms need: a small prepared set of made-up photographs, and where real ones may be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.split import split
from retinagrade.datasets.synthetic.patients import synthesize

# A busy machine is no failure. What lands must not hang on luck either: CI draws the same examples every time, and new
# ones are looked for at home.
settings.register_profile("retinagrade", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("retinagrade")

REAL_DATA = Path(os.environ.get("RETINAGRADE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def idrid() -> Path:
    """The official IDRiD tree, where this machine has it."""
    folder = REAL_DATA / "idrid"
    if not folder.is_dir():
        pytest.skip(f"no real photographs in {folder}; set RETINAGRADE_TEST_DATA to a folder that has 'idrid'")
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 made-up photographs of 15 patients, prepared at 64 px and split 60/20/20 by patient."""
    folder = tmp_path_factory.mktemp("prepared")
    synthesize(folder / "source", count=30, size=96, seed=5)
    prepare(folder / "source", folder / "set", size=64, workers=1)
    split(folder / "set", val=0.2, test=0.2, seed=0)
    return folder / "set"
