"""``retinagrade evaluate`` and ``compare``, in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.command_line import run
from tests.evaluation.tables import predictions, some_grades


@pytest.mark.parametrize("model", ["vgg16-5", "majority-vote"])
def test_a_matrix_of_the_report_is_flagged(model: str, tmp_path: Path) -> None:
    matrix = Path(__file__).parents[2] / "docs" / "report" / "matrices" / f"{model}.csv"
    printed = run("evaluate", "--confusion-matrix", matrix, "--out", tmp_path / "out", code=1)
    assert "cannot be told from chance" in printed
    assert (tmp_path / "out" / "confusion_matrix.png").is_file()
    assert not (tmp_path / "out" / "roc.png").exists()


def test_predictions_of_another_program_are_evaluated(tmp_path: Path) -> None:
    table = predictions(some_grades(120), skill=3)
    table.drop(columns="grade").to_csv(tmp_path / "p.csv", index=False)
    table[["image_id", "grade"]].sample(frac=1, random_state=0).to_csv(tmp_path / "g.csv", index=False)
    printed = run("evaluate", tmp_path / "p.csv", "--grades", tmp_path / "g.csv")
    assert "quadratic weighted kappa" in printed
    assert "always the most frequent grade" in printed
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    assert "give a table of grades with --grades" in run("evaluate", tmp_path / "p.csv", code=2)


def test_every_misorder_of_a_file_is_named_and_the_good_one_passes(tmp_path: Path) -> None:
    table = predictions(some_grades(400), skill=3)
    table["filename"] = [f"{name:04d}.png" for name in np.random.default_rng(0).permutation(400)]
    columns, file = ["p0", "p1", "p2", "p3", "p4"], tmp_path / "p.csv"
    by_name = np.argsort(table["filename"].to_numpy())
    misorders = {
        "Predictions look reversed: QWK": np.arange(400)[::-1],
        "Predictions look shifted by one row: QWK": (np.arange(400) + 1) % 400,
        "Predictions seem to be made in the alphabetical order of filename but": by_name,
        "No shift, reversal or order of names": np.random.default_rng(1).permutation(400),
    }
    table.to_csv(file, index=False)
    run("evaluate", file, "--resamples", 200)
    for said, order in misorders.items():
        table.assign(**{column: table[column].to_numpy()[order] for column in columns}).to_csv(file, index=False)
        printed = run("evaluate", file, "--out", tmp_path / "out", "--resamples", 200, code=1)
        assert said in printed
        page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        assert "trust these metrics yet" in page
        assert said in page


CELLS = "image_id,p0,p1,p2,p3,p4,grade"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", 2, "the file is empty"),
        (f"{CELLS}\n", 2, "the table has no rows"),
        (f"{CELLS}\na,0,0,1,0,0,2\n", 1, "The only photograph has grade 2"),
        (f"{CELLS}\na,0,0,1,0,0,\n", 2, "no photograph has a grade"),
        (f"{CELLS}\na,-3,1,9,0,0,1\nb,2,-1,0,0,0,2\n", 2, "apply softmax first"),
        (f"{CELLS}\na,nan,1,0,0,0,1\n", 2, "line 2, column p0: 'nan' is not a probability"),
    ],
)
def test_empty_lonely_and_broken_files_have_clear_outcomes(tmp_path: Path, text: str, code: int, said: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    assert said in run("evaluate", tmp_path / "p.csv", code=code)


def test_perfect_constant_and_absent_grades_have_clear_outcomes(tmp_path: Path) -> None:
    grades = np.array([0] * 30 + [2] * 20 + [4] * 10)  # grades 1 and 3 are absent
    table = pd.DataFrame(np.eye(5)[grades], columns=["p0", "p1", "p2", "p3", "p4"])
    table = table.assign(image_id=[f"i{index}" for index in range(60)], grade=grades)
    table.to_csv(tmp_path / "p.csv", index=False)
    answer = json.loads(run("evaluate", tmp_path / "p.csv", "--json"))
    assert answer["metrics"]["quadratic_weighted_kappa"] == {"value": 1, "interval": None}
    table.assign(p0=1, p1=0, p2=0, p3=0, p4=0).to_csv(tmp_path / "p.csv", index=False)
    assert "Every photograph has the predicted grade 0" in run("evaluate", tmp_path / "p.csv", code=1)


def test_wrong_sums_and_repeated_rows_are_findings_beside_the_metrics(tmp_path: Path) -> None:
    table = predictions(some_grades(200), skill=3)
    table.loc[7, ["p0", "p1", "p2", "p3", "p4"]] *= 2 / 3
    pd.concat([table, table.head(3)]).to_csv(tmp_path / "p.csv", index=False)
    answer = json.loads(run("evaluate", tmp_path / "p.csv", "--json", code=1))
    assert [finding["code"] for finding in answer["findings"]] == ["sums", "repeated"]
    assert "line 9 is furthest off with 0.667" in answer["findings"][0]["message"]
    assert answer["photographs"] == 200


def test_wrong_usage_is_one_clear_line_and_exit_2(tmp_path: Path) -> None:
    predictions(some_grades(60), skill=3).to_csv(tmp_path / "p.csv", index=False)
    assert "--confusion-matrix" in run("evaluate", code=2)
    assert "prevalence=10" in run("evaluate", tmp_path / "p.csv", "--prevalence", 10, code=2)
    assert "two or more runs" in run("compare", tmp_path / "p.csv", code=2)
    assert "twice" in run("compare", tmp_path / "p.csv", tmp_path / "p.csv", code=2)
    (tmp_path / "empty").mkdir()
    assert "has no predictions" in run("compare", tmp_path / "p.csv", tmp_path / "empty", code=2)
    assert "nowhere does not exist" in run("compare", tmp_path / "p.csv", tmp_path / "nowhere", code=2)


def test_networks_are_compared_and_written(tmp_path: Path) -> None:
    grades = some_grades(300)
    for name, skill in (("good", 3), ("fair", 2)):
        predictions(grades, skill=skill, seed=skill).to_csv(tmp_path / f"{name}.csv", index=False)
    files, options = [tmp_path / "good.csv", tmp_path / "fair.csv"], ("--resamples", 200, "--out", tmp_path / "out")
    assert "fair: quadratic weighted kappa" in run("compare", *files, *options, code=0)
    assert json.loads(run("compare", *files, *options, "--json", code=0)) == json.loads(
        (tmp_path / "out" / "comparison.json").read_text()
    )
