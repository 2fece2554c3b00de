"""The page is whole, self-contained, escapes what it shows, and warns where it must."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd

from retinagrade.evaluation.evaluate import evaluate_confusion_matrix, evaluate_predictions
from retinagrade.evaluation.examples import MISTAKE, RIGHT, UNCERTAIN, example_photographs
from retinagrade.evaluation.fitting.calibration import fit_calibration
from retinagrade.evaluation.predictions import graded_predictions
from retinagrade.evaluation.report.page import render_report
from retinagrade.evaluation.report.summary import evaluation_tables
from retinagrade.evaluation.results import EvaluationContext
from retinagrade.manifest import Manifest
from tests.evaluation.tables import predictions, some_grades

HISTORY = pd.DataFrame(
    {
        "epoch": [0, 1, 2],
        "train_loss": [1.5, 1.2, 1.0],
        "val_loss": [1.6, 1.1, 1.3],
        "val_accuracy": [0.3, 0.5, 0.5],
        "val_qwk": [np.nan, 0.2, 0.4],
        "kept": [False, False, True],
    }
)


class References(HTMLParser):
    """Collects everything that a page would load, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.urls += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_is_self_contained_and_says_what_it_is_not() -> None:
    context = EvaluationContext("network <b>", "About & more.", HISTORY)
    evaluation = evaluate_predictions(predictions(some_grades(90), 3), context=context)
    page = render_report("A title", [evaluation, evaluation])
    found = References(page)
    assert found.urls
    assert all(url.startswith("data:image/") for url in found.urls)
    assert "b" not in found.tags
    assert "About &amp; more." in page
    assert "not a medical device" in page
    assert len(found.urls) == 2 * 7  # matrix, grades, ROC, precision, reliability, risk, curves
    assert found.urls[:7] == found.urls[7:]
    assert "Don't trust" not in page


def test_findings_and_undefined_metrics_are_shown() -> None:
    matrix = np.zeros((5, 5), int)
    matrix[:, 0] = [50, 5, 9, 3, 2]
    page = render_report("t", [evaluate_confusion_matrix(matrix)])
    assert "Don&#39;t trust" in page or "Don't trust" in page
    assert "Every photograph has the predicted grade 0" in page
    assert "needs probabilities" in page


def test_examples_are_the_gravest_mistakes_then_a_right_one_of_each_grade(prepared: Path) -> None:
    manifest = Manifest.read(prepared / "manifest.csv")
    table = predictions(manifest.table["grade"].to_numpy(dtype=int), skill=8)
    table["image_id"] = manifest.table["image_id"]
    first = table[table["grade"] == 0].index[0]
    table.loc[first, ["p0", "p1", "p2", "p3", "p4"]] = [0.0, 0.1, 0.0, 0.0, 0.9]
    second = table[table["grade"] == 2].index[0]
    table.loc[second, ["p0", "p1", "p2", "p3", "p4"]] = [0.0, 0.2, 0.0, 0.8, 0.0]
    examples = example_photographs(table, manifest)
    by_why = {why: [example for example in examples if example.reason == why] for why in (MISTAKE, UNCERTAIN, RIGHT)}
    assert [example.image_id for example in by_why[MISTAKE]] == table["image_id"][[first, second]].tolist()
    assert [(example.grade, example.predicted) for example in by_why[RIGHT]] == [(grade, grade) for grade in range(5)]
    assert len(by_why[UNCERTAIN]) == 5
    assert len({example.image_id for example in examples}) == len(examples)
    others = table[~table["image_id"].isin([example.image_id for example in examples])]
    least = others[["p0", "p1", "p2", "p3", "p4"]].max(axis=1).min()
    assert max(example.probability for example in by_why[UNCERTAIN]) <= least
    assert all(example.jpeg.startswith(b"\xff\xd8") for example in examples)
    page = render_report("t", [evaluate_predictions(table, context=EvaluationContext(examples=examples))])
    assert page.count('alt="fundus photograph') == 12


def test_metrics_do_not_wait_for_pictures_that_are_gone(prepared: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(prepared / "manifest.csv")
    table = predictions(manifest.table["grade"].to_numpy(dtype=int), skill=8)
    table["image_id"] = manifest.table["image_id"]
    assert example_photographs(table, Manifest(manifest.table, tmp_path)) == []
    assert example_photographs(table.assign(image_id=[f"other{index}" for index in range(30)]), manifest) == []


def test_write_evaluation(tmp_path: Path) -> None:
    context = EvaluationContext("n", history=HISTORY, sources={"source.csv": "1" * 64})
    evaluation = evaluate_predictions(predictions(some_grades(90), 3), resamples=50, context=context)
    page = evaluation.write(tmp_path / "out").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "source.csv" in page
    assert "50 resamples of patients (seed 0)" in page
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == evaluation.to_json()
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert set(record["sources"]) == {"source.csv"}
    assert record["versions"]["scikit-learn"]
    for picture in (
        "confusion_matrix",
        "grades",
        "roc",
        "precision_recall",
        "reliability",
        "risk_coverage",
        "training_curves",
    ):
        assert (tmp_path / "out" / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (tmp_path / "out" / f"{picture}.svg").read_bytes()[:600]


def test_what_was_fitted_is_in_the_page(tmp_path: Path) -> None:
    source = tmp_path / "val.csv"
    source.write_text("x")
    validation = predictions(some_grades(200, seed=1), skill=1, seed=1)
    fitted = fit_calibration(graded_predictions(validation.assign(image_id="v-" + validation["image_id"])), source)
    table = predictions(some_grades(200), skill=1).assign(laterality=["L", "R"] * 100)
    evaluation = evaluate_predictions(table, calibration=fitted, by=["laterality"], prevalence=0.1, resamples=50)
    page = render_report("t", [evaluation])
    for said in (
        "Operating points", "sensitivity at least 0.9", "Sets of possible grades", "Review by confidence",
        "calibrated (temperature)", "laterality: L", "at the stated prevalence", "200 other photographs",
    ):  # fmt: skip
        assert said in page, said
    for table_of in evaluation_tables(evaluation):
        assert all(len(row) == len(table_of.head) for row in table_of.rows)
