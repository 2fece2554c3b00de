"""Ensembles as grader files: graphs combine members like the NumPy rules, and files give the ensemble's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import retinagrade
from retinagrade.ensembles.combination import EnsembleMethodName, combine_members, fit_combination, load_combination
from retinagrade.ensembles.ensemble import ensemble
from retinagrade.ensembles.scores import MemberScores
from retinagrade.errors import GraderFileError
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.exporting.ensemble_graph import combination_rule, combine_saliency
from retinagrade.exporting.export import export
from retinagrade.exporting.exportable import list_networks, read_networks
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.images.read import read_photograph
from retinagrade.manifest import Manifest
from retinagrade.runs.run import Run
from retinagrade.training.predict import predict
from retinagrade.training.train import train
from tests.training.tiny_experiments import tiny

SINGLE_PHOTOGRAPH_METHODS = [method for method in get_args(EnsembleMethodName) if method != "eyes"]


def simulated(seed: int, members: int = 3, photographs: int = 60) -> MemberScores:
    rng = np.random.default_rng(seed)
    grades = np.arange(photographs) % 5
    raw = rng.normal(size=(photographs, members, 5)) + 2 * np.eye(5)[grades][:, None] * rng.random((1, members, 1))
    probabilities = np.exp(raw) / np.exp(raw).sum(2, keepdims=True)
    return MemberScores(grades, probabilities, np.arange(photographs))


@pytest.mark.parametrize("method", SINGLE_PHOTOGRAPH_METHODS)
def test_a_graph_combines_members_like_the_ensemble(method: EnsembleMethodName) -> None:
    combination = fit_combination(method, simulated(0), np.array([1, 2, 1, 3, 2.0]))
    probabilities = simulated(1).probabilities.astype(np.float32)
    expected = combine_members(combination, probabilities.astype(np.float64))
    combined = combination_rule(combination)(torch.from_numpy(probabilities))
    np.testing.assert_allclose(combined, expected, atol=2e-6)


@given(st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5), min_size=1, max_size=9), st.integers(0, 9))
def test_tied_votes_are_broken_like_in_the_ensemble(votes: list[list[int]], seed: int) -> None:
    votes_of_members = np.eye(5)[np.array(votes)]
    combination = fit_combination("majority", simulated(seed, members=5))
    combined = combination_rule(combination)(torch.from_numpy(votes_of_members).float())
    np.testing.assert_allclose(combined, combine_members(combination, votes_of_members), atol=1e-6)


def test_the_saliency_of_a_member_with_large_values_counts_no_more() -> None:
    quiet, loud = torch.zeros(1, 5, 2, 2), torch.zeros(1, 5, 4, 4)
    quiet[0, 2, 0, 0], loud[0, 3, 3, 3] = 0.01, 900.0
    both = combine_saliency([quiet, loud], (0.25, 0.75))
    assert both.shape == (1, 5, 4, 4)
    assert both[0, 2].max() == pytest.approx(0.25)
    assert both[0, 3].max() == pytest.approx(0.75)
    assert both[0, 2].argmax() == 0
    assert not combine_saliency([torch.zeros(1, 5, 2, 2)] * 2, (0.5, 0.5)).any()  # zero, not NaN


@pytest.fixture(scope="module")
def members(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two networks with different input sizes; one is exactly half the size of the prepared photographs."""
    folder = tmp_path_factory.mktemp("members")
    runs = []
    for size in (48, 32):
        overrides = (f"network.image_size={size}", "training.epochs=1", "network.scratch.pools=[2,2]")
        run = train(prepared, tiny(*overrides), folder / f"of-{size}")
        for flips in (False, True):
            predict(prepared, run, split="test", tta=flips)
        runs.append(run)
    return runs


@pytest.mark.parametrize(
    ("method", "flips"),
    [
        ("logistic", False),
        pytest.param("majority", False, marks=pytest.mark.slow),
        pytest.param("mean", True, marks=pytest.mark.slow),
    ],
)
def test_a_file_gives_the_predictions_of_the_ensemble(
    members: list[Run], prepared: Path, tmp_path: Path, method: EnsembleMethodName, flips: bool
) -> None:
    run = ensemble(members, tmp_path / "both", method=method, resamples=20).run
    metadata = export(run, tmp_path / "both.onnx", tta=flips).metadata
    assert [one.name for one in metadata.members] == ["of-32", "of-48"]
    assert metadata.image_size == metadata.preparation.size == 64
    assert metadata.output == f"{method} of 2 members"
    assert metadata.tta is flips
    assert "of-32" in (tmp_path / "both.md").read_text()
    expected = read_predictions(run.predictions_file("test-tta" if flips else "test"))
    manifest = Manifest.read(prepared / "manifest.csv").split("test")
    paths = manifest.table.set_index("image_id")["path"].loc[expected["image_id"]]
    squares = np.stack([read_photograph(manifest.file(path)) for path in paths])
    outputs = retinagrade.Grader.load(tmp_path / "both.onnx").network(squares)
    saliency = outputs["saliency"]
    np.testing.assert_allclose(outputs["probabilities"], expected[list(PROBABILITY_COLUMNS)], atol=1e-4)
    assert saliency.min() >= 0
    assert 0 < saliency.max() <= 1


def test_networks_of_nested_ensembles_are_listed(members: list[Run], tmp_path: Path) -> None:
    first = ensemble(members, tmp_path / "first", resamples=20).run
    whole = ensemble([first, members[0]], tmp_path / "whole", resamples=20).run
    networks = [(one.name, one.saliency_weight, one.network.image_size) for one in list_networks(read_networks(whole))]
    assert networks == [("first/of-32", 0.25, 32), ("first/of-48", 0.25, 48), ("of-48", 0.5, 48)]


def test_ensembles_of_eyes_and_changed_members_are_refused(members: list[Run], tmp_path: Path) -> None:
    with pytest.raises(GraderFileError, match="two eyes of a patient"):
        export(ensemble(members[:1], tmp_path / "eyes", method="eyes", resamples=20).run, tmp_path / "g.onnx")
    run = ensemble(members, tmp_path / "both", resamples=20).run
    file = members[0].predictions_file("val")
    before = file.read_text()
    file.write_text(before + "\n")
    try:
        with pytest.raises(GraderFileError, match=r"of-48 in .* are missing or were changed"):
            export(run, tmp_path / "g.onnx")
    finally:
        file.write_text(before)
    assert load_combination(run.ensemble_file).members[0].name == "of-32"
    assert not (tmp_path / "g.onnx").exists()
