"""Shares of the data sets of a joined set in an epoch's draws."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.datasets.balance import draw_by_source, source_numbers
from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import load_experiment
from retinagrade.manifest import Manifest
from retinagrade.training.loading import EpochSampler, epoch_sampler
from retinagrade.training.train import train
from tests.training.tiny_experiments import tiny

GRADES = np.array([0, 0, 0, 0, 1, 2] * 10 + [0, 3, 4, 4])
NAMES = np.array(["large"] * 60 + ["small"] * 4)


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    weights=st.lists(st.floats(0.1, 10), min_size=5, max_size=5),
    seed=st.integers(0, 9),
)
def test_each_data_set_gets_its_share_and_repeats_evenly(counts: list[int], weights: list[float], seed: int) -> None:
    names = np.repeat([f"set{n}" for n in range(len(counts))], counts)
    by_name = {f"set{n}": weight for n, weight in enumerate(weights)}
    rows = draw_by_source(names, by_name, np.arange(len(names)), np.random.default_rng(seed))
    assert len(rows) == len(names)
    drawn = Counter(names[rows].tolist())
    assert source_numbers(names, by_name) == {name: drawn[name] for name in np.unique(names)}
    total = sum(by_name[name] for name in np.unique(names))
    for name in np.unique(names):
        assert abs(drawn[name] - len(names) * by_name[name] / total) < 1
        repeats = [(rows == row).sum() for row in np.flatnonzero(names == name)]
        assert max(repeats) - min(repeats) <= 1


def test_epochs_differ_and_balance_applies_within_a_data_set() -> None:
    sampler = EpochSampler(GRADES, "inverse-frequency", 3, (NAMES, {"large": 1, "small": 1}))
    epochs = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        draws = list(sampler)
        assert len(draws) == len(sampler) == len(GRADES)
        rows = np.array([draw.row for draw in draws])
        assert Counter(NAMES[rows].tolist()) == {"large": 32, "small": 32}
        small = Counter(GRADES[rows[NAMES[rows] == "small"]].tolist())
        assert max(small.values()) - min(small.values()) <= 8  # thirds of 32, from draws that are repeated
        epochs.append(rows.tolist())
    assert epochs[0] != epochs[1]
    assert [draw.row for draw in sampler] == epochs[1]


def test_without_shares_an_epoch_is_as_before() -> None:
    plain = EpochSampler(GRADES, None, 3)
    assert sorted(draw.row for draw in plain) == list(range(len(GRADES)))


def manifest() -> Manifest:
    ids = [str(number) for number in range(len(GRADES))]
    table = pd.DataFrame({"image_id": ids, "path": ids, "grade": GRADES, "dataset": NAMES})
    return Manifest.from_table(table, Path("set"), "set")


def test_every_data_set_with_photographs_needs_a_weight() -> None:
    with pytest.raises(ExperimentError, match=r"training\.sources: no weight for small"):
        epoch_sampler(manifest(), tiny("training.sources.large=1"))
    more = tiny("training.sources.large=1", "training.sources.small=3", "training.sources.absent=2")
    rows = [draw.row for draw in epoch_sampler(manifest(), more)]
    assert Counter(NAMES[rows].tolist()) == {"large": 9, "small": 27}  # balance draws 36


def test_weights_are_positive_and_for_networks_that_grade() -> None:
    with pytest.raises(ExperimentError, match="greater than 0"):
        load_experiment("scratch-2", ["training.sources.a=0"])
    with pytest.raises(ExperimentError, match="sources"):
        load_experiment("lesions", ["training.sources.a=1"])


def test_a_training_says_which_data_set_it_repeats(prepared: Path, tmp_path: Path) -> None:
    stages: list[str] = []
    table = Manifest.read(prepared / "manifest.csv").table
    names = np.where(np.arange(len(table)) % 6 == 0, "rare", "common")
    divided = Manifest(table.assign(dataset=pd.array(names, dtype="string")), prepared)
    experiment = tiny(
        "training.epochs=1", "training.sources.rare=1", "training.sources.common=1", "training.balance=null"
    )
    run = train(
        prepared, experiment, tmp_path / "run", manifest=divided, progress=lambda stage, *_: stages.append(stage)
    )
    assert run.is_finished
    assert any("photographs of rare from" in stage for stage in stages)
