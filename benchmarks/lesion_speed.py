"""Measures grading with files that outline lesions: rates from files, one photograph from nothing, and memory.

python benchmarks/lesion_speed.py PHOTOGRAPHS MODEL.onnx [MODEL.onnx…]

PHOTOGRAPHS is a folder of full-size photographs. All models take turns, in float32 and in bfloat16 (`--fast`). The best
rate of each counts; its ratio is to the first model in float32. A fresh process grades one photograph, and another one
the whole folder; its memory is the most that it held. It needs OpenVINO and a processor with bfloat16.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Final

from retinagrade.grader.runtime import Grader

TURNS: Final = 3
STARTS: Final = 5
"""Processes that grade one photograph; the median of their times counts."""


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    arguments = parser.parse_args()
    photographs = sorted(arguments.photographs.iterdir())
    keys = [(model, fast) for model in arguments.models for fast in (False, True)]
    # Before this process holds much itself: the memory of a new process counts what its parent holds.
    started = {key: start_command(photographs, *key) for key in keys}
    graders = {key: Grader.load(*key) for key in keys}
    rates = dict.fromkeys(keys, 0.0)
    for turn in range(TURNS + 1):
        for key, grader in graders.items():
            start = time.perf_counter()
            grader.grade(photographs)
            if turn:  # the first one only warms up
                rates[key] = max(rates[key], len(photographs) / (time.perf_counter() - start))
    print(f"{date.today():%-d %B %Y}, {len(photographs)} photographs, {os.cpu_count()} cores\n")
    print("| model | photographs a second | ratio | one photograph from nothing | memory of the whole folder |")
    print("|---|---|---|---|---|")
    for (model, fast), rate in rates.items():
        name, (alone, memory) = f"{model.name}{' --fast' if fast else ''}", started[model, fast]
        print(f"| {name} | {rate:.1f} | {rate / rates[keys[0]]:.2f} × | {alone:.2f} s | {memory:.2f} GB |")


def start_command(photographs: list[Path], model: Path, fast: bool) -> tuple[float, float]:
    """Returns the time of one photograph in seconds, and the memory of all in GB, both of fresh processes."""
    alone = median(run_command(photographs[:1], model, fast)[0] for _ in range(STARTS))
    return alone, run_command(photographs, model, fast)[1]


def run_command(photographs: list[Path], model: Path, fast: bool) -> tuple[float, float]:
    """Grades photographs in a fresh process; returns its time in seconds, and its memory in GB (10⁹ bytes)."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "results.csv"
        command = [sys.executable, "-m", "retinagrade", "grade", *map(str, photographs), "--model", str(model)]
        start = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--out", str(table), *(["--fast"] if fast else [])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status) not in (0, 1):
            raise RuntimeError(f"{' '.join(command)} failed")
        return time.perf_counter() - start, used.ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
