"""New experiment files: valid at once, and complete when every comment is uncommented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from retinagrade.errors import ExperimentError, UsageError
from retinagrade.experiments.experiment import Experiment, load_experiment
from retinagrade.experiments.new import new_experiment
from tests.cli.command_line import run


def settings(experiment: Experiment) -> Experiment:
    """Returns an experiment without its description of itself."""
    return experiment.model_copy(update={"name": "", "description": "", "source": "", "parameters": None})


@pytest.mark.parametrize(
    ("backbone", "base", "changes"),
    [
        ("tf_efficientnet_lite0", "efficientnet-lite0", []),
        ("convnext_atto", "efficientnet-lite0", ["network.backbone=convnext_atto"]),
        ("efficientnet_b8", "efficientnet-lite0", ["network.backbone=efficientnet_b8", "network.weights=none"]),
        (
            "swin_tiny_patch4_window7_224",
            "efficientnet-lite0",
            [
                "network.backbone=swin_tiny_patch4_window7_224",
                "network.image_size=224",
                "training.learning_rate=2e-4",
            ],
        ),
        ("scratch", "scratch-2", []),
    ],
)
def test_a_new_file_has_the_settings_of_its_base_with_the_backbone(
    backbone: str, base: str, changes: list[str], tmp_path: Path
) -> None:
    file = new_experiment("mine", backbone, tmp_path / "mine.yaml")
    experiment = load_experiment(file)
    assert experiment.name == "mine"
    assert settings(experiment) == settings(load_experiment(base, changes))
    text = file.read_text(encoding="utf-8")
    every = re.sub(r"^  # (?=[a-z_]+: \S+$|[a-z_]+: \[.*\]$|[a-z_]+: \{.*\}$)", "  ", text, flags=re.MULTILINE)
    assert every.count("\n  balance:") == every.count("\n  pooling:") == 1
    file.write_text(every, encoding="utf-8")
    assert load_experiment(file) == experiment


@pytest.mark.parametrize(
    ("name", "backbone", "out", "message"),
    [
        ("a/b", "scratch", None, "can't name an experiment"),
        ("scratch-2", "scratch", None, "another name"),
        ("mine", "convnext_tinny", None, "convnext_tiny"),
        ("mine", "scratch", "mine.txt", "yaml"),
    ],
)
def test_a_wrong_request_writes_nothing(
    name: str, backbone: str, out: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExperimentError, match=message):
        new_experiment(name, backbone, out)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = new_experiment("mine", "scratch")
    before = file.read_text(encoding="utf-8")
    with pytest.raises(UsageError):
        new_experiment("mine")
    assert file.read_text(encoding="utf-8") == before
    new_experiment("mine", overwrite=True)
    assert file.read_text(encoding="utf-8") != before


def test_the_command_writes_a_file_that_show_completes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "retinagrade train PREPARED mine.yaml" in run("experiments", "new", "mine", "--backbone", "resnet18")
    shown = run("experiments", "show", "--yaml", "mine.yaml")
    assert shown.strip() == load_experiment("mine.yaml").to_yaml().strip()
    assert "backbone: resnet18" in shown
    assert "schedule: one-cycle" in shown
