"""Experiments: every shipped one loads, overrides work, and errors name the key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import (
    AugmentationSettings,
    Experiment,
    TrainingSettings,
    experiment_files,
    experiment_names,
    load_experiment,
)
from retinagrade.models.settings import NetworkSettings, Scaling, ScratchSettings


@pytest.mark.parametrize("name", experiment_names())
def test_every_shipped_experiment_loads_under_its_own_name(name: str, tmp_path: Path) -> None:
    experiment = load_experiment(name)
    assert experiment.name == name
    assert experiment.source
    copy = tmp_path / "copy.yaml"
    copy.write_text(experiment.to_yaml(), encoding="utf-8")
    assert load_experiment(str(copy)) == experiment


def test_an_experiment_is_named_by_its_name_a_file_or_an_object(tmp_path: Path) -> None:
    plain = load_experiment("scratch-2")
    assert load_experiment(plain) is plain
    file = tmp_path / "mine.yaml"
    file.write_text(plain.to_yaml(), encoding="utf-8")
    changed = load_experiment(file, ["training.epochs=3"])
    assert changed == load_experiment(plain, ["training.epochs=3"])
    assert changed == load_experiment("scratch-2", ["training.epochs=3"])
    assert changed.training.epochs == 3


def test_every_setting_is_described() -> None:
    sections: tuple[type[BaseModel], ...] = (
        Experiment, AugmentationSettings, TrainingSettings, NetworkSettings, ScratchSettings, Scaling,
    )  # fmt: skip
    for section in sections:
        assert section.__doc__
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"


def test_overrides_change_one_value_each() -> None:
    plain = load_experiment("scratch-2")
    changed = load_experiment(
        "scratch-2",
        ["training.epochs=3", "training.balance=null", "network.dense=[8,4]", "training.learning_rate=1e-3"],
    )
    assert changed.training.epochs == 3
    assert changed.training.balance is None
    assert changed.network.dense == (8, 4)
    assert changed.training.learning_rate == 1e-3
    assert changed.augmentation == plain.augmentation


def test_the_precision_is_a_word_or_a_number() -> None:
    assert load_experiment("scratch-2", ["training.precision=32"]).training.precision == "32"
    assert load_experiment("scratch-2", ["training.precision=bf16"]).training.precision == "bf16"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", r"training\.epoch: unknown key: did you mean 'epochs'\?"),
        ("training.learning-rate=3", r"did you mean 'learning_rate'\?"),
        ("training.lr=3", r"did you mean 'learning_rate'\?"),
        ("learning_rate=3", r"did you mean 'training\.learning_rate'\?"),
        ("network.balance=3", r"did you mean 'training\.balance'\?"),
        ("trainign.epochs=3", r"did you mean 'training'\?"),
        ("network.fliters=3", r"did you mean 'network\.scratch\.filters'\?"),
        ("network.xyz=3", r"network\.xyz: unknown key$"),
        ("training.epochs=-1", r"training\.epochs: .*greater than 0"),
        ("training.optimizer=lion", r"training\.optimizer: .*'adam'"),
        ("augmentation.zoom=2", r"augmentation\.zoom: .*less than 1"),
        ("network.output=corn", r"network\.output: .*'ordinal'"),
        ("training.class_weights=balanced", r"training\.class_weights: .*'inverse-frequency'"),
        ("training.label_smoothing=1", r"training\.label_smoothing: .*less than 1"),
        ("augmentation.hue=0.6", r"augmentation\.hue: .*less than or equal to 0\.5"),
        ("training.accumulate=0", r"training\.accumulate: .*greater than 0"),
        ("training.ema=1", r"training\.ema: .*less than 1"),
        ("training.logger=paper", r"training\.logger: .*'tensorboard'"),
        ("training.validate_every=2", "keep: best"),
        ("epochs", "section.key=value"),
        ("training.epochs=[", "training.epochs"),
    ],
)
def test_a_bad_override_is_named(override: str, message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        load_experiment("scratch-2", [override])


@pytest.mark.parametrize("output", ["ordinal", "regression"])
def test_labels_are_smoothed_for_softmax_only(output: str) -> None:
    assert load_experiment("scratch-2", ["training.label_smoothing=0.1"]).training.label_smoothing == 0.1
    with pytest.raises(ExperimentError, match=rf"label_smoothing is for .*softmax, but the output is {output}"):
        load_experiment("scratch-2", ["training.label_smoothing=0.1", f"network.output={output}"])


@pytest.mark.parametrize("output", ["ordinal", "regression"])
def test_experiments_of_outputs_differ_from_the_plain_one_in_nothing_else(output: str) -> None:
    plain = load_experiment("efficientnet-lite0", [f"network.output={output}"])
    ours = load_experiment(f"efficientnet-lite0-{output}")
    assert ours.model_copy(update={"name": plain.name, "description": plain.description}) == plain


def test_a_misspelt_base_names_the_key_that_is_meant(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("bse: efficientnet-lite0\n", encoding="utf-8")
    with pytest.raises(ExperimentError, match=r"bse: unknown key: did you mean 'base'\?"):
        load_experiment(file)
    with pytest.raises(ExperimentError, match=r"base: unknown key$"):
        load_experiment("efficientnet-lite0", ["base=scratch-2"])


def test_unknown_experiments_list_the_known_ones_or_the_one_that_is_meant() -> None:
    with pytest.raises(ExperimentError, match=r"efficientnet-lite0, .*scratch-2"):
        load_experiment("convnext")
    with pytest.raises(ExperimentError, match=r"name 'efficientnet-lite0'"):
        load_experiment("EfficientNet-lite")


@pytest.mark.parametrize("text", ["[1, 2]", "name: [", ""])
def test_a_broken_file_is_named(text: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(text, encoding="utf-8")
    with pytest.raises(ExperimentError, match=r"broken\.yaml"):
        load_experiment(str(broken))
    with pytest.raises(ExperimentError, match=r"missing\.yaml"):
        load_experiment(str(tmp_path / "missing.yaml"))


def written(folder: Path, **files: str) -> Path:
    """Writes YAML files into a folder and returns the file ``mine``."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / "mine.yaml"


def test_a_file_names_only_the_settings_that_differ_from_the_defaults(tmp_path: Path) -> None:
    mine = load_experiment(written(tmp_path, mine="network: {dense: [64]}\ntraining:\n"))
    assert mine == Experiment(name="mine", network=NetworkSettings(dense=(64,)))


def test_a_file_names_only_the_settings_that_differ_from_its_base(tmp_path: Path) -> None:
    changes = "{dense: [64]}\ntraining: {epochs: 3, gradient_clip: null}\naugmentation:"
    mine = load_experiment(written(tmp_path, mine=f"base: efficientnet-lite0\nnetwork: {changes}"))
    base = load_experiment(
        "efficientnet-lite0", ["network.dense=[64]", "training.epochs=3", "training.gradient_clip=null"]
    )
    own = {"name": "mine", "description": "", "source": "based on efficientnet-lite0"}
    assert mine == base.model_copy(update=own)


def test_a_base_may_be_a_file_beside_the_file_and_have_a_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    above = "base: scratch-2\nname: above\ntraining: {seed: 5, epochs: 9}"
    (tmp_path / "project").mkdir()
    file = written(tmp_path / "project", above=above, mine="base: above.yaml\ntraining: {epochs: 3}")
    monkeypatch.chdir(tmp_path)
    mine = load_experiment(file.relative_to(tmp_path))
    expected = load_experiment("scratch-2", ["training.seed=5", "training.epochs=3"])
    own = {"name": "mine", "description": "", "source": "based on above.yaml", "parameters": None}
    assert mine == expected.model_copy(update=own)
    assert experiment_files(file) == [file, file.with_name("above.yaml")]


@pytest.mark.parametrize(
    ("text", "above", "message"),
    [
        ("base: efficientnet-lite", "", r"mine\.yaml: base: .*'efficientnet-lite0'"),
        ("base: gone.yaml", "", r"mine\.yaml: base: .*gone\.yaml"),
        ("base: above.yaml", "base: mine.yaml", r"above\.yaml: base: .*mine\.yaml"),
        ("base: mine.yaml", "", r"mine\.yaml: base"),
        ("base: [a, b]", "", r"mine\.yaml: base"),
        ("base: above.yaml", "training: {epoch: 3}", r"above\.yaml is not a valid .*\n.*'epochs'"),
        ("base: scratch-2\ntraining: {epoch: 3}", "", r"mine\.yaml is not a valid .*\n.*'epochs'"),
        ("base: efficientnet-lite0\ntraining: 3", "", r"training: write keys"),
    ],
)
def test_a_wrong_base_is_named(text: str, above: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=message):
        load_experiment(written(tmp_path, mine=text, above=above))


def test_listing_experiments_imports_no_framework() -> None:
    code = (
        "import sys; from retinagrade.experiments.experiment import experiment_names, load_experiment;"
        "[load_experiment(name) for name in experiment_names()];"
        "print(sorted({'torch', 'timm', 'lightning', 'pandas'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
