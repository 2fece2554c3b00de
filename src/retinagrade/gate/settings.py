"""Settings of the gate: the cut points between good, usable and rejected photographs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from retinagrade.errors import UsageError, describe_validation_error
from retinagrade.gate.names import ADVICE, NO_FUNDUS, UNCHECKED
from retinagrade.storage.system_errors import reason

Share = Annotated[float, Field(ge=0, le=1)]
OFF: Final = "off"
PERCENTILE: Final = "percentile"
FEWEST: Final = 20
"""Photographs below which ``percentile`` says nothing."""
WORST: Final = 5.0
"""Percentage of a folder that ``percentile`` refuses by default."""
_MAKERS: Final = "the makers of the gate"
_LEAST: Final = {NO_FUNDUS: 0.5, "macula missing": 0.75, "optic disc missing": 0.75}
"""Probabilities from which these reasons count. All other reasons count where they are present."""


class GateSettings(BaseModel):
    """Cut points of the gate.

    Attributes:
        reject_below: Quality below which a photograph gets no grade.
        usable_below: Quality below which a photograph is graded with a warning.
        least: Least probability, by reason, from which that reason refuses a photograph. A reason that isn't named has
            the default, see :meth:`least_probability`.
        is_off: True if every photograph is graded, and every result has a warning.
        origin: Who chose these settings, on which photographs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    reject_below: Share = 0.25
    usable_below: Share = 0.75
    least: dict[str, Share] = Field(default_factory=dict)
    is_off: bool = False
    origin: str = _MAKERS

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.reject_below > self.usable_below:
            raise ValueError("reject_below is above usable_below: a rejected photograph would be good")
        if unknown := [reason for reason in self.least if reason not in REASONS]:
            raise ValueError(f"unknown reason {unknown[0]!r}: choose from {', '.join(REASONS)}")
        return self

    def least_probability(self, reason: str) -> float:
        """Returns the probability from which a reason refuses a photograph, 0 to 1."""
        return self.least.get(reason, _LEAST.get(reason, 0.0))

    def switched_off(self) -> Self:
        """Returns settings with which every photograph is graded."""
        return self.model_copy(update={"is_off": True, "origin": "--gate off"})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads settings that ``calibrate --quality`` wrote.

        Raises:
            UsageError: The file is unreadable or holds other things.
        """
        try:
            settings = cls.model_validate_json(path.read_text(encoding="utf-8"), strict=True)
        except ValidationError as error:
            raise UsageError(
                f"{path} holds no settings of the gate: make them with `retinagrade calibrate --quality`:\n  "
                f"{describe_validation_error(error, cls)}"
            ) from None
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: its settings of the gate can't be read: {reason(error)}") from error
        if missing := {"reject_below", "usable_below"} - settings.model_fields_set:
            raise UsageError(
                f"{path} holds no settings of the gate (it lacks {', '.join(sorted(missing))}): make them with "
                "`retinagrade calibrate --quality`"
            )
        if settings.is_off:
            raise UsageError(f"{path} would switch the gate off: give `--gate off` for that")
        return settings


REASONS: Final = tuple(reason for reason in ADVICE if reason not in ("optic disc missing", UNCHECKED))
"""Reasons that may refuse a photograph. A missing optic disc is only a warning."""


def parse_gate(choices: Iterable[str], settings: GateSettings) -> tuple[GateSettings, float | None]:
    """Reads what a person wrote about the gate.

    Args:
        choices: ``off``; ``percentile`` or ``percentile=5``: refuse so many per cent of the photographs, the worst;
            ``REASON=PROBABILITY``: the least probability from which a reason refuses a photograph (one of poor
            quality, for a fault); or a file of settings, which counts first.
        settings: The settings that the choices change.

    Returns:
        The settings, and the percentage of photographs to refuse; ``None`` without ``percentile``.

    Raises:
        UsageError: A choice is none of these, or choices would cancel each other.

    Example:
        >>> settings, worst = parse_gate(["haze=0.9", "percentile"], GateSettings())
        >>> settings.least, worst
        ({'haze': 0.9}, 5.0)
    """
    worst: float | None = None
    chosen = [tuple(part.strip() for part in choice.partition("=")) for choice in choices]
    _require_one_meaning([name for name, _, _ in chosen])
    for name, equals, value in sorted(chosen, key=lambda each: not each[0].endswith(".json")):  # the file first
        choice = f"{name}{equals}{value}"
        if name == OFF and not equals:
            settings = settings.switched_off()
        elif name == PERCENTILE:
            worst = WORST if not equals else _number(choice, value, up_to=100)
        elif name in REASONS and equals:
            least = {**settings.least, name: _number(choice, value, up_to=1)}
            settings = settings.model_copy(update={"least": least, "origin": f"{settings.origin}; --gate {choice}"})
        elif name.endswith(".json") and not equals:
            settings = GateSettings.read(Path(name))
        else:
            raise UsageError(
                f"gate: {choice!r} is no setting: write off, percentile, percentile=5, a file of `calibrate --quality` "
                f"that ends in .json, or REASON=PROBABILITY such as haze=0.9, for {', '.join(REASONS)}"
            )
    return settings, worst


def _require_one_meaning(names: list[str]) -> None:
    """Refuses choices that would cancel each other."""
    files = [name for name in names if name.endswith(".json")]
    if OFF in names and len(names) > 1:
        raise UsageError("gate: off excludes all other settings: give off alone, or leave it out")
    if surplus := files[1:] or [name for name in names if names.count(name) > 1]:
        raise UsageError(f"gate: {surplus[-1]!r} is one setting too many: give each of them once")


def percentile_settings(settings: GateSettings, scores: Iterable[float], worst: float) -> GateSettings:
    """Returns settings that refuse a share of these photographs, the worst.

    Args:
        settings: The settings before.
        scores: Quality of each photograph, 0 to 1.
        worst: Percentage to refuse; at least one photograph is refused.

    Raises:
        UsageError: There are too few photographs.

    Example:
        >>> percentile_settings(GateSettings(), [0.1] * 10 + [0.5] * 10, 50).reject_below
        0.3
    """
    in_order = sorted(scores)
    if len(in_order) < FEWEST:
        raise UsageError(
            f"gate: percentile needs at least {FEWEST} colour photographs of a fundus, and these are "
            f"{len(in_order)}: leave it out, or fit cut points with `retinagrade calibrate --quality`"
        )
    refused = math.ceil(len(in_order) * worst / 100)
    edges = [*in_order, 1.0]
    cut = round((edges[refused - 1] + edges[refused]) / 2, 6)
    return settings.model_copy(
        update={
            "reject_below": cut,
            "usable_below": max(cut, settings.usable_below),
            "origin": f"--gate percentile={worst:g} on {len(in_order)} photographs",
        }
    )


def _number(choice: str, value: str, up_to: float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 < number <= up_to:
        raise UsageError(f"gate: {choice!r}: write a number above 0 and up to {up_to:g} after =")
    return number
