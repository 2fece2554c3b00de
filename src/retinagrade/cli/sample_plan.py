"""``retinagrade plan``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from retinagrade.cli.console import JsonOption, console, print_json


class Measure(StrEnum):
    """Shares of right decisions."""

    SENSITIVITY = "sensitivity"
    SPECIFICITY = "specificity"


def plan(
    bar: Annotated[float, typer.Option(metavar="SHARE", help="Value to show, such as 0.85, between 0 and 1.")],
    true: Annotated[float, typer.Option(metavar="SHARE", help="True value that is assumed, above the bar.")],
    measure: Annotated[
        Measure,
        typer.Option(help="Sensitivity, of photographs with the disease, or specificity, of those without."),
    ] = Measure.SENSITIVITY,
    confidence: Annotated[
        float, typer.Option(metavar="SHARE", help="One-sided confidence of the result, between 0 and 1.")
    ] = 0.95,
    power: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Probability of success if the true value is right, between 0 and 1."),
    ] = 0.8,
    prevalence: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of photographs with the disease, between 0 and 1, for the number of photographs to grade in "
            "all. [default: only the photographs of the kind are counted]",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Plan how many photographs a measurement needs.

    The command answers before any photograph is graded: how many photographs show that a sensitivity or a specificity
    is at least a bar, by exact binomial probabilities.

    Exit code 0: done; 2: no number of photographs shows it.
    """
    from retinagrade.evaluation.sample_plan import plan as plan_sample

    made = plan_sample(bar, true, measure=measure.value, confidence=confidence, power=power, prevalence=prevalence)
    if json:
        print_json(made.to_json())
    else:
        console().print(str(made))
