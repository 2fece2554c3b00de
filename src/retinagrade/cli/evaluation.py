"""``retinagrade evaluate`` and ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json, terminal_progress
from retinagrade.errors import UsageError

Resamples = Annotated[
    int, typer.Option(min=200, help="Number of bootstrap resamples of patients, from which the intervals are computed.")
]


def evaluate(
    predictions: Annotated[
        Path | None,
        typer.Argument(help="A CSV file with columns image_id, p0 … p4 and, where known, grade."),
    ] = None,
    grades: Annotated[
        Path | None,
        typer.Option(
            help="A CSV file with columns image_id and grade of the same photographs, if PREDICTIONS has no grades. "
            "With a column patient_id, the intervals are by patient."
        ),
    ] = None,
    confusion_matrix: Annotated[
        Path | None,
        typer.Option(
            help="A CSV file with 5 × 5 counts, to evaluate instead of PREDICTIONS: a row for each grade, a column for "
            "each predicted grade."
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="A file that `retinagrade calibrate` fitted on other photographs. [default: calibration.json of the "
            "run whose folder holds PREDICTIONS, if there is one]"
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="A column whose values define subgroups to evaluate, such as source_size: a column of the tables or "
            "of the run's manifest, or `quality`, which is assessed from the run's photographs. May be repeated."
        ),
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option(help="Share of diseased photographs, such as 0.1, at which to compute predictive values as well."),
    ] = None,
    resamples: Resamples = 2000,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for report.html, metrics.json and the pictures. [default: RUN/evaluation/SPLIT for "
            "predictions in a run's folder; otherwise nothing is written]"
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure predictions and check that they can be trusted.

    The exit code is 1 if an integrity check has a finding, such as photographs that the network was trained on.
    """
    if (predictions is None) == (confusion_matrix is None):
        raise UsageError("evaluate needs a table of predictions, or --confusion-matrix FILE.csv, and not both")
    if predictions is not None:
        from retinagrade.runs.evaluate import evaluate as evaluate_predictions
        from retinagrade.runs.predictions import Predictions

        table = Predictions.read(predictions, grades=grades, calibration=calibration)
        with terminal_progress() as progress:
            evaluation = evaluate_predictions(
                table, by=by or [], prevalence=prevalence, resamples=resamples, progress=progress
            )
        out = out or table.evaluation_folder
    else:
        if grades is not None or calibration is not None or by or prevalence is not None:
            raise UsageError("--grades, --calibration, --by and --prevalence need predictions, not a confusion matrix")
        from retinagrade.evaluation.evaluate import evaluate_confusion_matrix

        assert confusion_matrix is not None
        evaluation = evaluate_confusion_matrix(confusion_matrix)
    report = None if out is None else evaluation.write(out)
    if json:
        print_json(evaluation.to_json())
    else:
        from retinagrade.evaluation.report.tables import evaluation_text

        console().print(evaluation_text(evaluation))
        if report is not None:
            console().print(f"wrote {report}", highlight=False)
    if evaluation.findings:
        raise typer.Exit(ATTENTION)


def compare(
    networks: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folders of runs, or CSV files of predictions; the first is compared with the others.",
        ),
    ],
    split: Annotated[
        str, typer.Option(help="The split whose predictions are compared, for folders: RUN/predictions/SPLIT.csv.")
    ] = "val",
    grades: Annotated[
        Path | None,
        typer.Option(
            help="A CSV file with columns image_id and grade of the photographs, if the predictions have none."
        ),
    ] = None,
    resamples: Resamples = 2000,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for comparison.html, comparison.json and a picture. [default: nothing is written]"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare networks on the same photographs.

    Differences have 95 % intervals. The exit code is 1 if an integrity check has a finding.
    """
    from retinagrade.evaluation.comparison import comparison_tables
    from retinagrade.evaluation.report.tables import rich_table
    from retinagrade.runs.compare import compare as compare_networks

    comparison = compare_networks(networks, split=split, grades=grades, resamples=resamples)
    page = None if out is None else comparison.write(out)
    if json:
        print_json(comparison.to_json())
    else:
        printed = console()
        for table in comparison_tables(comparison):
            printed.print(rich_table(table))
        if page is not None:
            printed.print(f"wrote {page}", highlight=False)
        for name, finding in comparison.findings:
            printed.print(f"attention: {name}: {finding.message}", style="bold red", highlight=False)
    if comparison.findings:
        raise typer.Exit(ATTENTION)
