"""Experiments: validated, immutable settings of one training, read from YAML; without a deep-learning framework."""

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

from retinagrade.arguments import check_arguments
from retinagrade.errors import ExperimentError, describe_validation_error
from retinagrade.images.camera import CameraChange
from retinagrade.messages import name_choices
from retinagrade.models.settings import NetworkSettings
from retinagrade.storage.yaml_files import parse_yaml, read_yaml

SHIPPED: Final = resources.files("retinagrade.experiments")


def _as_text(value: object) -> object:
    """Turns a number into text: YAML, and so ``--set training.precision=32``, reads 32 as a number."""
    return str(value) if isinstance(value, int) else value


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class AugmentationSettings(_Settings):
    """Random changes of training photographs (report, chapter 3), drawn for each use; the defaults change nothing."""

    flip_vertical: bool = False
    """Mirror top and bottom, with probability 1/2."""
    flip_horizontal: bool = False
    """Mirror left and right, with probability 1/2."""
    zoom: float = Field(default=0.0, ge=0, lt=1)
    """Largest relative change of scale: 0.1 draws scales from 0.9 to 1.1."""
    rotation: float = Field(default=0.0, ge=0, le=1)
    """Largest rotation in either direction, in turns: 1.0 draws any angle."""
    brightness: float = Field(default=0.0, ge=0, lt=1)
    """Largest relative change of brightness: 0.2 draws factors from 0.8 to 1.2."""
    contrast: float = Field(default=0.0, ge=0, lt=1)
    """Largest relative change of contrast, the distance of pixels to the mean grey: 0.2 draws factors from 0.8 to
    1.2."""
    saturation: float = Field(default=0.0, ge=0, lt=1)
    """Largest relative change of saturation, the distance of a pixel to its own grey: 0.2 draws factors from 0.8 to
    1.2."""
    hue: float = Field(default=0.0, ge=0, le=0.5)
    """Largest rotation of the hue in either direction, in turns: 0.5 draws any hue."""
    camera: tuple[CameraChange, ...] = ()
    """Changes that another camera would make to the photograph: any of ``colour``, ``light``, ``resolution``,
    ``sharpness`` and ``cut`` (``docs/cameras.md``)."""
    camera_share: float = Field(default=1.0, gt=0, le=1)
    """Share of the photographs that ``camera`` changes. The others keep their look."""


class CropSettings(_Settings):
    """Crops of the training photographs, for the output ``lesions``: a whole photograph is too large for a batch."""

    side: PositiveInt = 288
    """Side of a crop, in pixels; a multiple of the stride of the network's deepest stage."""
    an_epoch: PositiveInt = 500
    """Number of crops in an epoch."""
    healthy: float = Field(default=0.2, ge=0, le=1)
    """Share of the crops from photographs of grade 0, which have no lesion anywhere."""
    on_lesions: float = Field(default=0.75, ge=0, le=1)
    """Share of the other crops that have a lesion near their middle; all kinds are drawn equally often."""
    zoom: float = Field(default=0.4, ge=0, lt=1)
    """Largest relative change of scale: 0.4 draws scales from 1 / 1.4 to 1.4."""
    detail: PositiveInt | None = None
    """Diameter of the field of view, in pixels, in the coarsest photographs of the set. Half of the crops then show no
    more detail, compressed as a JPEG of quality 90. Without it, a network may tell healthy photographs from outlined
    ones by their detail where one kind has fewer pixels than the other. Null shows all detail."""


class TrainingSettings(_Settings):
    """Training: sampling, loss, optimiser, and the end of the training."""

    balance: PositiveInt | Literal["square-root", "inverse-frequency"] | None = None
    """Sampling of the training photographs in each epoch. A number draws that many photographs of each grade,
    ``inverse-frequency`` draws equally many of each grade, and ``square-root`` draws in proportion to the square roots
    of the grades' frequencies. Photographs are repeated where a grade has fewer. Null takes each photograph once.
    An incomplete last batch is left out of the epoch, see ``batch_size``."""
    sources: dict[str, PositiveFloat] | None = None
    """Weights of the data sets of a joined set, such as ``{aptos: 1, ddr: 2}``: shares of the photographs that an epoch
    draws, whose number stays the same. ``balance`` applies within each data set. Every data set with training
    photographs needs a weight. Null draws by the numbers of photographs."""
    class_weights: Literal["none", "inverse-frequency"] = "none"
    """Weights of the grades in the loss. ``inverse-frequency`` multiplies the loss of a photograph by N / (5 n), where
    n of the N training photographs have its grade (with fewer than five grades, their number replaces 5, so that the
    mean weight is 1). Weights don't take ``balance`` into account: both together favour rare grades twice."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target that is spread evenly over all grades, for ``network.output: softmax`` only."""
    epochs: PositiveInt = 12
    """Largest number of epochs."""
    batch_size: PositiveInt = 16
    """Number of photographs in a batch, on all devices together. The photographs that remain after the last whole batch
    of an epoch are left out of this epoch; the next one draws anew. On one device, an epoch of at most ``batch_size``
    photographs is one batch with all of them."""
    accumulate: PositiveInt = 1
    """Number of batches whose gradients are averaged for one step of the optimiser. It has the effect of a batch of
    ``accumulate × batch_size`` photographs with the memory of one batch, except for batch-norm, which uses single
    batches. The last step of an epoch uses the batches that remain."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    """Optimiser: ``adam`` or ``sgd``, which the report used, or ``adamw``."""
    learning_rate: PositiveFloat = 1e-3
    """Learning rate: constant, or the peak of ``one-cycle``. ``retinagrade train --find-rate`` suggests one."""
    backbone_learning_rate: PositiveFloat | None = None
    """Learning rate of the backbone; null for that of the head."""
    layer_decay: float | None = Field(default=None, gt=0, lt=1)
    """Factor, such as 0.65, of the backbone's learning rate for its last layer; each earlier layer has the factor once
    more. Early layers, which hold the most general knowledge, then change least. Weight decay leaves out biases, norms
    and embeddings. Null for one rate and one weight decay."""
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """Momentum of ``sgd``."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled weight decay of ``adamw``."""
    gradient_clip: PositiveFloat | None = None
    """Largest norm of the gradient; null for no limit."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay in a step, such as 0.999, of a moving average of the weights; null for no average. Validation, the kept
    checkpoint and predictions use the average."""
    schedule: Literal["constant", "one-cycle"] = "one-cycle"
    """Learning rate over time: ``constant``, or ``one-cycle``: linear warm-up over 15 % of the steps, then a cosine to
    zero."""
    feature_views: NonNegativeInt = 4
    """Where the whole backbone is frozen: number of augmentations of each photograph whose features are computed once
    and kept on disk; 0 for a new augmentation in every draw."""
    keep: Literal["best", "last"] = "best"
    """Epoch whose weights are kept: ``best``, with the lowest validation loss, or ``last``. With ``last``, validation
    photographs select nothing, and a prepared set without them is allowed."""
    patience: PositiveInt | None = None
    """Number of epochs without a lower validation loss after which training stops, with ``keep: best``; null to train
    all epochs."""
    validate_every: PositiveInt = 1
    """Number of epochs from one validation to the next, with ``keep: last``. Epochs without validation have no
    validation metrics in the history. The number of epochs must be a multiple of it, so that the last one is
    validated."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of initial weights, order, augmentation and dropout."""
    precision: Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(_as_text)] = "auto"
    """Floating-point precision. ``auto`` selects bfloat16 where the processor or GPU computes in it, otherwise float16
    on GPUs and float32 on processors."""
    logger: Literal["tensorboard", "mlflow", "wandb", "none"] = "tensorboard"
    """Logger of each epoch's metrics, in folder ``logs`` of the run."""


class Experiment(_Settings):
    """One experiment, complete with all settings; a run keeps it as ``experiment.yaml``."""

    name: str
    """Name of the experiment on the command line; in a file, by default the file's own name."""
    description: str = ""
    """One line for people."""
    source: str = ""
    """Origin of the experiment: a section of the report, retinagrade, or the experiment that its file is based on."""
    parameters: tuple[PositiveInt, PositiveInt] | None = None
    """Total and trainable parameters, as printed in the report or counted."""
    starts_from: str | None = None
    """Experiment whose trained network this one starts from, including the weights of the head."""
    network: NetworkSettings = NetworkSettings()
    """Network that is trained."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """Augmentation of training photographs."""
    crops: CropSettings | None = None
    """Crops of the training photographs, for ``network.output: lesions``."""
    training: TrainingSettings = TrainingSettings()
    """Settings of the training."""

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.starts_from is not None and self.network.weights != "none":
            raise ValueError("starts_from provides all weights: set network.weights to none")
        return self

    @model_validator(mode="after")
    def _crops_lesions(self) -> Self:
        if self.outlines_lesions != (self.crops is not None):
            raise ValueError("the section 'crops' is required for network.output: lesions, and only for it")
        if self.crops is not None and self.crops.side % self.network.stride:
            raise ValueError(f"crops.side: for this network, it must be a multiple of {self.network.stride}")
        own = self.augmentation.model_dump(exclude={"camera", "camera_share"}) != AugmentationSettings().model_dump(
            exclude={"camera", "camera_share"}
        )
        if self.outlines_lesions and own:
            raise ValueError(
                "crops are turned, mirrored and zoomed by themselves: set augmentation.camera and camera_share only"
            )
        training = self.training
        if self.outlines_lesions and (training.balance or training.sources or training.class_weights != "none"):
            raise ValueError("crops balance the kinds of lesions: leave balance, sources and class_weights out")
        return self

    @model_validator(mode="after")
    def _validates_the_kept_epoch(self) -> Self:
        training = self.training
        if training.validate_every > 1 and training.keep == "best":
            raise ValueError("training.keep: best needs the validation of every epoch: set validate_every to 1")
        if training.epochs % training.validate_every:
            raise ValueError(
                f"training.epochs ({training.epochs}) must be a multiple of validate_every "
                f"({training.validate_every}), so that the last epoch is validated"
            )
        return self

    @model_validator(mode="after")
    def _orders_layers(self) -> Self:
        if self.training.layer_decay is not None and self.network.backbone == "scratch":
            raise ValueError("training.layer_decay is for pretrained backbones: set it to null")
        return self

    @property
    def outlines_lesions(self) -> bool:
        """True for a network that outlines lesions; False for one that grades."""
        return self.network.output == "lesions"

    @model_validator(mode="after")
    def _smooths_softmax(self) -> Self:
        if self.training.label_smoothing and self.network.output != "softmax":
            raise ValueError(
                f"training.label_smoothing is for network.output: softmax, but the output is "
                f"{self.network.output}: set it to 0"
            )
        return self

    def to_yaml(self) -> str:
        """Writes the experiment as YAML, from which :func:`load_experiment` reads an equal experiment."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def experiment_names() -> list[str]:
    """Lists the experiments that come with retinagrade.

    Returns:
        Their names, in alphabetical order.
    """
    return sorted(entry.name.removesuffix(".yaml") for entry in SHIPPED.iterdir() if entry.name.endswith(".yaml"))


@check_arguments()
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
    return _validated(_completed_values(name), settings, name)


def experiment_files(experiment: str | os.PathLike[str] | Experiment) -> list[Path]:
    """Lists the files that an experiment is read from: its own file, and those of its bases.

    Raises:
        ExperimentError: One of them can't be read.
    """
    if isinstance(experiment, Experiment):
        return []
    return [Path(name) for name, _ in _chain(os.fspath(experiment)) if name not in experiment_names()]


def _completed_values(name: str) -> dict[str, Any]:
    """Reads the values of an experiment: those of its first base, each replaced by what the later files name."""
    (first, merged), *later = reversed(_chain(name))
    earlier = first
    for each, values in later:
        _validated({"name": earlier, **merged}, (), earlier)  # an error in a base names the base
        inherited = {key: value for key, value in merged.items() if key not in _OWN}
        merged = {"source": f"based on {Path(earlier).name}", **_updated(inherited, values)}
        earlier = each
    return {"name": Path(name).stem, **merged}


_OWN: Final = frozenset({"name", "description", "source", "parameters"})
"""Keys that an experiment doesn't take from its base."""


def _chain(name: str) -> list[tuple[str, dict[str, Any]]]:
    """Reads an experiment and its bases: the name or file of each, with the values that it names itself."""
    chain: list[tuple[str, dict[str, Any]]] = []
    known: set[str] = set()
    base: str | None = name
    while base is not None:
        place = base if base in experiment_names() else str(Path(base).resolve())
        if place in known:
            raise ExperimentError(f"{chain[-1][0]}: base: {base} is based on this file: choose another base")
        known.add(place)
        try:
            values = _read_values(base)
        except ExperimentError as error:
            if not chain:
                raise
            raise ExperimentError(f"{chain[-1][0]}: base: {error}") from error
        if not isinstance(values, dict):
            raise ExperimentError(
                f"{base}: an experiment is a mapping of keys, such as 'base', 'network' and 'training'"
            )
        # A section whose lines are all comments is null.
        values = {key: value for key, value in values.items() if value is not None or key not in _SECTIONS}
        further = values.pop("base", None)
        chain.append((base, values))
        if further is not None and not isinstance(further, str):
            raise ExperimentError(f"{base}: base: write the name of one experiment, or of one file")
        base = further if further is None or further in experiment_names() else str(Path(base).parent / further)
    return chain


_SECTIONS: Final = frozenset({"network", "augmentation", "training"})
"""Sections that every experiment has."""


def _updated(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Returns the values of a base, with changes. Sections are merged; lists and other values are replaced."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _updated(base[key], value) if both else value
    return merged


def _read_values(name: str) -> Any:
    if name in experiment_names():
        return parse_yaml((SHIPPED / f"{name}.yaml").read_text(encoding="utf-8"), name, ExperimentError)
    if Path(name).suffix not in (".yaml", ".yml"):
        raise ExperimentError(
            f"no experiment {name!r}: name {name_choices(Path(name).name, experiment_names())}, or a file ending in "
            ".yaml"
        )
    if not os.path.lexists(name):
        raise ExperimentError(f"{name}: no such file: `retinagrade experiments new NAME` writes one")
    return read_yaml(Path(name), "an experiment", ExperimentError)


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
        raise ExperimentError(
            f"{source} is not a valid experiment:\n  {describe_validation_error(error, Experiment, ['base'])}"
        ) from None


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
