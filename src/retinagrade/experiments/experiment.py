"""Experiments: YAML in, a validated and immutable description of one training out. No framework is imported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from retinagrade.errors import ExperimentError, describe_validation_error
from retinagrade.models.settings import NetworkSettings

SHIPPED: Final = resources.files("retinagrade.experiments")


def _as_text(value: object) -> object:
    """YAML, and so ``--set training.precision=32``, reads 32 as a number."""
    return str(value) if isinstance(value, int) else value


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AugmentationSettings(_Settings):
    """Online augmentation of training photographs (report, chapter 3); the defaults change nothing.

    Attributes:
        flip_vertical: Mirror top and bottom in half of the draws.
        flip_horizontal: Mirror left and right in half of the draws.
        zoom: Largest relative change of scale: 0.1 draws from -10 % to +10 %.
        rotation: Largest rotation either way, in turns: 1.0 draws any angle.
        brightness: Largest relative change of brightness: 0.2 draws factors from 0.8 to 1.2.
        contrast: Likewise of the distance to the mean grey.
        saturation: Likewise of the distance to each pixel's own grey.
        hue: Largest turn of the hue either way, in turns: 0.5 draws any hue.
    """

    flip_vertical: bool = False
    flip_horizontal: bool = False
    zoom: float = Field(default=0.0, ge=0, lt=1)
    rotation: float = Field(default=0.0, ge=0, le=1)
    brightness: float = Field(default=0.0, ge=0, lt=1)
    contrast: float = Field(default=0.0, ge=0, lt=1)
    saturation: float = Field(default=0.0, ge=0, lt=1)
    hue: float = Field(default=0.0, ge=0, le=0.5)


class TrainingSettings(_Settings):
    """How the network is trained.

    Attributes:
        balance: Photographs drawn of every grade each epoch, ``square-root`` or ``inverse-frequency``, or nothing to
            take all as they are.
        class_weights: ``inverse-frequency`` multiplies a photograph's loss by N / (5 n), n of the N graded training
            photographs having its grade (absent grades not counted among the 5, so that the mean weight is 1). They
            are counted before ``balance`` draws: both together favour rare grades twice.
        label_smoothing: Share of the target that all grades have alike, for ``network.output: softmax`` only.
        epochs: Most epochs to train.
        batch_size: Photographs a batch.
        accumulate: Batches whose gradients are averaged to one step of the optimiser: a batch as large as
            ``accumulate × batch_size`` in the memory of one, but for batch-norm, which sees single batches. The last
            step of an epoch takes what is left.
        optimizer: ``adam`` or ``sgd`` (the report's), or ``adamw``.
        learning_rate: The constant rate, or the peak of ``one-cycle``.
        backbone_learning_rate: The backbone's, where it is another than the head's.
        momentum: Momentum of ``sgd``.
        weight_decay: Decoupled weight decay of ``adamw``.
        gradient_clip: Largest norm of the gradient, or nothing.
        ema: Decay a step of a moving average of the weights, such as 0.999, or nothing. The average is what is
            validated, kept as the best epoch and predicts.
        schedule: ``constant``, or ``one-cycle``: linear warm-up over 15 % of the steps, then cosine to zero.
        feature_views: Where the whole backbone is frozen, augmentations of each photograph whose features are computed
            once and kept; 0 for a new one in every draw.
        keep: ``best`` keeps the weights of the epoch with the lowest validation loss; ``last`` those of the last one,
            so that validation photographs choose nothing, and there need be none.
        patience: Epochs without a better validation loss after which training stops, where the best is kept.
        seed: Seed of initial values, order, augmentation and dropout.
        precision: ``auto`` takes bfloat16 where the processor or GPU computes in it, else float16 on GPUs and
            float32 on processors.
        logger: Who else is told each epoch's figures, in the run's folder ``logs``: ``tensorboard``, ``mlflow``,
            ``wandb``, or ``none``.
    """

    balance: PositiveInt | Literal["square-root", "inverse-frequency"] | None = None
    class_weights: Literal["none", "inverse-frequency"] = "none"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    epochs: PositiveInt
    batch_size: PositiveInt
    accumulate: PositiveInt = 1
    optimizer: Literal["adam", "adamw", "sgd"]
    learning_rate: PositiveFloat
    backbone_learning_rate: PositiveFloat | None = None
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: NonNegativeFloat = 0.0
    gradient_clip: PositiveFloat | None = None
    ema: float | None = Field(default=None, gt=0, lt=1)
    schedule: Literal["constant", "one-cycle"] = "constant"
    feature_views: NonNegativeInt = 4
    keep: Literal["best", "last"] = "best"
    patience: PositiveInt
    seed: int = Field(default=0, ge=0, lt=2**32)
    precision: Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(_as_text)] = "auto"
    logger: Literal["tensorboard", "mlflow", "wandb", "none"] = "tensorboard"


class Experiment(_Settings):
    """One training, complete: what ``experiment.yaml`` in a run holds.

    Attributes:
        name: The experiment's name, as the command line knows it.
        description: One line for people.
        source: Where it comes from: the report's section, or ours.
        parameters: Total and trainable parameters as the report prints them, or as counted.
        starts_from: The experiment whose trained network this one goes on with, weights of the head included.
        network: What is trained.
        augmentation: What is done to training photographs.
        training: How it is trained.
    """

    name: str
    description: str
    source: str
    parameters: tuple[PositiveInt, PositiveInt] | None = None
    starts_from: str | None = None
    network: NetworkSettings
    augmentation: AugmentationSettings = AugmentationSettings()
    training: TrainingSettings

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.starts_from is not None and self.network.weights != "none":
            raise ValueError("starts_from brings all weights along: set network.weights to none")
        return self

    @model_validator(mode="after")
    def _smooths_softmax(self) -> Self:
        if self.training.label_smoothing and self.network.output != "softmax":
            raise ValueError(
                f"training.label_smoothing is for network.output: softmax, and it is {self.network.output}: leave it 0"
            )
        return self

    def to_yaml(self) -> str:
        """The experiment as YAML that :func:`load_experiment` reads back to an equal experiment."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def experiment_names() -> list[str]:
    """Names of the experiments that come with retinagrade, sorted."""
    return sorted(entry.name.removesuffix(".yaml") for entry in SHIPPED.iterdir() if entry.name.endswith(".yaml"))


def load_experiment(experiment: str | os.PathLike[str] | Experiment, settings: Sequence[str] = ()) -> Experiment:
    """Loads an experiment and changes settings of it.

    Args:
        experiment: Name of a shipped experiment, path of a YAML file, or an experiment object.
        settings: Settings to change, as ``section.key=value``, such as ``training.epochs=3``; values are read as YAML.

    Returns:
        The validated experiment.

    Raises:
        ExperimentError: The name is unknown (the message lists the known ones), or keys or values aren't valid (the
            message names each).

    Example:
        >>> load_experiment("scratch-2", ["training.epochs=3"]).training.epochs
        3
    """
    if isinstance(experiment, Experiment):
        return override_settings(experiment, settings) if settings else experiment
    name = os.fspath(experiment)
    try:
        values = yaml.safe_load(_read_yaml(name))
    except yaml.YAMLError as error:
        raise ExperimentError(f"{name}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ExperimentError(f"{name}: an experiment is a mapping with 'name', 'network' and 'training'")
    return _validated(values, settings, name)


def _read_yaml(name: str) -> str:
    if name in experiment_names():
        return (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
    if Path(name).suffix not in (".yaml", ".yml"):
        raise ExperimentError(
            f"no experiment {name!r}: name a file ending in .yaml, or one of {', '.join(experiment_names())}"
        )
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{name}: not a readable experiment: {error}") from error


def override_settings(experiment: Experiment, settings: Sequence[str]) -> Experiment:
    """Returns an experiment with some settings changed.

    Args:
        experiment: The experiment.
        settings: Settings to change, as in :func:`load_experiment`.

    Raises:
        ExperimentError: Keys or values aren't valid; the message names each.
    """
    return _validated(experiment.model_dump(mode="json"), settings, experiment.name)


def _validated(values: dict[str, Any], settings: Sequence[str], source: str) -> Experiment:
    try:
        return Experiment.model_validate(_merge(values, settings) if settings else values)
    except ValidationError as error:
        raise ExperimentError(f"{source} is not a valid experiment:\n  {describe_validation_error(error)}") from None


def _merge(values: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    from omegaconf import OmegaConf  # imported here, so that listing experiments works without the extra `train`
    from omegaconf.errors import OmegaConfBaseException

    for setting in settings:
        if "=" not in setting:
            raise ExperimentError(f"--set {setting!r}: write section.key=value, as in training.epochs=3")
    try:
        merged = OmegaConf.merge(OmegaConf.create(values), OmegaConf.from_dotlist(list(settings)))
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise ExperimentError(f"--set {' '.join(settings)}: {error}") from error
    container = OmegaConf.to_container(merged)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}
