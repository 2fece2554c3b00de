"""Search spaces: every value that can be drawn is a valid setting, and wrong files are told apart by key."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import load_experiment, override_settings
from retinagrade.training.tuning.search_space import Choices, Range, SearchSpace, load_space

EXPERIMENT = load_experiment("scratch-2")


def space(**settings: object) -> SearchSpace:
    return SearchSpace.model_validate({name.replace("__", "."): value for name, value in settings.items()})


@given(low=st.floats(1e-6, 1), factor=st.floats(1.01, 1e6), log=st.booleans(), seed=st.integers(0, 1000))
def test_drawn_numbers_are_in_the_range_and_come_back_from_the_experiment(
    low: float, factor: float, log: bool, seed: int
) -> None:
    searched = space(training__learning_rate={"low": low, "high": low * factor, "log": log})
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    rate = override_settings(EXPERIMENT, searched.suggest(trial)).training.learning_rate
    assert rate == trial.params["training.learning_rate"]
    assert low <= rate <= low * factor
    dimension = searched.root["training.learning_rate"]
    assert isinstance(dimension, Range)
    assert dimension.find(rate) == rate
    assert -1e-9 <= dimension.relative_position(rate) <= 1 + 1e-9


@pytest.mark.parametrize(
    ("dimension", "value", "known"),
    [
        ({"low": 1, "high": 9, "step": 2}, 5, 5),
        ({"low": 1, "high": 9, "step": 2}, 6, None),
        ({"low": 1, "high": 9}, 10, None),
        ({"low": 1, "high": 9}, None, None),
        ({"low": 0.0, "high": 0.6, "step": 0.1}, 0.3, 0.3),
        ({"low": 0.0, "high": 0.6, "step": 0.1}, 0.25, None),
        ({"low": "1e-5", "high": "1e-2", "log": True}, 0.0001, 0.0001),
        ({"choices": [[], [64], [256]]}, [64], "[64]"),
        ({"choices": [None, 0.999]}, None, "null"),
        ({"choices": ["softmax", "ordinal"]}, "ordinal", "ordinal"),
        ({"choices": ["softmax", "ordinal"]}, "regression", None),
    ],
)
def test_what_an_experiment_has_is_found_in_the_space_or_not(dimension: object, value: object, known: object) -> None:
    assert space(network__dense=dimension).root["network.dense"].find(value) == known


def test_whole_numbers_and_choices_reach_the_experiment() -> None:
    searched = space(
        training__batch_size={"low": 4, "high": 64, "log": True},
        network__dense={"choices": [[], [64], [256, 16]]},
        training__balance={"choices": ["square-root", 25, None]},
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = [override_settings(EXPERIMENT, searched.suggest(study.ask())) for _ in range(30)]
    assert {experiment.network.dense for experiment in seen} == {(), (64,), (256, 16)}
    assert {experiment.training.balance for experiment in seen} == {"square-root", 25, None}
    assert len({experiment.training.batch_size for experiment in seen}) > 5


def test_the_first_trial_is_the_unchanged_experiment() -> None:
    rate = EXPERIMENT.training.learning_rate
    searched = space(training__learning_rate={"low": rate, "high": 0.1}, network__dense={"choices": [[8], [16]]})
    changed = override_settings(EXPERIMENT, ["network.dense=[16]"])
    assert searched.unchanged(changed) == {"training.learning_rate": rate, "network.dense": "[16]"}
    with pytest.raises(ExperimentError, match=r"scratch-2 has network\.dense=.* so widen the space"):
        searched.unchanged(EXPERIMENT)


@pytest.mark.parametrize(
    ("dimension", "complaint"),
    [
        ({"low": 0.0, "high": 1.0}, r"network\.feature_dropout=1\.0: .*less than 1"),
        ({"choices": [0.0, "much"]}, r"network\.feature_dropout=much: .*valid number"),
    ],
)
def test_ends_that_are_no_settings_are_named_before_anything_is_trained(dimension: object, complaint: str) -> None:
    with pytest.raises(ExperimentError, match=f"(?s){complaint}"):
        space(network__feature_dropout=dimension).unchanged(EXPERIMENT)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("training.learning_rate: {low: 1, hihg: 2}", r"training\.learning_rate\.range\.hihg: unknown key"),
        ("training.learning_rate: {low: 2, high: 1}", "low must be smaller"),
        ("training.learning_rate: {low: 0.0, high: 1.0, log: true}", "log needs numbers above 0"),
        ("training.epochs: {low: 1, high: 4, step: 0.5}", r"write 1\.0 for low"),
        ("training.epochs: {choices: [3]}", "at least 2"),
        ("name: {choices: [a, b]}", "should match pattern"),
        ("{}", "at least 1"),
        ("- a", "write keys with values"),
        ("a: [", "line 1: not valid YAML"),
    ],
)
def test_wrong_files_are_told_by_key(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(ExperimentError, match=rf"space\.yaml(.|\n)*{complaint}"):
        load_space(tmp_path / "space.yaml")
    with pytest.raises(ExperimentError, match="can't be read as a search space"):
        load_space(tmp_path / "nowhere.yaml")


def test_a_readable_file(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("network.output: {choices: [softmax, ordinal]}")
    assert load_space(tmp_path / "space.yaml").root == {"network.output": Choices(choices=("softmax", "ordinal"))}
