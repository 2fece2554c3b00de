"""``retinagrade evaluate`` and ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json, terminal_progress
from retinagrade.cli.options import GradesTableOption, MovedSetOption, OverwriteOption, ResamplesOption
from retinagrade.errors import UsageError


def evaluate(
    predictions: Annotated[
        Path | None,
        typer.Argument(
            metavar="PREDICTIONS",
            help="CSV, .jsonl, .parquet or .xlsx file with the columns image_id, p0 … p4 and, where known, grade, such "
            "as RUN/predictions/val.csv; or a table that `retinagrade grade` wrote, with --grades. Or "
            "RUN/predictions/val-lesions.npz of a network that outlines lesions; or a folder of lesion maps, with "
            "--masks-from. Leave it out with --confusion-matrix.",
        ),
    ] = None,
    grades: GradesTableOption = None,
    confusion_matrix: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV file with 5 × 5 counts, to evaluate instead of PREDICTIONS: a row for each grade, a column for "
            "each predicted grade. Only --out and --json go with it.",
            show_default=False,
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File that `retinagrade calibrate` fitted, to apply and measure. [default: calibration.json of the "
            "run whose folder holds PREDICTIONS, if there is one]",
            show_default=False,
        ),
    ] = None,
    prepared: MovedSetOption = None,
    masks_from: Annotated[
        Path | None,
        typer.Option(
            metavar="SOURCE",
            help="Data set with lesion masks, such as IDRiD's folder, with which to compare a folder of lesion maps at "
            "the resolution of the photographs. `outline` writes such a folder.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Column whose values define subgroups, such as source_size: a column of the tables or of the run's "
            "manifest, or 'quality', which the command assesses from the run's photographs. Repeat the option for "
            "further columns. The command always takes dataset and laterality, if they are there.",
            show_default=False,
        ),
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of the programme's photographs, or patients, with referable disease, such as 0.1, at which to "
            "compute predictive values of referable decisions as well; for results of `retinagrade grade` also "
            "referrals and misses per 1,000 screened. [default: the share in the data]",
            show_default=False,
        ),
    ] = None,
    resamples: ResamplesOption = 2000,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder to write: report.html for people, metrics.json for programs, and pictures. [default: "
            "RUN/evaluation/SPLIT for predictions in a run's folder; otherwise the command only prints]",
            show_default=False,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Measure predictions and check that they can be trusted.

    The command prints metrics with 95 % intervals, and a confusion matrix. Integrity checks find predictions that have
    nothing to do with the grades, photographs that the network was trained on, and other reasons not to believe the
    metrics. Each finding is a line that begins with "attention".

    For results of `retinagrade grade`, the command also measures the decisions as a programme uses them: by photograph
    and by patient, with refused photographs referred, not referred and left out, by camera (--by) and by quality.

    Exit code 0: no check has a finding; 1: a check has one; 2: the evaluation was not possible.
    """
    if predictions is None and confusion_matrix is None:
        raise UsageError(
            "nothing to evaluate: name a table of predictions, such as RUN/predictions/val.csv, or a matrix with "
            "--confusion-matrix FILE.csv"
        )
    if predictions is not None and confusion_matrix is not None:
        raise UsageError(f"{predictions} and --confusion-matrix {confusion_matrix}: name one of them")
    from retinagrade.runs.lesion_maps import MAPS_RECORD

    if predictions is not None and (
        predictions.suffix == ".npz" or masks_from is not None or (predictions / MAPS_RECORD).is_file()
    ):
        if grades is not None or calibration is not None or by or prevalence is not None:
            raise UsageError("--grades, --calibration, --by and --prevalence are for grades, not for lesion maps")
        _evaluate_lesions(predictions, masks_from, resamples, out, overwrite, json)
        return
    from retinagrade.evaluation.report.page import guard_evaluation

    if predictions is not None:
        from retinagrade.runs.evaluate import evaluate as evaluate_predictions
        from retinagrade.runs.predictions import Predictions

        inputs = [path for path in (predictions, grades) if path is not None]
        if out is not None:
            guard_evaluation(out, inputs, overwrite)
        table = Predictions.read(predictions, grades=grades, calibration=calibration, prepared=prepared)
        if out is None and (out := table.evaluation_folder) is not None:
            guard_evaluation(out, inputs, overwrite)
        with terminal_progress() as progress:
            evaluation = evaluate_predictions(
                table, by=by or [], prevalence=prevalence, resamples=resamples, progress=progress
            )
    else:
        if grades is not None or calibration is not None or prepared is not None or by or prevalence is not None:
            raise UsageError(
                "--grades, --calibration, --prepared, --by and --prevalence need predictions, not a confusion matrix"
            )
        from retinagrade.evaluation.evaluate import evaluate_confusion_matrix

        assert confusion_matrix is not None
        if out is not None:
            guard_evaluation(out, [confusion_matrix], overwrite)
        evaluation = evaluate_confusion_matrix(confusion_matrix)
    report = None if out is None else evaluation.write(out, overwrite=overwrite)
    if json:
        print_json(evaluation.to_json())
    else:
        from retinagrade.evaluation.report.summary import evaluation_text

        console().print(evaluation_text(evaluation))
        if report is not None:
            console().print(f"wrote {report}")
    if evaluation.findings:
        raise typer.Exit(ATTENTION)


def _evaluate_lesions(
    maps: Path, masks_from: Path | None, resamples: int, out: Path | None, overwrite: bool, json: bool
) -> None:
    from retinagrade.runs.evaluate_lesions import evaluate_lesions

    with terminal_progress() as progress:
        evaluation = evaluate_lesions(maps, masks_from=masks_from, resamples=resamples, progress=progress)
    picture = None if out is None else evaluation.write(out, overwrite=overwrite)
    if json:
        print_json(evaluation.to_json())
        return
    table = Table("kind", "photographs", "lesions", "average precision", "Dice", "sensitivity at 1 false lesion")
    for kind, of_kind in evaluation.kinds.items():
        metrics = (of_kind.average_precision, of_kind.dice, of_kind.sensitivity[1.0])
        table.add_row(kind.replace("_", " "), str(of_kind.photographs), str(of_kind.lesions), *map(str, metrics))
    console().print(table)
    if picture is not None:
        console().print(f"wrote {picture}")


def compare(
    networks: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Two or more folders of runs, ensembles or cross-validations, or CSV files of predictions. The "
            "command compares the first with each of the others.",
        ),
    ],
    split: Annotated[
        str,
        typer.Option(
            metavar="SPLIT", help="Split of the predictions, for folders: the command reads RUN/predictions/SPLIT.csv."
        ),
    ] = "val",
    grades: GradesTableOption = None,
    resamples: ResamplesOption = 2000,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder to write: comparison.html for people, comparison.json for programs, and a picture. [default: "
            "the command only prints]",
            show_default=False,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Compare networks on the same photographs.

    The command resamples the same patients for all networks, and prints the differences of their metrics with 95 %
    intervals. A difference whose interval holds 0 may be chance.

    Exit code 0: no integrity check has a finding; 1: a check has one; 2: the comparison was not possible.
    """
    from retinagrade.evaluation.comparison import comparison_tables, guard_comparison
    from retinagrade.evaluation.report.tables import rich_table
    from retinagrade.runs.compare import compare as compare_networks
    from retinagrade.runs.compare import compared_files

    if out is not None:
        files = compared_files(networks, split, grades)
        guard_comparison(out, files, [*networks, *files], overwrite)
    comparison = compare_networks(networks, split=split, grades=grades, resamples=resamples)
    page = None if out is None else comparison.write(out, overwrite=overwrite)
    if json:
        print_json(comparison.to_json())
    else:
        printed = console()
        for table in comparison_tables(comparison):
            printed.print(rich_table(table))
        if page is not None:
            printed.print(f"wrote {page}")
        for name, finding in comparison.findings:
            printed.print(f"attention: {name}: {finding.text}", style="bold red")
    if comparison.findings:
        raise typer.Exit(ATTENTION)
