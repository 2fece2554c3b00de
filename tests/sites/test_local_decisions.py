"""Thresholds of a site's own: what they really reach, not what they reach on the photographs that chose them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from retinagrade.evaluation.fitting.calibration import fit_calibration
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.sites.local_decisions import LocalDecisions, judge_local_decisions
from tests.sites.simulated import simulated


def _judged(site: GradedPredictions, folder: Path, resamples: int = 60) -> LocalDecisions:
    (folder / "results.csv").write_text("any", "utf-8")
    calibration = fit_calibration(site, folder / "results.csv")
    return judge_local_decisions(calibration, site, None, {"referable": 0.4}, target=0.9, resamples=resamples)


def test_expected_figures_are_those_of_new_photographs(tmp_path: Path) -> None:
    found = _judged(simulated(200, 1, eyes=2), tmp_path)
    point = found.thresholds["referable"]
    new = simulated(20_000, 2)
    (tmp_path / "results.csv").write_text("any", "utf-8")
    calibration = fit_calibration(simulated(200, 1, eyes=2), tmp_path / "results.csv")
    referred = calibration.calibrate(new.probabilities)[:, 2:].sum(axis=1) >= point.threshold
    reached = {
        "sensitivity": float(referred[new.grades >= 2].mean()),
        "specificity": float((~referred[new.grades < 2]).mean()),
    }
    for name, value in reached.items():
        interval = getattr(point, f"{name}_interval")
        assert interval.low <= value <= interval.high
        assert abs(getattr(point, name) - value) < 0.06
    assert point.interval is not None
    assert point.interval.low < point.threshold < point.interval.high
    assert point.shipped == 0.4


def test_an_overconfident_grader_gets_a_temperature_above_one(tmp_path: Path) -> None:
    site = simulated(200, 1)
    sharp = site.probabilities**3
    surer = replace(site, probabilities=sharp / sharp.sum(axis=1, keepdims=True))
    found = _judged(surer, tmp_path)
    assert found.temperature_interval is not None
    assert found.temperature_interval.low > 1.5


def test_a_site_without_the_disease_gets_no_threshold_but_a_reason(tmp_path: Path) -> None:
    site = simulated(100, 1)
    found = _judged(site.rows(np.flatnonzero(site.grades < 2)), tmp_path)
    assert found.thresholds == {}
    assert set(found.undefined) == {"referable", "vision_threatening"}


def test_the_same_photographs_give_the_same_figures(tmp_path: Path) -> None:
    assert len({repr(_judged(simulated(60, 1), tmp_path, resamples=20).to_json()) for _ in range(2)}) == 1
