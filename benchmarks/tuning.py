"""What tuning costs besides training: the same trials by ``tune`` and by ``train``, one after the other.

    python benchmarks/tuning.py PREPARED SPACE.yaml EXPERIMENT [--trials 12] [--storage URL …] [KEY=VALUE …]

With each storage (a file, SQLite, and those that are named), in a temporary folder. Features of a frozen base are
computed before. No trial is cut short, so that both train as much.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from retinagrade.files import sha256
from retinagrade.training.experiment import load_experiment, override
from retinagrade.training.train import train
from retinagrade.tuning.report import write_report
from retinagrade.tuning.search_space import read_space
from retinagrade.tuning.study import Plan, open_study, turns
from retinagrade.tuning.trial import run_trial


def measure(plan: Plan, prepared: Path, trials: int, storage: str | None, folder: Path) -> dict[str, float]:
    """Seconds a trial by ``tune`` and by ``train``, and of the report."""
    start = time.perf_counter()
    study = open_study(plan, folder / "study", sha256(prepared / "manifest.csv"), storage)
    for trial in turns(study, plan, folder / "study", trials):
        run_trial(trial, plan, prepared, folder / "study")
    tuned = time.perf_counter() - start
    settings = [[f"{name}={value}" for name, value in trial.params.items()] for trial in study.get_trials()]
    start = time.perf_counter()
    for number, changed in enumerate(settings):
        train(override(plan.experiment, changed), prepared, folder / str(number))
    trained = time.perf_counter() - start
    start = time.perf_counter()
    write_report(study, plan, folder / "study")
    return {"tune": tuned / trials, "train": trained / trials, "report": time.perf_counter() - start}


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
    plan = Plan(load_experiment(given.experiment, given.settings), read_space(given.space), pruning="none")
    with tempfile.TemporaryDirectory() as warm:
        measure(plan, given.prepared, 2, None, Path(warm))
    print(f"{given.trials} trials; seconds a trial by tune, by train, and more by tune; seconds of the report")
    for storage in (None, "sqlite", *given.storage):
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/trials.db" if storage == "sqlite" else storage
            seconds = measure(plan, given.prepared, given.trials, url, Path(folder))
        name = "file" if storage is None else storage.split(":")[0]
        more = seconds["tune"] - seconds["train"]
        print(f"{name:12}{seconds['tune']:8.2f}{seconds['train']:8.2f}{more:8.2f}{seconds['report']:8.2f}")


if __name__ == "__main__":
    main()
