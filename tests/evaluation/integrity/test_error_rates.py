"""A small version of ``benchmarks/integrity.py``: honest tables are not accused, misaligned ones are found."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "integrity.py"


@pytest.fixture(scope="module")
def simulation() -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARK))


@pytest.mark.parametrize("strength", ["chance", "QWK 0.2", "QWK 0.4"])
def test_honest_tables_are_not_accused(simulation: dict[str, Any], strength: str) -> None:
    rates = simulation["Rates"]()
    for prevalence in simulation["PREVALENCES"]:
        for number, layout in enumerate(simulation["LAYOUTS"]):
            made = simulation["Simulation"](prevalence, strength, 300)
            rates.add(made.honest(np.random.default_rng([number, 5]), layout))
    assert rates.accused == 0
    assert (rates.found == rates.tables) == (strength == "chance")


def test_misaligned_tables_are_found(simulation: dict[str, Any]) -> None:
    for prevalence in ("screening", "balanced"):
        made = simulation["Simulation"](prevalence, "QWK 0.6", 400)
        for kind, misalign in simulation["MISALIGNMENTS"].items():
            rates, generator = simulation["Rates"](), np.random.default_rng(0)
            rates.add(misalign(made.honest(generator, "random"), generator))
            assert rates.found == 1, (prevalence, kind)
