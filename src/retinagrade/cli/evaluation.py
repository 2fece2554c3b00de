"""``retinagrade evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json
from retinagrade.errors import UsageError

if TYPE_CHECKING:
    from retinagrade.evaluation.report import ReportSection


def register(app: typer.Typer) -> None:
    """Adds this module's commands."""
    app.command("evaluate")(evaluate)


def evaluate(
    predictions: Annotated[
        Path | None, typer.Argument(help="A table with image_id, p0 … p4 and, where known, grade.")
    ] = None,
    grades: Annotated[
        Path | None, typer.Option(help="A table with image_id and grade of the same photographs.")
    ] = None,
    confusion_matrix: Annotated[
        Path | None,
        typer.Option(help="Instead of predictions: a CSV of 5 × 5 counts, rows by grade, columns by predicted grade."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html, evaluation.json and pictures. [default: RUN/evaluation/SPLIT]"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure predictions, and check that the figures can be believed; exit 1 if they can't."""
    if (predictions is None) == (confusion_matrix is None):
        raise UsageError("evaluate wants a table of predictions, or --confusion-matrix FILE.csv, and not both")
    if predictions is not None:
        section = _of_predictions(predictions, grades)
        out = out or _place_in_run(predictions)
    else:
        assert confusion_matrix is not None
        if grades is not None:
            raise UsageError("a confusion matrix holds the grades already: leave --grades out")
        section = _of_matrix(confusion_matrix)
    source = predictions or confusion_matrix
    assert source is not None
    if json:
        print_json(section.evaluation.to_json())
    else:
        from retinagrade.evaluation.tables import evaluation_tables

        console().print(evaluation_tables(section.evaluation))
    if out is not None:
        from retinagrade.evaluation.report import write_evaluation

        report = write_evaluation(out, section, [source, *([grades] if grades else [])])
        if not json:
            console().print(f"wrote {report}", highlight=False)
    if section.evaluation.findings:
        raise typer.Exit(ATTENTION)


def _of_predictions(path: Path, grades: Path | None) -> ReportSection:
    from retinagrade.evaluation.evaluate import evaluate as evaluate_predictions
    from retinagrade.evaluation.examples import example_photographs
    from retinagrade.evaluation.integrity import check_predictions
    from retinagrade.evaluation.predictions import join, read_grades, read_rows, tidy
    from retinagrade.evaluation.report import ReportSection

    rows = read_rows(path)
    table = tidy(rows)
    if grades is not None:
        table = join(table, read_grades(grades))
    run_folder = _run_folder(path)
    if run_folder is None:
        evaluation = evaluate_predictions(table, findings=check_predictions(table, rows=rows))
        return ReportSection(path.stem, evaluation, f"Predictions in {path}.")

    from retinagrade.evaluation.leaks import split_changed
    from retinagrade.files import sha256
    from retinagrade.manifest import Manifest
    from retinagrade.training.run import Run

    run = Run(run_folder)
    record = run.record()
    prepared = Path(record["data"]["prepared"])
    manifest_file = prepared / "manifest.csv"
    split_file = run.manifest_file if record["data"].get("own_split") else manifest_file
    known = split_file.is_file() and sha256(split_file) == record["data"]["manifest_sha256"]
    trained_on = Manifest.read(split_file) if known else None
    fitted_on = {}
    if trained_on is not None and run.output_file.is_file():
        fitted_on["The cut points between grades"] = trained_on.graded().split("val").table
    findings = check_predictions(table, rows=rows, trained_on=trained_on, fitted_on=fitted_on)
    if split_file.is_file() and not known:
        findings.append(split_changed(str(run_folder), str(split_file)))
    return ReportSection(
        record["experiment"],
        evaluate_predictions(table, findings=findings),
        f"Run {run_folder}, photographs of {prepared}, split {path.stem}.",
        run.history(),
        example_photographs(table, Manifest.read(manifest_file)) if manifest_file.is_file() else [],
        run.experiment().network.loss,
    )


def _of_matrix(path: Path) -> ReportSection:
    from retinagrade.evaluation.evaluate import evaluate_confusion_matrix, read_confusion_matrix
    from retinagrade.evaluation.report import ReportSection

    return ReportSection(
        path.stem, evaluate_confusion_matrix(read_confusion_matrix(path)), f"Confusion matrix in {path}."
    )


def _run_folder(predictions: Path) -> Path | None:
    folder = predictions.resolve().parent.parent
    in_run = predictions.resolve().parent.name == "predictions" and (folder / "experiment.yaml").is_file()
    return folder if in_run else None


def _place_in_run(predictions: Path) -> Path | None:
    folder = _run_folder(predictions)
    return None if folder is None else folder / "evaluation" / predictions.stem
