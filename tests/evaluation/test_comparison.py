"""Networks side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from retinagrade.errors import JoinError
from retinagrade.evaluation.comparison import ComparisonRecord, compare_predictions, comparison_tables
from retinagrade.evaluation.evaluate import evaluate_predictions
from tests.evaluation.tables import predictions, some_grades
from tests.schemas import require_schema

GRADES = some_grades(150)
GOOD, WEAK = predictions(GRADES, skill=3), predictions(GRADES, skill=0.5, seed=1)


def test_a_better_network_is_told_from_a_weak_one() -> None:
    networks = compare_predictions({"weak": WEAK, "good": GOOD}, resamples=200)
    assert networks.first == "weak"
    difference = networks.differences["good"]["quadratic_weighted_kappa"]
    assert difference.difference is not None
    assert difference.interval is not None
    assert difference.interval.low > 0
    assert networks.evaluations["good"].metrics == evaluate_predictions(GOOD, resamples=0).metrics
    assert networks.delong["good"]["referable"].p_value < 0.001
    shown = repr(networks)
    assert f"difference {difference.difference:+.3f}" in shown
    assert len(shown.splitlines()) == 3 + len(networks.findings)
    assert "Differences from weak" in networks._repr_html_()
    assert networks.plot().axes


def test_delongs_test_is_left_out_where_patients_have_several_photographs() -> None:
    eyes = [f"p{row // 2}" for row in range(150)]
    tables = {"a": WEAK.assign(patient_id=eyes), "b": GOOD.assign(patient_id=eyes)}
    assert compare_predictions(tables, resamples=20).delong == {"b": {}}


def test_only_the_same_photographs_compare() -> None:
    with pytest.raises(JoinError, match="different photographs"):
        compare_predictions({"a": WEAK, "b": GOOD.head(100)}, resamples=20)


def test_the_page_holds_everything(tmp_path: Path) -> None:
    networks = compare_predictions(
        {"weak <i>": WEAK, "good": GOOD, "again": GOOD}, sources={"a.csv": "0" * 64}, resamples=50
    )
    page = networks.write(str(tmp_path)).read_text(encoding="utf-8")
    assert "not a medical device" in page
    assert "weak &lt;i&gt;" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    for table in comparison_tables(networks):
        assert all(len(row) == len(table.head) for row in table.rows)
    answer = json.loads((tmp_path / "comparison.json").read_text())
    require_schema(ComparisonRecord, answer)
    for evaluation in answer["evaluations"].values():
        require_schema("metrics.schema.json", evaluation)
    assert set(answer["differences"]) == {"good", "again"}
    assert {path.name for path in tmp_path.iterdir()} >= {"differences.png", "differences.svg", "run.json"}
    assert pd.Series(answer["evaluations"]["good"]["support"]).sum() == 150
