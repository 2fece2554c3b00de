"""``retinagrade evaluate`` and ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json
from retinagrade.errors import UsageError

if TYPE_CHECKING:
    from retinagrade.evaluation.evaluate import Evaluation
    from retinagrade.evaluation.results import EvaluationContext
    from retinagrade.runs.run_predictions import RunPredictions


def register(app: typer.Typer) -> None:
    """Adds this module's commands."""
    app.command("evaluate")(evaluate)
    app.command("compare")(compare)


Resamples = Annotated[int, typer.Option(min=200, help="Resamples of patients that intervals are made of.")]


def evaluate(
    predictions: Annotated[
        Path | None, typer.Argument(help="A table with image_id, p0 … p4 and, where known, grade.")
    ] = None,
    grades: Annotated[
        Path | None,
        typer.Option(help="A table with image_id and grade of the same photographs; patient_id makes intervals right."),
    ] = None,
    confusion_matrix: Annotated[
        Path | None,
        typer.Option(help="Instead of predictions: a CSV of 5 × 5 counts, rows by grade, columns by predicted grade."),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="What `calibrate` fitted on other photographs. [default: RUN/calibration.json]"),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Also evaluate subgroups by this column of the tables or the run's manifest, such as source_size, or "
            "by quality, as seen in the run's photographs; repeatable."
        ),
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option(help="Also give predictive values where this share of the photographs has the disease."),
    ] = None,
    resamples: Resamples = 2000,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html, metrics.json and pictures. [default: RUN/evaluation/SPLIT]"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure predictions, and check that the figures can be believed; exit 1 if they can't."""
    if (predictions is None) == (confusion_matrix is None):
        raise UsageError("evaluate wants a table of predictions, or --confusion-matrix FILE.csv, and not both")
    if prevalence is not None and not 0 < prevalence < 1:
        raise UsageError(f"--prevalence {prevalence:g}: write a share between 0 and 1, such as 0.1")
    if predictions is not None:
        evaluation = _of_predictions(predictions, grades, calibration, by or [], prevalence, resamples)
        out = out or _place_in_run(predictions)
    else:
        assert confusion_matrix is not None
        if grades is not None or calibration is not None or by or prevalence is not None:
            raise UsageError("a confusion matrix is all there is: leave --grades, --calibration, --by and --prevalence")
        from retinagrade.evaluation.evaluate import evaluate_confusion_matrix

        evaluation = evaluate_confusion_matrix(confusion_matrix)
    if json:
        print_json(evaluation.to_json())
    else:
        from retinagrade.evaluation.report.tables import evaluation_text

        console().print(evaluation_text(evaluation))
    if out is not None:
        report = evaluation.write(out)
        if not json:
            console().print(f"wrote {report}", highlight=False)
    if evaluation.findings:
        raise typer.Exit(ATTENTION)


def compare(
    networks: Annotated[
        list[Path], typer.Argument(help="Runs, or tables of predictions; the others are compared with the first.")
    ],
    split: Annotated[str, typer.Option(help="Which predictions of the runs: RUN/predictions/SPLIT.csv.")] = "val",
    grades: Annotated[
        Path | None, typer.Option(help="A table with image_id and grade of the same photographs, for all of them.")
    ] = None,
    resamples: Resamples = 2000,
    out: Annotated[Path | None, typer.Option(help="Folder for comparison.html, comparison.json and a picture.")] = None,
    json: JsonOption = False,
) -> None:
    """Compare networks on the same photographs, with intervals; exit 1 if some figures can't be believed."""
    if len(networks) < 2:
        raise UsageError("compare wants two runs or tables of predictions, or more")
    from retinagrade.evaluation.comparison import compare_predictions, comparison_tables
    from retinagrade.evaluation.report.tables import rich_table
    from retinagrade.files import file_digests

    known = _named([_read(path, split, grades) for path in networks])
    compared = compare_predictions(
        {name: one.table for name, one in known.items()},
        findings={name: one.findings for name, one in known.items()},
        sources=file_digests([*dict.fromkeys(path for one in known.values() for path in one.sources)]),
        resamples=resamples,
    )
    if json:
        print_json(compared.to_json())
    else:
        for table in comparison_tables(compared):
            console().print(rich_table(table))
    if out is not None:
        page = compared.write(out)
        if not json:
            console().print(f"wrote {page}", highlight=False)
    if not json:
        for name, one in known.items():
            for finding in one.findings:
                console().print(f"attention: {name}: {finding.message}", style="bold red", highlight=False)
    if any(one.findings for one in known.values()):
        raise typer.Exit(ATTENTION)


def _read(path: Path, split: str, grades: Path | None) -> RunPredictions:
    from retinagrade.runs.run_predictions import read_run_predictions

    file = path / "predictions" / f"{split}.csv" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(f"{path}: no predictions {file}: `retinagrade predict` makes them, or choose another --split")
    return read_run_predictions(file, grades)


def _named(known: list[RunPredictions]) -> dict[str, RunPredictions]:
    """By the name of the run or else of the file."""
    from retinagrade.files import short_names

    names = short_names([one.file.with_suffix("") if one.run is None else one.run.folder for one in known])
    return dict(zip(names, known, strict=True))


def _of_predictions(
    path: Path,
    grades: Path | None,
    calibration: Path | None,
    by: list[str],
    prevalence: float | None,
    resamples: int,
) -> Evaluation:
    from retinagrade.evaluation.evaluate import evaluate_predictions
    from retinagrade.evaluation.subgroups import default_subgroup_columns
    from retinagrade.runs.run_predictions import add_quality, read_run_predictions

    known = read_run_predictions(path, grades, calibration)
    if "quality" in by and "quality" not in known.table:
        known = add_quality(known)
    return evaluate_predictions(
        known.table,
        findings=known.findings,
        calibration=known.fitted,
        by=[*dict.fromkeys([*default_subgroup_columns(known.table), *by])],
        prevalence=prevalence,
        resamples=resamples,
        context=_context(path, known),
    )


def _context(path: Path, known: RunPredictions) -> EvaluationContext:
    from retinagrade.evaluation.examples import example_photographs
    from retinagrade.evaluation.results import EvaluationContext
    from retinagrade.files import file_digests

    sources = file_digests(known.sources)
    if known.run is None:
        return EvaluationContext(path.stem, f"Predictions in {path}.", sources=sources)
    record = known.run.record()
    history, loss = None, ""
    if not known.run.is_ensemble:
        history, loss = known.run.history(), known.run.experiment().network.loss
    return EvaluationContext(
        record.experiment,
        f"Run {known.run.folder}, photographs of {record.data.prepared}, split {path.stem}.",
        history,
        loss,
        [] if known.manifest is None else example_photographs(known.table, known.manifest),
        sources,
    )


def _place_in_run(predictions: Path) -> Path | None:
    from retinagrade.runs.run_predictions import find_run

    run = find_run(predictions)
    return None if run is None else run.folder / "evaluation" / predictions.stem
