"""The script that tries a GPU: it says what is missing, reports failures beside results, and runs on a processor."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu" / "run.py"


def run(*arguments: str, python: str | Path = sys.executable) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": ""}
    return subprocess.run([python, SCRIPT, *arguments], capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("gpu_run", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["gpu_run"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


def test_without_a_gpu_it_says_so_and_tries_nothing() -> None:
    done = run()
    assert done.returncode == 2
    assert "nvidia-smi" in done.stderr
    assert done.stdout == ""


def test_without_packages_it_names_the_missing_one(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    done = run(python=tmp_path / "bare" / "bin" / "python")
    assert done.returncode == 2
    assert "No module named 'lightning'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_part_that_fails_or_is_late_is_named(script: ModuleType) -> None:
    trial = script.Trial(script.time.monotonic() + 60)
    assert trial.ask("no such part", "nothing", {}) is None
    assert "nothing" in trial.failures["no such part"]
    late = script.Trial(script.time.monotonic())
    assert late.ask("machine", "machine", {}) is None
    assert late.failures == {"machine": "left out: the time was over"}


def test_the_report_shows_what_passed_failed_and_is_missing(script: ModuleType) -> None:
    checks = [script.Check("near", 0.001, 0.01), script.Check("far", 0.5, 0.01), script.Check("lost", float("nan"), 1)]
    assert [check.passed for check in checks] == [True, False, False]
    lines = script.report("a machine", script.QUICK, checks, [["n", "s", "1", "", ""]], {"export": "why"}).splitlines()
    assert "| near | 0.001 | 0.01 | passed |" in lines
    assert "| far | 0.5 | 0.01 | **failed** |" in lines
    assert "| export | why |" in lines


def test_probabilities_are_compared_by_photograph(script: ModuleType, tmp_path: Path) -> None:
    for name, rows in (("a", ("x,.1,.2,.3,.2,.2", "y,1,0,0,0,0")), ("b", ("y,.5,.5,0,0,0", "x,.1,.2,.3,.2,.2"))):
        (tmp_path / name).write_text("\n".join(["image_id,p0,p1,p2,p3,p4", *rows]), encoding="utf-8")
    left, right = (script.read_probabilities(tmp_path / name) for name in ("a", "b"))
    assert sorted(script.differences(left, right)) == [0.0] * 8 + [0.5, 0.5]


@pytest.mark.slow
def test_all_parts_run_on_a_processor() -> None:
    done = run("--device", "cpu", "--quick", "--minutes", "30")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("| passed |") == 7
    assert done.stdout.count("| scratch-2 |") == 6
    assert "part without a result" not in done.stdout
