"""Ranking of macular oedema: scikit-learn's area, and nothing where labels are missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from retinagrade.evaluation.evaluate import evaluate_predictions
from retinagrade.evaluation.fitting.calibration import fit_calibration
from retinagrade.evaluation.oedema import oedema_photographs
from retinagrade.evaluation.predictions import graded_predictions


def table(count: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    grades = rng.integers(0, 5, count)
    rows = pd.DataFrame(rng.dirichlet(np.ones(5), count), columns=[f"p{grade}" for grade in range(5)])
    risk = np.where(grades >= 2, rng.integers(1, 3, count), 0)
    probability = np.clip(0.25 * risk + rng.normal(0.3, 0.2, count), 0, 1)
    return rows.assign(
        image_id=[f"{row:03d}" for row in range(count)], grade=grades, oedema_risk=risk, oedema_probability=probability
    )


def test_the_area_is_that_of_scikit_learn() -> None:
    rows = table()
    evaluation = evaluate_predictions(rows.astype({"oedema_risk": str}), resamples=200)
    expected = roc_auc_score(rows["oedema_risk"] >= 1, rows["oedema_probability"])
    assert evaluation.metrics["oedema_auc"] == pytest.approx(expected)
    interval = evaluation.intervals["oedema_auc"]
    assert interval is not None
    assert interval.low < expected < interval.high
    assert "macular oedema" in repr(evaluation)


def test_the_threshold_is_fitted_and_measured(tmp_path: Path) -> None:
    rows = table(120)
    fitted_on, others = rows[:80], rows[80:]
    (tmp_path / "val.csv").write_text("")
    calibration = fit_calibration(
        graded_predictions(fitted_on), tmp_path / "val.csv", oedema=oedema_photographs(fitted_on)
    )
    point = calibration.oedema
    assert point is not None
    called, sick = fitted_on["oedema_probability"] >= point.threshold, fitted_on["oedema_risk"] >= 1
    assert point.sensitivity == pytest.approx(called[sick].mean())
    assert point.specificity == pytest.approx((~called[~sick]).mean())
    assert point.sensitivity >= 0.9
    evaluation = evaluate_predictions(others, calibration=calibration, resamples=50)
    evaluation.write(tmp_path / "evaluation")
    assert "Macular oedema" in (tmp_path / "evaluation" / "report.html").read_text("utf-8")
    applied = evaluation.applied_calibration
    assert applied is not None
    (measured,) = [each for each in applied.operating_points if each.task == "oedema"]
    called, sick = others["oedema_probability"] >= point.threshold, others["oedema_risk"] >= 1
    assert measured.metrics["sensitivity"] == pytest.approx(called[sick].mean())
    without = fit_calibration(graded_predictions(fitted_on), tmp_path / "val.csv")
    assert without.oedema is None
    assert "oedema" not in without.undefined
    healthy = fit_calibration(
        graded_predictions(fitted_on),
        tmp_path / "val.csv",
        oedema=oedema_photographs(fitted_on.assign(oedema_risk=0)),
    )
    assert healthy.oedema is None
    assert "oedema" in healthy.undefined


def test_photographs_without_a_risk_are_left_out() -> None:
    rows = table()
    unknown = rows.assign(oedema_risk=rows["oedema_risk"].astype("Int64").where(rows.index < 40))
    expected = evaluate_predictions(rows[:40], resamples=0).metrics["oedema_auc"]
    assert evaluate_predictions(unknown, resamples=0).metrics["oedema_auc"] == pytest.approx(expected)


def test_one_kind_of_photographs_is_undefined_and_missing_columns_give_no_metric() -> None:
    evaluation = evaluate_predictions(table().assign(oedema_risk=0), resamples=0)
    assert evaluation.metrics["oedema_auc"] is None
    assert "oedema_auc" in evaluation.undefined
    assert "oedema_auc" not in evaluate_predictions(table().drop(columns="oedema_risk"), resamples=0).metrics
