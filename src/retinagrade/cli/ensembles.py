"""``retinagrade ensemble``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import JsonOption, console, print_json
from retinagrade.cli.options import ResamplesOption


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
            metavar="RUN",
            help="Two or more folders of runs, ensembles or cross-validations of the same split; one folder for "
            "--method eyes.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Folder of the ensemble. It is a run: `evaluate` and `export` take it like one."
        ),
    ],
    method: Annotated[
        EnsembleMethod,
        typer.Option(
            help="Way to combine the predictions. majority: each member has one vote. mean, geometric: arithmetic or "
            "geometric mean of the probabilities. accuracy, recall, qwk: means, weighted by validation accuracy, by "
            "recalls with more weight on rare grades, or for the highest quadratic weighted kappa (QWK). logistic, "
            "stacking: a logistic regression, or the university report's network, on all probabilities. eyes: for one "
            "run, a logistic regression on the probabilities of both eyes of a patient."
        ),
    ] = EnsembleMethod.MEAN,
    resamples: ResamplesOption = 2000,
    json: JsonOption = False,
) -> None:
    """Combine the predictions of several runs.

    Each run is a member of the ensemble. The command fits the ensemble on the saved validation predictions, and
    combines every further split that all members have predicted (see `predict`). Tables and pages show the contribution
    of each member.

    Exit code 0: done; 2: the ensemble was not possible.
    """
    from retinagrade.ensembles.ensemble import ensemble as combine_runs

    made = combine_runs(runs, out, method=method.value, resamples=resamples)
    if json:
        print_json(made.to_json())
        return
    from retinagrade.ensembles.combination import describe_combination
    from retinagrade.evaluation.report.tables import rich_table

    printed = console()
    printed.print(describe_combination(made.fitted))
    for table in made.tables():
        printed.print(rich_table(table))
    for split, reason in made.skipped.items():
        printed.print(f"{split} was left out: {reason}")
    printed.print(f"wrote {out / 'members.csv'}, and a page for each split in {out / 'members'}")
    for split in made.networks:
        printed.print(f"next: retinagrade evaluate {made.run.predictions_file(split)}")
