"""Metrics of known measurements, their intervals, warnings and tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from retinagrade.explanations.lesions.measurements import ALL, OTHER, OWN, RANDOM, SHUFFLED, LesionMeasurements
from retinagrade.explanations.lesions.report import agreement_tables, copies_lines
from retinagrade.explanations.lesions.summary import mean_with_interval, summarise_measurements


def test_a_ratio_is_a_ratio_of_sums_with_an_interval_over_photographs() -> None:
    saliency, area = np.array([0.4, 0.1, np.nan, 0.1]), np.array([0.1, 0.1, 0.3, 0.1])
    ratio = mean_with_interval(saliency, area)
    assert ratio.value == pytest.approx(0.6 / 0.3)
    assert ratio.photographs == 3
    assert ratio.interval is not None
    assert ratio.interval.low == pytest.approx(1)
    assert ratio.interval.high == pytest.approx(4)
    assert mean_with_interval(saliency).value == pytest.approx(0.2)
    assert mean_with_interval(np.full(4, np.nan)).value is None


def test_metrics_of_known_maps() -> None:
    """Saliency is twice as dense in lesions as elsewhere, and maps are the same with shuffled weights."""
    ids = [f"{number}" for number in range(8)]
    near = {"near_area": 0.5, "near_saliency": 0.5, "near_hit": 1.0}
    region = {"network": "n", "region": ALL, "area": 0.1, "hit": 0.0, **near}
    sources = (("m", OWN, 0.2), ("m", OTHER, 0.1), ("m", SHUFFLED, 0.1), (RANDOM, OWN, 0.1))
    regions = pd.DataFrame(
        [
            {**region, "image_id": name, "method": method, "map_source": source, "saliency": saliency}
            for name in ids
            for method, source, saliency in sources
        ]
    )
    row = {"network": "n", "correlation_other": 0.1}
    known = {"method": "m", "deletion": 0.3, "insertion": 0.8, "correlation_shuffled": 0.9}
    random = {"method": RANDOM, "deletion": 0.5, "insertion": 0.6, "correlation_shuffled": np.nan}
    maps = pd.DataFrame(
        [{**row, "image_id": name, **known} for name in ids]
        + [{**row, "image_id": name, **random} for name in reversed(ids)]
    )
    copies = {"n": {"0": "train", "1": "val", "2": "train"}, "gone": None}
    comparison = summarise_measurements(LesionMeasurements(regions, maps), copies)
    metrics = comparison.select(OWN)["n", "m"]
    assert metrics["ratio"].value == pytest.approx(2)
    assert comparison.select(OTHER)["n", "m"]["ratio"].value == pytest.approx(1)
    assert metrics["deletion_gain"].value == pytest.approx(0.2)
    assert metrics["insertion_gain"].value == pytest.approx(0.2)
    assert "hardly change when the weights are shuffled (mean rank correlation 0.90" in comparison.warnings[0]
    assert comparison.copies == {"n": {"train": 2, "val": 1}, "gone": None}
    assert "2 in train, 1 in val" in copies_lines(comparison)[0]
    assert "gone" in copies_lines(comparison)[1]
    assert [table.rows[0][0] for table in agreement_tables(comparison)] == ["n: m"] * 4
    assert len(comparison.rows) == 4
    assert repr(comparison) == "LesionComparison(n: m, random; 8 photographs, 1 warnings)"
    assert comparison.table["ratio"].tolist() == pytest.approx([2, 1])
    assert "insertion_gain" in comparison._repr_html_()
