"""``retinagrade lesions``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json
from retinagrade.errors import UsageError

METHODS = ("gradcam", "hirescam", "layercam", "integrated-gradients")


def register(app: typer.Typer) -> None:
    """Adds this module's commands."""
    app.command("lesions")(lesions)


def lesions(
    runs: Annotated[list[Path], typer.Argument(help="Trained runs; of an ensemble or folds, each network's.")],
    masks: Annotated[Path, typer.Option(help="IDRiD with its 'A. Segmentation', or a made-up data set.")],
    out: Annotated[Path, typer.Option(help="Folder for lesions.html, lesions.json, tables and pictures.")],
    method: Annotated[
        list[str] | None, typer.Option(help=f"How to explain; repeatable. [default: {', '.join(METHODS)}]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of random heat, and of the order of shuffled weights.")] = 0,
    json: JsonOption = False,
) -> None:
    """Compare heat maps with lesion masks; exit 1 if some don't depend on what was learnt, or are empty."""
    from retinagrade.datasets.masks import read_masked_photographs
    from retinagrade.evaluation.report.tables import rich_table
    from retinagrade.execution.progress_bar import progress_bar
    from retinagrade.explain import saliency as maps
    from retinagrade.explain.lesions import report as lesion_report
    from retinagrade.explain.lesions.masked_inputs import find_copies_in_run
    from retinagrade.explain.lesions.measure import join_measurements, measure_agreement
    from retinagrade.files import short_names
    from retinagrade.runs.cross_validation import trained_runs

    methods = list(dict.fromkeys(method or METHODS))
    if unknown := [name for name in methods if name not in maps.METHODS]:
        raise UsageError(f"no method {unknown[0]!r} of explaining: {', '.join(maps.METHODS)}")
    found = trained_runs(runs)
    trained = dict(zip(short_names([run.folder for run in found]), found, strict=True))
    masked = read_masked_photographs(masks)
    with progress_bar("explaining", len(trained) * (len(methods) + 1)) as step:
        measured = join_measurements(
            [
                measure_agreement(run, masked, methods, name=name, seed=seed, on_done=step)
                for name, run in trained.items()
            ]
        )
    comparison = lesion_report.summarise_agreement(
        measured, {name: find_copies_in_run(run, masked) for name, run in trained.items()}
    )
    page = lesion_report.write_lesions(out, measured, comparison, [*runs, masks])
    if json:
        print_json(comparison.to_json())
    else:
        for table in lesion_report.agreement_tables(comparison):
            console().print(rich_table(table))
        for line in (*lesion_report.training_copies_lines(comparison), lesion_report.CAUTION):
            console().print(line, highlight=False)
        for message in comparison.messages:
            console().print(f"attention: {message}", style="bold red", highlight=False)
        console().print(f"wrote {page}", highlight=False)
    if comparison.messages:
        raise typer.Exit(ATTENTION)
