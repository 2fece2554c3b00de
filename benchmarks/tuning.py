"""Measures the time that tuning adds to each trial's training.

    python benchmarks/tuning.py PREPARED SPACE.yaml EXPERIMENT [--trials 12] [--storage URL …] [KEY=VALUE …]

The added time is the whole time of a trial (drawing its settings, training, computing its metric, storing the outcome)
less its training without the reports after each epoch. It is measured with each storage (a file, SQLite, and the named
ones), in a temporary folder.
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
from retinagrade.storage.files import sha256
from retinagrade.training.train import train
from retinagrade.training.tuning import trial as trial_module
from retinagrade.training.tuning.report import write_tuning_report
from retinagrade.training.tuning.search import SearchPlan, open_search, worker_trials
from retinagrade.training.tuning.search_space import load_space
from retinagrade.training.tuning.trial import PruningCallback


def clocked(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """Wraps a function so that the duration of each call is recorded, also of calls that raise."""

    @wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds.append(time.perf_counter() - start)

    return timed


def measure(plan: SearchPlan, prepared: Path, trials: int, storage: str | None, folder: Path) -> tuple[float, ...]:
    """Measures the seconds of a trial, of its training, and of everything else; and the seconds of the report."""
    training: list[float] = []
    reports: list[float] = []
    start = time.perf_counter()
    study = open_search(plan, folder, sha256(prepared / "manifest.csv"), storage)
    with (
        patch.object(trial_module, "train", clocked(train, training)),
        patch.object(PruningCallback, "on_train_epoch_end", clocked(PruningCallback.on_train_epoch_end, reports)),
    ):
        for trial in worker_trials(study, plan, folder, trials):
            trial_module.run_trial(trial, plan, prepared, folder)
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
    arguments = parser.parse_args()
    plan = SearchPlan(load_experiment(arguments.experiment, arguments.settings), load_space(arguments.space))
    lines = [
        f"{arguments.trials} trials: seconds for each trial, for its training, for the rest; seconds of the report"
    ]
    for storage in (None, "sqlite", *arguments.storage):
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/.trials.db" if storage == "sqlite" else storage
            seconds = measure(plan, arguments.prepared, arguments.trials, url, Path(folder))
        name = "file" if storage is None else storage.split(":")[0]
        lines.append(f"{name:12}" + "".join(f"{value:8.2f}" for value in seconds))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
