"""``retinagrade ensemble``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import JsonOption, console, print_json


class EnsembleMethod(StrEnum):
    """Methods that combine members."""

    MAJORITY = "majority"
    ACCURACY = "accuracy"
    RECALL = "recall"
    STACKING = "stacking"
    LOGISTIC = "logistic"
    MEAN = "mean"
    GEOMETRIC = "geometric"
    QWK = "qwk"
    EYES = "eyes"


def ensemble(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folders of two or more runs, cross-validations or ensembles that were trained on the same split; one "
            "folder for the method `eyes`.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the ensemble, which is a run: evaluate and export it like one.")],
    method: Annotated[
        EnsembleMethod,
        typer.Option(
            help="majority: one vote for each member. mean, geometric: the arithmetic or geometric mean of the "
            "probabilities. accuracy, recall, qwk: means weighted by validation accuracy, by recalls with more weight "
            "on rare grades, or for the highest quadratic weighted kappa (QWK). logistic, stacking: a logistic "
            "regression, or the report's network, on all probabilities. eyes: for one run, a logistic regression on "
            "the probabilities of both eyes of a patient."
        ),
    ] = EnsembleMethod.MEAN,
    resamples: Annotated[
        int,
        typer.Option(min=200, help="Number of bootstrap resamples of patients, from which the intervals are computed."),
    ] = 2000,
    json: JsonOption = False,
) -> None:
    """Combine the predictions of several runs.

    The ensemble is fitted on the saved validation predictions, and predicts every further split that all runs have
    predicted. Tables and pages show the contribution of each run.
    """
    from retinagrade.ensembles.ensemble import ensemble as combine_runs

    made = combine_runs(runs, out, method=method.value, resamples=resamples)
    if json:
        print_json(made.to_json())
        return
    from retinagrade.ensembles.combination import describe_combination
    from retinagrade.evaluation.report.tables import rich_table

    printed = console()
    printed.print(describe_combination(made.fitted), highlight=False)
    for table in made.tables():
        printed.print(rich_table(table))
    for split, reason in made.skipped.items():
        printed.print(f"{split} was left out: {reason}", highlight=False)
    printed.print(f"wrote {out / 'members.csv'}, and a page for each split in {out / 'members'}", highlight=False)
    for split in made.networks:
        printed.print(f"next: retinagrade evaluate {made.run.predictions_file(split)}", highlight=False)
