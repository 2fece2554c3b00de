"""The page of the report's matrices is what its command makes of them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retinagrade.evaluation.report.plots import figure_png

REPORT = Path(__file__).parents[2] / "docs" / "report"


@pytest.fixture(scope="module")
def maker() -> dict[str, Any]:
    return runpy.run_path(str(REPORT / "page.py"))


def test_the_committed_page_is_what_the_command_writes(maker: dict[str, Any]) -> None:
    assert (REPORT / "matrices.md").read_text(encoding="utf-8") == maker["page"](maker["read_matrices"]())
    assert (REPORT / "matrices.png").read_bytes().startswith(b"\x89PNG")


def test_every_matrix_is_on_the_page_and_in_the_picture(maker: dict[str, Any]) -> None:
    matrices = maker["read_matrices"]()
    assert {f"{name}.csv" for name in matrices} == {path.name for path in (REPORT / "matrices").glob("*.csv")}
    figure = maker["picture"](matrices)
    assert [axes.get_title() for axes in figure.axes[:13]] == [*matrices, "for comparison: IDRiD"]
    assert figure_png(figure)


def test_beyond_chance_is_nothing_for_independent_predictions(maker: dict[str, Any]) -> None:
    assert np.allclose(maker["beyond_chance"](np.outer([1, 2, 3, 4, 5], [9, 1, 1, 1, 1])), 0)
    assert np.allclose(maker["beyond_chance"](np.diag([1, 1, 1, 1, 1])).diagonal(), 80)
