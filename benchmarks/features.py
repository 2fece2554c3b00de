"""Measures how the number of cached augmentations of a frozen backbone affects metrics and time, over seeds.

    python benchmarks/features.py PREPARED OUT EXPERIMENT [KEY=VALUE …]

Trains an experiment with a frozen backbone on a prepared set, once for every number of views and seed; 0 views mean a
new augmentation in every draw without a cache. KEY=VALUE changes a setting like ``--set``. Finished runs in OUT are
kept, so that the same command continues after an interruption; times are those of cold caches.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pandas as pd

from retinagrade.experiments.experiment import load_experiment
from retinagrade.runs.run import Run
from retinagrade.training.features import cache_folder
from retinagrade.training.sweep_report import finished_runs, sweep_table
from retinagrade.training.train import train

VIEWS = (0, 1, 2, 4, 8, 16)
SEEDS = (0, 1, 2)


def train_all(prepared: Path, out: Path, name: str, overrides: list[str]) -> pd.DataFrame:
    """Trains with every number of views and seed.

    Returns:
        One row for each run: ``views``, ``seed``, ``minutes``, and the metrics of the validation photographs.
    """
    minutes_file = out / "minutes.csv"
    minutes = dict(pd.read_csv(minutes_file).itertuples(index=False)) if minutes_file.is_file() else {}
    for seed in SEEDS:
        for views in VIEWS:
            run = out / f"{views}-{seed}"
            if run.name in minutes:
                continue
            shutil.rmtree(cache_folder(prepared, run), ignore_errors=True)
            shutil.rmtree(run, ignore_errors=True)
            settings = [*overrides, f"training.feature_views={views}", f"training.seed={seed}"]
            start = time.perf_counter()
            train(prepared, load_experiment(name, settings), run)
            minutes[run.name] = (time.perf_counter() - start) / 60
            pd.DataFrame(minutes.items(), columns=["run", "minutes"]).to_csv(minutes_file, index=False)
    table = sweep_table(finished_runs(out))
    keys = table["run"].str.split("-", expand=True).astype(int)
    losses = [Run(out / name).finished_record().kept.val_loss for name in table["run"]]
    by_run = dict(zip(table["run"], losses, strict=True))
    return table.assign(
        views=keys[0], seed=keys[1], minutes=table["run"].map(minutes), val_loss=table["run"].map(by_run)
    )


def main() -> None:
    """Measures and prints."""
    prepared, out, name, *overrides = sys.argv[1:]
    table = train_all(Path(prepared), Path(out), name, overrides)
    metrics = ["val_loss", "quadratic_weighted_kappa", "referable_auc", "accuracy", "epochs", "minutes"]
    print(f"{name} {' '.join(overrides)}: mean and standard deviation over seeds {', '.join(map(str, SEEDS))}")
    print(table.groupby("views")[metrics].agg(["mean", "std"]).round(3).to_string())


if __name__ == "__main__":
    main()
