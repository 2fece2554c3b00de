"""New experiment files: short, with every further setting in a comment."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel

from retinagrade.arguments import check_arguments
from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import experiment_names, load_experiment
from retinagrade.storage.files import write_text
from retinagrade.storage.output_guard import Output, guard_outputs

_BASE: Final = "efficientnet-lite0"
_SCRATCH_BASE: Final = "scratch-2"
_ACTIVE: Final = ("epochs", "batch_size", "learning_rate")
"""Settings of the training that most people change."""
_RATE_WITH_POSITIONS: Final = 2e-4
"""Learning rate of transformers with positions, as in the recipes; that of the base is too high for them."""
_WIDTH: Final = 100


@check_arguments()
def new_experiment(
    name: str,
    backbone: str = "tf_efficientnet_lite0",
    out: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Writes the file of a new experiment, which ``train`` takes at once.

    The file names its base, ``efficientnet-lite0`` (``scratch-2`` for the backbone ``scratch``), and the settings that
    most people change. Each further setting stands in a comment, with its value and its meaning. The learning rate of a
    transformer with positions is that of the recipes.

    Args:
        name: Name of the experiment.
        backbone: The backbone: ``scratch``, or the name of a timm architecture that returns feature maps, or a token
            for each patch (vision transformers).
        out: YAML file to write; by default ``NAME.yaml`` in the current folder.
        overwrite: Whether to replace an existing file.

    Returns:
        The file.

    Raises:
        ExperimentError: The name is not a plain one, or an experiment that comes with retinagrade has it; or the
            backbone is unknown (the message lists similar ones).
        UsageError: The file exists, or its name doesn't end in ``.yaml``.

    Example:
        >>> new_experiment("mine", "convnext_tiny")  # doctest: +SKIP
        PosixPath('mine.yaml')
    """
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise ExperimentError(f"{name!r} can't name an experiment: use letters, digits, '-', '_' and '.'")
    if name in experiment_names():
        raise ExperimentError(f"{name} comes with retinagrade: choose another name")
    file = Path(f"{name}.yaml" if out is None else out)
    if file.suffix not in (".yaml", ".yml"):
        raise ExperimentError(f"{file}: an experiment is a YAML file: choose a name that ends in .yaml")
    guard_outputs([Output(file, False, lambda: False)], [], overwrite)
    write_text(file, _text(name, backbone, file))
    return file


def _text(name: str, backbone: str, file: Path) -> str:
    base = _SCRATCH_BASE if backbone == "scratch" else _BASE
    changes = {} if backbone == "scratch" else _pretrained(backbone)
    experiment = load_experiment(base, [f"network.{key}={value}" for key, value in changes.items()])
    introduction = (
        f"Settings of the experiment {name}: those of {base}, changed by the lines below that don't begin with '#'. To "
        "change a further setting, remove the '# ' before it."
    )
    training: dict[str, Any] = {key: getattr(experiment.training, key) for key in _ACTIVE}
    if "image_size" in changes:
        training["learning_rate"] = _RATE_WITH_POSITIONS
    lines = [
        *_comment(introduction, ""),
        f"# Train it: retinagrade train PREPARED {file.name} --out runs/{name}",
        f"# See all settings: retinagrade experiments show --yaml {file.name}",
        _setting("name", name, ""),
        _setting("description", f"{base} with the backbone {backbone}.", ""),
        _setting("base", base, ""),
        *_section("network", experiment.network, {"backbone": backbone, **changes}),
        *_section("augmentation", experiment.augmentation, {}),
        *_section("training", experiment.training, training),
    ]
    return "\n".join(lines) + "\n"


def _pretrained(backbone: str) -> dict[str, Any]:
    """Returns the settings of a timm architecture that its published weights ask for."""
    from retinagrade.models.weights import published_input  # timm takes a second, which other commands save

    side, has_weights = published_input(backbone)
    size = {} if side is None else {"image_size": side}
    return {"backbone": backbone, "weights": "imagenet" if has_weights else "none", **size}


def _section(name: str, section: BaseModel, active: dict[str, Any]) -> Iterator[str]:
    """Yields the lines of a section: each setting below its meaning, and in a comment unless it is active."""
    yield from ("", f"{name}:")
    values = section.model_dump(mode="json")
    for key, field in type(section).model_fields.items():
        yield from _comment(str(field.description).replace("``", "'"), "  ")
        yield _setting(key, active.get(key, values[key]), "  " if key in active else "  # ")


def _comment(text: str, indentation: str) -> list[str]:
    first, others = f"{indentation}# ", f"{indentation}#   "
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False)


def _setting(key: str, value: Any, before: str) -> str:
    written = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True)
    written = written.removesuffix("...\n").strip()  # the mark of a document's end, which follows a single value
    return f"{before}{key}: {written}"
