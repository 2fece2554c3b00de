"""The search space: settings of an experiment, each with a range or with choices, read from YAML."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Self

from optuna import Trial
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)

from retinagrade.errors import ExperimentError, describe_validation_error
from retinagrade.experiments.experiment import Experiment, override_settings
from retinagrade.storage.yaml_files import read_yaml


class _Dimension(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Dimension):
    """A range of numbers: of integers if both ends are integers.

    Attributes:
        low: The lowest value.
        high: The highest value.
        log: Whether values are drawn on a logarithmic scale, which suits learning rates.
        step: Distance of adjacent values, counted from ``low``.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: Annotated[int | float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low}, and high is {self.high}: low must be smaller")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs numbers above 0, and no step")
        if self.whole and isinstance(self.step, float):
            raise ValueError(f"integers can't have steps of {self.step}: write {float(self.low)} for low")
        return self

    @property
    def whole(self) -> bool:
        """Whether the range holds integers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[str, ...]:
        """Both ends, as ``--set`` takes them."""
        return str(self.low), str(self.high)

    def find(self, value: object) -> int | float | None:
        """Returns a value of an experiment if the range holds it, else ``None``."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        steps = (value - self.low) / (self.step or (1 if self.whole else value - self.low or 1))
        return value if abs(steps - round(steps)) < 1e-9 else None

    def relative_position(self, value: int | float | str) -> float:
        """Returns the position of a value in the range, from 0 to 1, on the scale of the range."""
        low, high, position = (math.log(end) if self.log else end for end in (self.low, self.high, float(value)))
        return (position - low) / (high - low)

    def suggest(self, trial: Trial, name: str) -> str:
        """Draws a value for a trial, as ``--set`` takes it."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return str(trial.suggest_int(name, self.low, self.high, step=int(self.step or 1), log=self.log))
        return repr(trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log))


class Choices(_Dimension):
    """Values of any kind, without an order.

    Attributes:
        choices: Two or more values.
    """

    choices: tuple[Any, ...] = Field(min_length=2)

    @property
    def ends(self) -> tuple[str, ...]:
        """All choices, as ``--set`` takes them; the storages accept no lists."""
        return tuple(choice if isinstance(choice, str) else json.dumps(choice) for choice in self.choices)

    def find(self, value: object) -> str | None:
        """Returns the choice that equals a value of an experiment; ``None`` where there is none."""
        return next((text for text, choice in zip(self.ends, self.choices, strict=True) if choice == value), None)

    def relative_position(self, value: str) -> float:
        """Returns the position of a choice, from 0 to 1, in the order of the file."""
        return self.ends.index(value) / (len(self.ends) - 1)

    def suggest(self, trial: Trial, name: str) -> str:
        """Draws a value for a trial, as ``--set`` takes it."""
        return trial.suggest_categorical(name, self.ends)


def _kind(dimension: object) -> str:
    return (
        "choices"
        if isinstance(dimension, Choices) or (isinstance(dimension, dict) and "choices" in dimension)
        else "range"
    )


Setting = Annotated[str, StringConstraints(pattern=r"^(network|augmentation|training)\.\w+(\.\w+)*$")]
Dimension = Annotated[Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")], Discriminator(_kind)]


class SearchSpace(RootModel[Annotated[dict[Setting, Dimension], Field(min_length=1)]]):
    """The settings of an experiment to search, each with a range or with choices."""

    model_config = ConfigDict(frozen=True)

    def unchanged(self, experiment: Experiment) -> dict[str, int | float | str]:
        """Returns an experiment's own values of these settings, for the first trial.

        Raises:
            ExperimentError: The space doesn't hold one of them, or an end of the space is not valid in the experiment.
        """
        values = experiment.model_dump(mode="json")
        own = {}
        for name, dimension in self.root.items():
            for text in dimension.ends:
                try:
                    override_settings(experiment, [f"{name}={text}"])
                except ExperimentError as error:
                    raise ExperimentError(f"the search space has {name}={text}: {error}") from None
            value = reduce(lambda section, key: section[key], name.split("."), values)
            if (choice := dimension.find(value)) is None:
                raise ExperimentError(
                    f"{experiment.name} has {name}={json.dumps(value)}, which the search space leaves "
                    "out: the first trial is the unchanged experiment, so widen the space, or set a value with --set"
                )
            own[name] = choice
        return own

    def suggest(self, trial: Trial) -> list[str]:
        """Draws the settings of a trial, as ``--set`` takes them."""
        return [f"{name}={dimension.suggest(trial, name)}" for name, dimension in self.root.items()]


def load_space(space: str | os.PathLike[str] | Mapping[str, Any] | SearchSpace) -> SearchSpace:
    """Returns a search space.

    Args:
        space: A search space, its content, or a YAML file: settings such as ``training.learning_rate``, each with
            ``low`` and ``high`` (and ``log: true`` or ``step``), or with ``choices``.

    Raises:
        ExperimentError: The file is unreadable, or the content isn't valid; the message names each wrong key.
    """
    if isinstance(space, SearchSpace):
        return space
    if isinstance(space, Mapping):
        name, values = "the search space", space
    else:
        name, values = str(space), read_yaml(Path(space), "a search space", ExperimentError)
    try:
        return SearchSpace.model_validate(values)
    except ValidationError as error:
        raise ExperimentError(
            f"{name} is not a search space:\n  {describe_validation_error(error, SearchSpace)}"
        ) from None
