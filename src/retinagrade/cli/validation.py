"""``retinagrade validate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json, terminal_progress
from retinagrade.cli.grader import DecodingThreadsOption, ListOption, ModelOption, PhotographsArgument
from retinagrade.cli.options import OverwriteOption, ResamplesOption


def validate(
    photographs: PhotographsArgument = None,
    *,
    labels: Annotated[
        Path,
        typer.Option(
            metavar="TABLE",
            help="Table with the columns image_id and grade of these photographs, as people have graded them. Where "
            "known, it also has patient_id, camera, and oedema_risk (0 to 2).",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="REPORT",
            help="Folder to write: index.html for people, validation.json for programs, results.csv, and "
            "calibration.json for `export --model`. The same command continues after an interruption.",
        ),
    ],
    model: ModelOption = "default",
    listed: ListOption = None,
    target: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Sensitivity that the thresholds of your own should reach, above 0 and up to 1."
        ),
    ] = 0.9,
    prevalence: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of your patients with referable disease, such as 0.1, at which to count misses and "
            "referrals per 1,000 screened. [default: the share in the labels]",
            show_default=False,
        ),
    ] = None,
    resamples: ResamplesOption = 2000,
    workers: DecodingThreadsOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Say whether a grader works on your own photographs.

    The command grades photographs that people have graded, too. It compares the grader's figures with those on its
    card, counts misses and false referrals, proposes thresholds of your own, and writes a page for a medical director.

    Exit code 0: the grader works here as on its card; 1: it works worse, the photographs are too few to tell, or a
    person should look at something else that the page names; 2: the validation was not possible.
    """
    from retinagrade.sites.validate import validate as validate_grader

    with terminal_progress() as progress:
        validation = validate_grader(
            photographs or [],
            labels=labels,
            out=out,
            model=model,
            listed=listed,
            target=target,
            prevalence=prevalence,
            resamples=resamples,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        print_json(validation.to_json())
    else:
        from retinagrade.evaluation.report.tables import rich_table
        from retinagrade.sites.validation_page import validation_tables

        printed = console()
        for table in validation_tables(validation):
            printed.print(rich_table(table))
        verdict = validation.verdict
        printed.print(" ".join(filter(None, (verdict.sentence, verdict.detail))))
        for reason in validation.attention:
            if reason != verdict.sentence:
                printed.print(f"attention: {reason}", style="bold red")
        for step in validation.next_steps:
            printed.print(f"next: {step.text}")
            for command in step.commands:
                printed.print(f"    {command}")
        printed.print(f"wrote {validation.page}")
        printed.print("Research software, not a medical device.")
    if validation.needs_attention:
        raise typer.Exit(ATTENTION)
