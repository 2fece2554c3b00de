"""Calibration of lesion maps: pixels get the probabilities that their counts show."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from retinagrade.evaluation.fitting.map_calibration import fit_map_calibration
from retinagrade.evaluation.lesion_metrics import LEVELS, LesionCounts, count_lesions, level_logits
from retinagrade.lesion_maps.calibration import MapCalibration


def counts_with(scale: float, bias: float) -> LesionCounts:
    """Returns counts of pixels whose true probabilities are a line of their logits."""
    pixels = np.round(1e6 * np.exp(-((level_logits() + 3) ** 2) / 18)).astype(np.int64)
    true = expit(scale * level_logits() + bias)
    inside = np.round(pixels * true).astype(np.int64)
    return LesionCounts(inside, pixels - inside, np.zeros(0), np.zeros(0))


@pytest.mark.parametrize(("scale", "bias"), [(1.0, 0.0), (0.6, -2.0), (1.3, 0.5)])
def test_the_line_of_the_counts_is_found(scale: float, bias: float) -> None:
    counts = {"a": {"haemorrhages": counts_with(scale, bias)}, "b": {}}
    fitted = fit_map_calibration(counts, ("haemorrhages", "soft_exudates"))
    assert fitted.scales == pytest.approx((scale, 1.0), abs=0.02)
    assert fitted.biases == pytest.approx((bias, 0.0), abs=0.03)


def test_levels_and_logits_belong_together() -> None:
    logits = np.linspace(-13, 13, 200, dtype=np.float64)
    counts = count_lesions(expit(logits)[None].astype(np.float32), np.ones((1, 200), bool), np.ones((1, 200), bool))
    found = np.repeat(level_logits(), counts.inside)
    assert np.abs(found - logits).max() < 2 * (level_logits()[1] - level_logits()[0])
    assert len(level_logits()) == LEVELS


def test_maps_that_are_worse_than_chance_stay_as_they_are() -> None:
    counts = {"a": {"haemorrhages": counts_with(-1.0, -3.0)}}
    assert fit_map_calibration(counts, ("haemorrhages",)) == MapCalibration.identity(("haemorrhages",))


def test_maps_are_bytes_of_calibrated_probabilities() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (2, 30, 20))
    maps = MapCalibration(kinds=("a", "b"), scales=(1.0, 0.5), biases=(0.0, -1.0)).maps(logits)
    assert maps.dtype == np.uint8
    np.testing.assert_array_equal(maps[0], np.round(255 * expit(logits[0])))
    np.testing.assert_array_equal(maps[1], np.round(255 * expit(0.5 * logits[1] - 1)))
