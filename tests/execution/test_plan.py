"""The model of many machines agrees with computations by hand, and the page shows its output."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scaling() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scaling", ROOT / "benchmarks" / "scaling.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scaling"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_busiest_resource_decides_the_rate(scaling: ModuleType) -> None:
    stage = scaling.Stage("prepare", core=0.01, dispatch=0.001, out=0.0)
    wide, narrow = (scaling.Storage("", latency=0.05, requests=2, bandwidth=band) for band in (1e12, 50e6))
    assert scaling.simulate(stage, wide, 4) == (pytest.approx(400, rel=0.01), "cores")
    assert scaling.simulate(stage, wide, 64) == (pytest.approx(1000, rel=0.01), "handing out")
    assert scaling.simulate(stage, wide, 64, calls=2) == (pytest.approx(2000, rel=0.01), "handing out")
    assert scaling.simulate(stage, narrow, 64) == (pytest.approx(50, rel=0.01), "network")


def test_the_page_shows_the_printed_tables(scaling: ModuleType) -> None:
    rates = json.loads(scaling.RATES.read_text())
    stages = scaling.stages(rates)
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    for line in [*scaling.throughput(stages[0]), *scaling.plans(stages, rates["seconds"]["pair"])]:
        assert line in page
