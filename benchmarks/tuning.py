"""What tuning costs besides training, a trial.

    python benchmarks/tuning.py PREPARED SPACE.yaml EXPERIMENT [--trials 12] [--storage URL …] [KEY=VALUE …]

All that a trial takes (asking for it, its settings, the experiment, its training, what it is worth, telling the study),
less its training, in which the reports of its epochs to the study don't count as training.
With each storage (a file, SQLite, and those that are named), in a temporary folder.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from retinagrade.experiments.experiment import load_experiment
from retinagrade.files import sha256
from retinagrade.training.train import train
from retinagrade.training.tuning import trial as room
from retinagrade.training.tuning.report import write_tuning_report
from retinagrade.training.tuning.search import SearchPlan, open_search, worker_trials
from retinagrade.training.tuning.search_space import read_space
from retinagrade.training.tuning.trial import PruningCallback


def clocked(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """A function that notes how long each of its calls takes, also of those that raise."""

    @wraps(function)
    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds.append(time.perf_counter() - start)

    return timed


def measure(plan: SearchPlan, prepared: Path, trials: int, storage: str | None, folder: Path) -> tuple[float, ...]:
    """Seconds a trial, of it those in training and the others; and seconds of the report."""
    training: list[float] = []
    reports: list[float] = []
    start = time.perf_counter()
    study = open_search(plan, folder, sha256(prepared / "manifest.csv"), storage)
    with (
        patch.object(room, "train", clocked(train, training)),
        patch.object(PruningCallback, "on_train_epoch_end", clocked(PruningCallback.on_train_epoch_end, reports)),
    ):
        for trial in worker_trials(study, plan, folder, trials):
            room.run_trial(trial, plan, prepared, folder)
    whole = time.perf_counter() - start
    trained = sum(training) - sum(reports)
    start = time.perf_counter()
    write_tuning_report(study, plan, folder)
    return whole / trials, trained / trials, (whole - trained) / trials, time.perf_counter() - start


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("space", type=Path)
    parser.add_argument("experiment")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--storage", action="append", default=[])
    parser.add_argument("settings", nargs="*")
    given = parser.parse_args()
    plan = SearchPlan(load_experiment(given.experiment, given.settings), read_space(given.space))
    lines = [f"{given.trials} trials; seconds a trial, of training, besides it; seconds of the report"]
    for storage in (None, "sqlite", *given.storage):
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/.trials.db" if storage == "sqlite" else storage
            seconds = measure(plan, given.prepared, given.trials, url, Path(folder))
        name = "file" if storage is None else storage.split(":")[0]
        lines.append(f"{name:12}" + "".join(f"{value:8.2f}" for value in seconds))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
