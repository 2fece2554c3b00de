from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import classification_report

from retinagrade.errors import JoinError, ManifestError
from retinagrade.evaluation.evaluate import evaluate, evaluate_confusion_matrix, read_confusion_matrix
from tests.evaluation.tables import predictions, some_grades


def test_agrees_with_scikit_learns_report() -> None:
    table = predictions(some_grades(400), skill=1)
    evaluation = evaluate(table)
    predicted = table[["p0", "p1", "p2", "p3", "p4"]].to_numpy().argmax(axis=1)
    expected = classification_report(table["grade"].astype(int), predicted, output_dict=True)
    assert evaluation.figures["accuracy"] == pytest.approx(expected["accuracy"])
    for row in evaluation.per_grade:
        for ours, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert row[ours] == pytest.approx(expected[str(row["grade"])][theirs])
        assert row["support"] == expected[str(row["grade"])]["support"]
    for kind in ("macro", "weighted"):
        for ours, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert evaluation.averages[kind][ours] == pytest.approx(expected[f"{kind} avg"][theirs])
    assert evaluation.averages["macro"]["recall"] == pytest.approx(evaluation.figures["balanced_accuracy"])
    assert evaluation.undefined == {}


@given(st.integers(0, 100))
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    table = predictions(some_grades(60), skill=1)
    shuffled = table.sample(frac=1, random_state=seed)
    assert evaluate(shuffled).to_json() == evaluate(table).to_json()
    grades = table[["image_id", "grade"]].sample(frac=1, random_state=seed + 1)
    assert evaluate(shuffled.drop(columns="grade"), grades).to_json() == evaluate(table).to_json()


@given(st.lists(st.none() | st.integers(0, 4), min_size=1, max_size=12), st.integers(0, 9))
def test_any_set_of_grades_gives_strict_json_and_a_reason_for_every_null(grades: list[int | None], seed: int) -> None:
    table = predictions(np.array([grade or 0 for grade in grades]), skill=1, seed=seed)
    table["grade"] = pd.array(grades, dtype="Int64")
    if all(grade is None for grade in grades):
        with pytest.raises(JoinError, match="--grades"):
            evaluate(table)
        return
    answer = json.loads(json.dumps(evaluate(table).to_json(), allow_nan=False))
    assert answer["ungraded"] == grades.count(None)
    nulls = [name for name, value in answer.items() if value is None]
    nulls += [
        f"grade {row['grade']} {name}" for row in answer["per_grade"] for name in row if row[name] is None
    ]  # fmt: skip
    nulls += [f"{kind} {name}" for kind, row in answer["averages"].items() for name in row if row[name] is None]
    assert set(nulls) == set(answer["undefined"])
    assert all(answer["undefined"].values())


def test_a_grade_that_is_never_given_has_no_precision_and_no_hidden_zero() -> None:
    matrix = np.diag([20, 0, 20, 10, 10])
    matrix[1, 0] = 5
    evaluation = evaluate_confusion_matrix(matrix)
    assert evaluation.per_grade[1] == {"grade": 1, "precision": None, "recall": 0.0, "f1": 0.0, "support": 5}
    assert evaluation.averages["macro"]["precision"] is None
    assert evaluation.undefined["macro precision"] == "precision of grade 1 is undefined"
    assert evaluation.averages["macro"]["recall"] == pytest.approx(0.8)
    assert "probabilities" in evaluation.undefined["referable_auc"]


MATRIX = np.arange(25).reshape(5, 5)
ROWS = [",".join(map(str, row)) for row in MATRIX]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(ROWS),
        "\r\n".join(ROWS) + "\r\n\r\n",
        "\ufeff" + "\n".join(ROWS).replace(",", ";"),
        "\n".join(ROWS).replace(",", "\t"),
        "0,1,2,3,4\n" + "\n".join(ROWS),
        "grade,none,mild,moderate,severe,proliferative\n" + "\n".join(f"{i},{row}" for i, row in enumerate(ROWS)),
        "\n".join(f"grade {i}, {row}" for i, row in enumerate(ROWS)),
    ],
)
def test_confusion_matrices_are_read_with_and_without_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.csv").write_bytes(text.encode())
    assert np.array_equal(read_confusion_matrix(tmp_path / "m.csv"), MATRIX)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n".join(ROWS[:4]), "found 4 lines of 5 cells"),
        ("\n".join(ROWS).replace("13", "-13"), "line 3, column 4: '-13' is not a count"),
        ("\n".join(ROWS).replace("13", "1.5"), "'1.5' is not a count"),
        ("\n".join(["0,0,0,0,0"] * 5), "counts no photographs"),
        ("a,b\nc,d", "found 2 lines of 2 cells"),
    ],
)
def test_what_is_no_confusion_matrix(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ManifestError) as error:
        read_confusion_matrix(tmp_path / "m.csv")
    assert said in str(error.value)
    with pytest.raises(ManifestError, match="not a readable CSV"):
        read_confusion_matrix(tmp_path / "absent.csv")
