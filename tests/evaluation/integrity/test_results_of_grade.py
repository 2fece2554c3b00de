"""Columns that ``grade`` computes from its predictions sort them, and are no order in which photographs were read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from retinagrade.evaluation.integrity.orders import find_orders
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS
from retinagrade.gradings.grading import DIGITS, Grading
from retinagrade.gradings.table import write_results
from retinagrade.runs.predictions import Predictions

PROBABILITIES = list(PROBABILITY_COLUMNS)


def weak_gradings() -> tuple[list[Grading], np.ndarray]:
    """Gradings and grades of 960 photographs of a screening set, by a weak and overconfident network."""
    generator = np.random.default_rng(1)
    shares = np.array([0.73, 0.07, 0.15, 0.03, 0.02])
    grades = generator.choice(N_GRADES, 960, p=shares)
    seen = grades + 2.2 * generator.standard_normal(960)
    logits = 6 * (-((seen[:, None] - np.arange(N_GRADES)) ** 2) / (2 * 2.2**2) + 0.5 * np.log(shares))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = (powers / powers.sum(axis=1, keepdims=True)).round(DIGITS)
    gradings = [
        Grading(
            f"{number:04d}_img",
            f"photographs/{number:04d}_img.jpg",
            predicted_grade=int(row.argmax()),
            probabilities=tuple(row.tolist()),
            expected_grade=round(float(row @ np.arange(N_GRADES)), DIGITS),
            confidence=float(row.max()),
            quality=0.98,
        )
        for number, row in enumerate(probabilities)
    ]
    return gradings, grades


def test_results_of_grade_are_not_accused(tmp_path: Path) -> None:
    gradings, grades = weak_gradings()
    write_results(tmp_path / "r.csv", Grading, gradings)
    labels = pd.DataFrame({"image_id": [each.image_id for each in gradings], "grade": grades})
    labels.to_csv(tmp_path / "labels.csv", index=False)
    assert Predictions.read(tmp_path / "r.csv", grades=tmp_path / "labels.csv").findings == []


def test_columns_from_the_predictions_are_no_names() -> None:
    gradings, grades = weak_gradings()
    probabilities = np.array([each.probabilities for each in gradings])
    expected, generator = probabilities @ np.arange(N_GRADES), np.random.default_rng(0)
    texts = {
        "quality": [str(number) for number in generator.permutation(960)],  # of `grade`, whatever it holds
        "sharpness": [repr(number) for number in generator.random(960).tolist()],
        "severity": [str(rank) for rank in np.argsort(np.argsort(expected))],
        "doubt": [f"case-{rank:04d}" for rank in np.argsort(np.argsort(probabilities.max(axis=1)))],
        "referred_first": [str(rank) for rank in np.lexsort((generator.random(960), expected < 1)).argsort()],
        "path": [f"{number:04d}.jpg" for number in generator.permutation(960)],
        "camera_number": [str(number) for number in generator.permutation(960)],
    }
    table = pd.DataFrame(probabilities, columns=PROBABILITIES).assign(
        image_id=[each.image_id for each in gradings],
        grade=pd.array(grades, dtype="Int64"),
        **{name: pd.array(cells, dtype="string") for name, cells in texts.items()},
    )
    named = " ".join(order.name for order in find_orders(table, most=99))
    assert [column for column in texts if f" {column}" in named] == ["path", "camera_number"]
