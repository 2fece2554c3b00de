"""The tutorial script ``docs/first_grader.py``, run as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "first_grader.py"


@pytest.mark.slow  # `make test-tutorials`
def test_the_tutorial_goes_from_a_folder_to_a_grader_file(tmp_path: Path) -> None:
    for _ in range(2):  # every function continues, or returns the finished result
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(tmp_path / "first")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    out = tmp_path / "first"
    written = ["check/check.html", "prepared/manifest.csv", "run/predictions/test.csv", "evaluation/report.html"]
    assert all((out / name).is_file() for name in [*written, "evaluation/metrics.json", "grader.onnx", "grader.md"])
    results = pd.read_csv(out / "results.csv")
    assert len(results) == 48
    assert results["image_id"].is_unique
