"""The real command line, end to end, in processes of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import typer
from typer.core import TyperCommand, TyperGroup

from retinagrade.cli import app
from retinagrade.datasets.layouts import LAYOUTS
from tests.cli.command_line import TINY, run
from tests.datasets.public_trees import retinamnist_arrays, write_retinamnist


def test_the_whole_way(tmp_path: Path) -> None:
    source, prepared, folder = tmp_path / "source", tmp_path / "prepared", tmp_path / "runs" / "tiny"
    assert "30 photographs" in run("data", "synthesize", "--out", source, "--count", 30, "--size", 96)
    assert "30 of 30 photographs" in run("prepare", source, "--out", prepared, "--size", 64)
    assert "(30 from before)" in run("prepare", source, "--out", prepared, "--size", 64)
    assert "train" in run("split", prepared, "--val", 0.2, "--test", 0.2, code=None)
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
    assert "The network was trained on" in run("evaluate", folder / "predictions" / "train.csv", code=1)
    (folder / "output.json").write_text("{}")  # as a regression has it
    assert "The cut points between grades were fitted on" in run("evaluate", folder / "predictions" / "val.csv", code=1)
    run("split", prepared, "--val", 0.2, "--test", 0.2, "--seed", 9, code=None)
    assert "was split, prepared or edited again" in run("evaluate", folder / "predictions" / "test.csv", code=1)
    assert "was split, prepared or edited again" in run("predict", prepared, folder, "--split", "all", code=1)


def test_retinamnist_as_it_is_downloaded(tmp_path: Path) -> None:
    grades = {"train": [*range(5)] * 8, "val": [*range(5)] * 2, "test": [4, 0, 1, 2, 3, 0, 0]}
    archive = write_retinamnist(tmp_path / "retinamnist.npz", retinamnist_arrays(grades))
    prepared, folder = tmp_path / "prepared", tmp_path / "run"
    printed = run("prepare", archive, "--out", prepared, "--size", 64, "--square", "frame")
    assert "57 of 57 photographs" in printed
    assert "doubtful" not in printed
    overrides = ["--set", "training.epochs=1", "--set", "network.image_size=64"]
    run("train", prepared, "retinamnist", "--out", folder, *overrides)  # the official split, without `split`
    assert json.loads((folder / "run.json").read_text())["data"]["photographs"] == {"train": 40, "val": 10}
    run("predict", prepared, folder, "--split", "test")
    table = pd.read_csv(folder / "predictions" / "test.csv")
    assert table["image_id"].tolist() == [f"test-{index:04d}" for index in range(7)]
    assert table["grade"].tolist() == grades["test"]
    answer = json.loads(run("evaluate", folder / "predictions" / "test.csv", "--json", code=1))  # noise teaches nothing
    assert answer["photographs"] == 7
    assert 0 <= answer["metrics"]["macro_auc"]["value"] <= 1


def test_info_names_experiments_and_versions() -> None:
    facts = json.loads(run("info", "--json"))
    assert {"efficientnet-lite0", "scratch-2", "vgg16-3-sgd", "mobilenetv2-7-on-3.1"} <= set(facts["experiments"])
    assert facts["versions"]["retinagrade"]
    assert "not a medical device" in run("info")


def _commands(group: TyperGroup, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _commands(command, (*names, name))
        else:
            assert isinstance(command, TyperCommand)
            yield (*names, name), command


def test_help_explains_every_argument_and_option_in_words() -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    commands = dict(_commands(root))
    assert {("data", "check"), ("experiments", "show"), ("train",), ("serve",)} < commands.keys()
    for names, command in commands.items():
        text = command.get_help(command.context_class(command, info_name=names[-1]))
        assert len(command.get_short_help_str(limit=100)) <= 60, names
        for parameter in command.params:
            assert getattr(parameter, "help", None), (names, parameter.name)
        for sign in ("{", "x>=", "<=x", "<int>", "<float>", "<str>", "<path>", "<Path>", " range>", "<list["):
            assert sign not in text.replace("{low:", "").replace("{choices:", ""), (names, sign)


def test_help_names_every_layout() -> None:
    printed = run("prepare", "--help")
    assert not [layout for layout in LAYOUTS if layout not in printed]


def test_help_loads_nothing_heavy() -> None:
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
