"""What is searched: settings of an experiment, each with its range or its choices, read from YAML."""

from __future__ import annotations

import json
import math
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
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


class _Dimension(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Dimension):
    """A range of numbers: of whole ones where both ends are written as such.

    Attributes:
        low: The lowest value.
        high: The highest value.
        log: Drawn evenly by orders of magnitude, as learning rates are.
        step: Distance of neighbouring values, counted from ``low``.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: Annotated[int | float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low}, and high is {self.high}: low is the smaller one")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log is for numbers above 0, and without a step")
        if self.whole and isinstance(self.step, float):
            raise ValueError(f"whole numbers in steps of {self.step}: write {float(self.low)} for low")
        return self

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[str, ...]:
        """Its ends, as ``--set`` would take them."""
        return str(self.low), str(self.high)

    def known_as(self, value: object) -> int | float | None:
        """A value of an experiment as one of this range; ``None`` where it is not in it."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        steps = (value - self.low) / (self.step or (1 if self.whole else value - self.low or 1))
        return value if abs(steps - round(steps)) < 1e-9 else None

    def place(self, value: int | float | str) -> float:
        """Where a value lies in the range, 0 to 1; by orders of magnitude where they are drawn by these."""
        low, high, here = (math.log(end) if self.log else end for end in (self.low, self.high, float(value)))
        return (here - low) / (high - low)

    def suggest(self, trial: Trial, name: str) -> str:
        """The value that a trial tries, as ``--set`` would take it."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return str(trial.suggest_int(name, self.low, self.high, step=int(self.step or 1), log=self.log))
        return repr(trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log))


class Choices(_Dimension):
    """Values of any kind, in no order.

    Attributes:
        choices: At least two.
    """

    choices: tuple[Any, ...] = Field(min_length=2)

    @property
    def ends(self) -> tuple[str, ...]:
        """All of them, as ``--set`` would take them; storages know no lists."""
        return tuple(choice if isinstance(choice, str) else json.dumps(choice) for choice in self.choices)

    def known_as(self, value: object) -> str | None:
        """A value of an experiment as one of these choices; ``None`` where it is none of them."""
        return next((text for text, choice in zip(self.ends, self.choices, strict=True) if choice == value), None)

    def place(self, value: str) -> float:
        """Where a choice lies among all, 0 to 1, in the order of the file."""
        return self.ends.index(value) / (len(self.ends) - 1)

    def suggest(self, trial: Trial, name: str) -> str:
        """The value that a trial tries, as ``--set`` would take it."""
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
    """Settings of an experiment that are searched, each with what it may be."""

    model_config = ConfigDict(frozen=True)

    def as_it_is(self, experiment: Experiment) -> dict[str, int | float | str]:
        """What an experiment has for these settings: the first trial.

        Raises:
            ExperimentError: It is not in the space, or an end of the space is no valid setting of it.
        """
        values = experiment.model_dump(mode="json")
        known = {}
        for name, dimension in self.root.items():
            for text in dimension.ends:
                try:
                    override_settings(experiment, [f"{name}={text}"])
                except ExperimentError as error:
                    raise ExperimentError(f"the search space has {name}={text}: {error}") from None
            value = reduce(lambda section, key: section[key], name.split("."), values)
            if (found := dimension.known_as(value)) is None:
                raise ExperimentError(
                    f"{experiment.name} has {name}={json.dumps(value)}, and the search space leaves that out: the "
                    "first trial is the experiment as it is, so widen the space, or set another value with --set"
                )
            known[name] = found
        return known

    def suggest(self, trial: Trial) -> list[str]:
        """The settings that a trial tries, as ``--set`` would take them."""
        return [f"{name}={dimension.suggest(trial, name)}" for name, dimension in self.root.items()]


def read_space(path: Path) -> SearchSpace:
    """Reads a search space.

    Args:
        path: A YAML file: settings such as ``training.learning_rate``, each with ``low`` and ``high`` (and
            ``log: true`` or ``step``), or with ``choices``.

    Raises:
        ExperimentError: It can't be read, or holds something else; each wrong key is named.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ExperimentError(f"{path}: not a readable search space: {error}") from error
    try:
        return SearchSpace.model_validate(values)
    except ValidationError as error:
        raise ExperimentError(f"{path} is not a search space:\n  {describe_validation_error(error)}") from None
