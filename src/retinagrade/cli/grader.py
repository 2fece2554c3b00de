"""``retinagrade export`` and ``retinagrade grade``."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json
from retinagrade.errors import UsageError


class Weights(StrEnum):
    """How a file keeps its weights."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


def register(app: typer.Typer) -> None:
    """Adds this module's commands."""
    app.command("export")(export)
    app.command("grade")(grade)


def export(
    run: Annotated[Path, typer.Argument(help="A trained run's folder; calibrate it first to have thresholds.")],
    out: Annotated[Path, typer.Option(help="The file to write, .onnx; a model card .md comes beside it.")],
    precision: Annotated[
        Weights,
        typer.Option(
            help="How to keep the weights. float16 halves the file; what that changes is measured on the validation "
            "photographs."
        ),
    ] = Weights.FLOAT32,
) -> None:
    """Make one file of a run that grades without a deep-learning framework, and show that it is the same network."""
    if out.suffix != ".onnx":
        raise UsageError(f"--out {out}: write a name that ends in .onnx")
    from retinagrade.export.card import changes
    from retinagrade.export.export import export as export_run
    from retinagrade.training.run import Run

    metadata = export_run(Run(run), out, precision.value)
    proof = metadata.proof
    printed = console()
    printed.print(
        f"beside the network, on {proof.photographs} photographs: probabilities within {proof.probabilities:.2g}, "
        f"evidence correlates by {proof.evidence:.5f}",
        highlight=False,
    )
    if metadata.change is not None:
        printed.print(
            f"{precision.value} less float32, on {metadata.change.photographs} validation photographs:", highlight=False
        )
        for line in changes(metadata.change):
            printed.print(f"  {line}", highlight=False)
    for name, why in metadata.undefined.items():
        printed.print(f"undefined: {name}: {why}", highlight=False, style="dim")
    printed.print(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB) and {out.with_suffix('.md')}", highlight=False)


def grade(
    photographs: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Photographs, folders of them, or patterns such as '*.jpg'.")
    ],
    model: Annotated[Path, typer.Option(help="A file that `retinagrade export` made.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Results as .csv or .jsonl, written as they come; the same command again continues."),
    ] = None,
    heatmaps: Annotated[
        Path | None, typer.Option(help="A folder for pictures of the evidence for the grade that was given.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Grade photographs; exit 1 if some could not be read, or are not good enough to be graded."""
    import simplejpeg

    from retinagrade.files import write_bytes
    from retinagrade.grader.files import Table, find_photographs
    from retinagrade.grader.heat import heatmap
    from retinagrade.grader.results import model_name
    from retinagrade.grader.runtime import Grader
    from retinagrade.progress import progress

    found = find_photographs(photographs)
    grader = Grader.load(model)
    table = None if out is None else Table(out, model_name(grader.metadata))
    todo = {image_id: path for image_id, path in found.items() if table is None or image_id not in table.done}
    gradings = []
    with progress("grading", max(1, len(todo))) as step:
        for seen in grader.stream(todo.values(), todo):
            given = seen.grading
            gradings.append(given)
            if heatmaps is not None and given.grade is not None:
                assert seen.photograph is not None
                assert seen.evidence is not None
                picture = heatmap(seen.photograph, seen.evidence[given.grade])
                name = f"{given.image_id.lstrip('/').replace('../', '')}.jpg"
                write_bytes(heatmaps / name, simplejpeg.encode_jpeg(picture, 90))
            if table is not None:
                table.add(given)
            step()
    if table is not None:
        table.close()
    errors = [each for each in gradings if each.error is not None]
    poor = [each for each in gradings if each.gradable is False]
    if json:
        print_json([each.to_json() for each in gradings])
    else:
        printed = console()
        for each in gradings if table is None else [*errors, *poor]:
            if each.error is not None:
                said = f"error: {each.error}"
            elif each.grade is None:
                said = f"not gradable ({', '.join(each.quality_reasons)}): a person should look"
            else:
                positive = {None: "", True: ", referable", False: ", not referable"}[each.referable]
                look = ", a person should look" if each.refer_to_person else ""
                said = f"{each.grade} {each.label} ({each.confidence:.2f}){positive}{look}"
            printed.print(f"{each.image_id}: {said}", markup=False, highlight=False)
        grades = Counter(each.grade for each in gradings if each.grade is not None)
        counts = ", ".join(f"{grades[number]} × {number}" for number in sorted(grades))
        before = f", {len(found) - len(todo)} from before" if len(found) > len(todo) else ""
        printed.print(
            f"{len(gradings)} photographs{before}: grades {counts or 'none'}; {len(poor)} not gradable, "
            f"{len(errors)} errors. Research software, not a medical device.",
            highlight=False,
        )
    if errors or poor:
        raise typer.Exit(ATTENTION)
