"""The real command line, end to end, in processes of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.command_line import TINY, run
from tests.datasets.public_trees import retinamnist_arrays, write_retinamnist
from tests.evaluation.tables import predictions, some_grades


def test_the_whole_way(tmp_path: Path) -> None:
    source, prepared, folder = tmp_path / "source", tmp_path / "prepared", tmp_path / "runs" / "tiny"
    assert "30 photographs" in run("data", "synthesize", "--out", source, "--count", 30, "--size", 96)
    assert "30 of 30 photographs" in run("prepare", source, "--out", prepared, "--size", 64)
    assert "(30 from before)" in run("prepare", source, "--out", prepared, "--size", 64)
    assert "train" in run("split", prepared, "--val", 0.2, "--test", 0.2)
    overrides = [word for override in TINY for word in ("--set", override)]
    printed = run("train", prepared, "scratch-2", "--out", folder, *overrides)
    assert "scratch-2: 2 epochs" in printed
    assert f"retinagrade evaluate {folder}/predictions/val.csv" in printed
    run("predict", prepared, folder, "--split", "test")
    # Two epochs teach nothing, and evaluation says so.
    answer = json.loads(run("evaluate", folder / "predictions" / "test.csv", "--json", code=1))
    assert answer["findings"]
    page = folder / "evaluation" / "test" / "report.html"
    assert "not a medical device" in page.read_text(encoding="utf-8")
    assert json.loads((page.parent / "metrics.json").read_text()) == answer
    manifest = prepared / "manifest.csv"
    assert "grades without a prediction" in run(
        "evaluate", folder / "predictions" / "test.csv", "--grades", manifest, code=2
    )
    leaks = ("leaked-photographs", "leaked-copies", "leaked-patients", "split-changed")
    assert not {finding["code"] for finding in answer["findings"]} & set(leaks)
    run("predict", prepared, folder, "--split", "train")
    assert "Trained on:" in run("evaluate", folder / "predictions" / "train.csv", code=1)
    (folder / "output.json").write_text("{}")  # as a regression has it
    assert "The cut points between grades were fitted on" in run("evaluate", folder / "predictions" / "val.csv", code=1)
    run("split", prepared, "--val", 0.2, "--test", 0.2, "--seed", 9)
    assert "was split, prepared or edited again" in run("evaluate", folder / "predictions" / "test.csv", code=1)


def test_retinamnist_as_it_is_downloaded(tmp_path: Path) -> None:
    grades = {"train": [*range(5)] * 8, "val": [*range(5)] * 2, "test": [4, 0, 1, 2, 3, 0, 0]}
    archive = write_retinamnist(tmp_path / "retinamnist.npz", retinamnist_arrays(grades))
    prepared, folder = tmp_path / "prepared", tmp_path / "run"
    printed = run("prepare", archive, "--out", prepared, "--size", 64, "--square", "frame")
    assert "57 of 57 photographs" in printed
    assert "doubtful" not in printed
    overrides = ["--set", "training.epochs=2", "--set", "training.batch_size=16"]
    run("train", prepared, "retinamnist", "--out", folder, *overrides)  # the official split, without `split`
    assert json.loads((folder / "run.json").read_text())["data"]["photographs"] == {"train": 40, "val": 10}
    run("predict", prepared, folder, "--split", "test")
    table = pd.read_csv(folder / "predictions" / "test.csv")
    assert table["image_id"].tolist() == [f"test-{index:04d}" for index in range(7)]
    assert table["grade"].tolist() == grades["test"]
    answer = json.loads(run("evaluate", folder / "predictions" / "test.csv", "--json", code=1))  # noise teaches nothing
    assert answer["photographs"] == 7
    assert 0 <= answer["metrics"]["macro_auc"]["value"] <= 1


@pytest.mark.parametrize("model", ["vgg16-5", "majority-vote"])
def test_a_matrix_of_the_report_is_flagged(model: str, tmp_path: Path) -> None:
    matrix = Path(__file__).parents[2] / "docs" / "report" / "matrices" / f"{model}.csv"
    printed = run("evaluate", "--confusion-matrix", matrix, "--out", tmp_path / "out", code=1)
    assert "carry no information about the grades" in printed
    assert (tmp_path / "out" / "confusion_matrix.png").is_file()
    assert not (tmp_path / "out" / "roc.png").exists()


def test_another_programs_predictions(tmp_path: Path) -> None:
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
    run("evaluate", file)
    for said, order in misorders.items():
        table.assign(**{column: table[column].to_numpy()[order] for column in columns}).to_csv(file, index=False)
        printed = run("evaluate", file, "--out", tmp_path / "out", code=1)
        assert said in printed
        page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        assert "believe these figures yet" in page
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
    assert "Every photograph was given grade 0" in run("evaluate", tmp_path / "p.csv", code=1)


def test_sums_and_repeated_rows_are_said_and_figures_still_given(tmp_path: Path) -> None:
    table = predictions(some_grades(200), skill=3)
    table.loc[7, ["p0", "p1", "p2", "p3", "p4"]] *= 2 / 3
    pd.concat([table, table.head(3)]).to_csv(tmp_path / "p.csv", index=False)
    answer = json.loads(run("evaluate", tmp_path / "p.csv", "--json", code=1))
    assert [finding["code"] for finding in answer["findings"]] == ["sums", "repeated"]
    assert "line 9 is furthest off with 0.667" in answer["findings"][0]["message"]
    assert answer["photographs"] == 200


def test_wrong_usage_is_one_clear_line_and_exit_2(tmp_path: Path) -> None:
    assert "wants a table of predictions, or --confusion-matrix" in run("evaluate", code=2)


def test_info_names_experiments_and_versions() -> None:
    facts = json.loads(run("info", "--json"))
    assert {"efficientnet-lite0", "scratch-2", "vgg16-3-sgd", "mobilenetv2-7-on-3.1"} <= set(facts["experiments"])
    assert facts["versions"]["retinagrade"]
    assert "not a medical device" in run("info")


def test_help_of_every_command_is_there_and_loads_nothing_heavy() -> None:
    for command in (
        "",
        "data synthesize",
        "prepare",
        "split",
        "train",
        "predict",
        "evaluate",
        "calibrate",
        "ensemble",
        "demo",
        "info",
    ):
        assert "Usage" in run(*command.split(), "--help")
    imported = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "retinagrade", "--help"], capture_output=True, text=True, check=True
    ).stderr
    for heavy in ("torch", "pandas", "sklearn", "matplotlib", "cv2", "crepes"):
        assert f" {heavy}\n" not in imported


def test_info_needs_no_framework_and_a_missing_extra_is_named() -> None:
    """As after a base install: importing any package of the extras fails."""
    script = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {blocked!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "sys.argv = ['retinagrade', *{arguments!r}]\n"
        "from retinagrade.cli import main\n"
        "main()\n"
    )
    framework = {"torch", "torchvision", "timm", "lightning", "omegaconf"}
    tables = {"pandas", "sklearn", "scipy", "matplotlib", "jinja2"}

    def blocked(packages: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
        code = script.format(blocked=packages, arguments=arguments)
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert blocked(framework | tables, "info").returncode == 0
    matrix = Path(__file__).parents[2] / "docs" / "report" / "matrices" / "vgg16-5.csv"
    assert blocked(framework, "evaluate", "--confusion-matrix", str(matrix)).returncode == 1
    without = blocked(framework, "train", "x", "scratch-2", "--out", "y")
    assert without.returncode == 2
    assert "pip install 'retinagrade[train]'" in without.stderr
    assert "pip install 'retinagrade[evaluate]'" in blocked(tables, "prepare", "x", "--out", "y").stderr
