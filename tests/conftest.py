"""Fixtures for many folders of tests: a small prepared set of synthetic photographs, and the path of real ones."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.split import split
from retinagrade.datasets.synthetic.patients import synthesize

pytest_plugins = ["tests.ray_cluster"]

# A busy machine is no failure, so examples have no deadline. CI draws the same examples each time, so that luck decides
# no build; new examples are drawn on developers' machines, a few in each of many runs.
settings.register_profile("retinagrade", deadline=None, derandomize="CI" in os.environ, max_examples=25)
settings.load_profile("retinagrade")

# A shell without job control makes the commands that it starts in the background ignore Ctrl-C, and all programs that
# they start as well; the tests of interrupted programs need its default.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REAL_DATA = Path(os.environ.get("RETINAGRADE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def idrid() -> Path:
    """Returns the folder of the official IDRiD data set; skips the test on a machine without it."""
    folder = REAL_DATA / "idrid"
    if not folder.is_dir():
        pytest.skip(f"no real photographs in {folder}; set RETINAGRADE_TEST_DATA to a folder that has 'idrid'")
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 synthetic photographs of 15 patients, prepared at 64 px and split 60/20/20 by patient."""
    folder = tmp_path_factory.mktemp("prepared")
    synthesize(folder / "source", count=30, size=96, seed=5)
    prepare(folder / "source", folder / "set", size=64, workers=1)
    split(folder / "set", val=0.2, test=0.2, seed=0)
    return folder / "set"
