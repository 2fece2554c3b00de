"""``retinagrade grade``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json
from retinagrade.cli.engines import AddressOption, EngineChoice, EngineOption
from retinagrade.errors import UsageError
from retinagrade.execution.engine import choose_engine
from retinagrade.paths import user_path

if TYPE_CHECKING:
    from retinagrade.grader.results import Grading
    from retinagrade.grader.studies import StudyGrading


def register(app: typer.Typer) -> None:
    """Adds this module's command."""
    app.command("grade")(grade)


def grade(
    photographs: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH…", help="Photographs, folders, their URLs, or patterns such as '*.jpg'."),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list",
            help="A list of photographs: a path a line; or a .csv with path and, where known, image_id, patient_id and "
            "laterality. Relative paths start from its folder.",
        ),
    ] = None,
    model: Annotated[
        Path, typer.Option(help="A file that `retinagrade export` made, or 'default', which comes with the package.")
    ] = Path("default"),
    out: Annotated[
        Path | None,
        typer.Option(
            parser=user_path,
            help="Results as .csv, .jsonl or .parquet, written as they come; the same command again continues.",
        ),
    ] = None,
    studies: Annotated[
        Path | None,
        typer.Option(parser=user_path, help="A table of both eyes combined, a row a study: .csv, .jsonl or .parquet."),
    ] = None,
    heatmaps: Annotated[
        Path | None,
        typer.Option(parser=user_path, help="A folder for pictures of the evidence for the grade that was given."),
    ] = None,
    dicom: Annotated[
        Path | None,
        typer.Option(help="A folder for a Structured Report a study and its heatmaps, of photographs that are DICOM."),
    ] = None,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Compute in bfloat16, by OpenVINO: faster; some grades and heatmaps are others."),
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Workers of Ray. [default: one a processor]")] = None,
    engine: EngineOption = EngineChoice.LOCAL,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Grade photographs; exit 1 if some could not be read, or are not good enough to be graded."""
    if workers is not None and engine is EngineChoice.LOCAL:
        raise UsageError("--workers is Ray's: add --engine ray")
    from retinagrade.execution.progress_bar import progress_bar
    from retinagrade.grader.batch import SideOutputs, Stream, grade_files, write_reports
    from retinagrade.grader.inputs import find_photographs
    from retinagrade.grader.results import model_name
    from retinagrade.grader.results_table import ResultsTable, require_format, write_results
    from retinagrade.grader.runtime import Grader
    from retinagrade.grader.studies import StudyGrading, grade_studies

    if dicom is not None:
        import highdicom  # noqa: F401  # what is missing is said before any work
    if studies is not None:
        require_format(studies)
    found = find_photographs(photographs or [], listed, [each for each in (heatmaps, dicom) if each is not None])
    grader = Grader.load(model, fast)
    table = None if out is None else ResultsTable(out, model_name(grader.metadata))
    earlier = {} if table is None else {each.image_id: each for each in table.earlier}
    todo = [each for each in found if each.image_id not in earlier]
    outputs = SideOutputs(table, heatmaps, dicom)
    shared: list[Path] = []
    if engine is EngineChoice.RAY:  # what is there under its name: a pattern isn't, nor is the bundled file
        inputs = [model, *map(user_path, photographs or []), *([] if listed is None else [listed.parent])]
        shared = [each for each in inputs if each.exists()]
    runs_on = choose_engine(engine.value, shared, address)
    stream: Stream = grader.stream
    if engine is EngineChoice.RAY:
        from retinagrade.grader.distributed import grade_on_engine

        stream = partial(grade_on_engine, runs_on, workers, model, fast, heatmaps is not None or dicom is not None)
    with progress_bar("grading", max(1, len(todo))) as step:
        gradings = grade_files(stream, todo, outputs, step)
    if table is not None:
        table.close()
    combined = grade_studies([*earlier.values(), *gradings])
    if studies is not None:
        write_results(studies, StudyGrading, combined)
    write_reports([*earlier.values(), *gradings], grader.metadata, outputs)
    if json:
        print_json([each.to_json() for each in gradings])
    else:
        _print_gradings(gradings, combined, whole=table is None, before=len(found) - len(todo))
        for line in outputs.missing:
            console().print(line, markup=False, highlight=False)
    if outputs.missing or any(each.grade is None for each in gradings):
        raise typer.Exit(ATTENTION)


def _print_gradings(gradings: Sequence[Grading], studies: Sequence[StudyGrading], *, whole: bool, before: int) -> None:
    """Prints what was said: all of it, or, where a table has it, only what needs a person's attention."""
    from retinagrade.grader.studies import describe_study
    from retinagrade.messages import counted

    printed = console()
    errors = [each for each in gradings if each.error is not None]
    poor = [each for each in gradings if each.gradable is False]
    for each in gradings if whole else [*errors, *poor]:
        printed.print(f"{each.image_id}: {_said(each)}", markup=False, highlight=False)
    for study in studies if whole else [each for each in studies if each.undecided]:
        printed.print(f"study {study.study}: {describe_study(study)}", markup=False, highlight=False)
    grades = Counter(each.grade for each in gradings if each.grade is not None)
    counts = ", ".join(f"{grades[number]} × {number}" for number in sorted(grades))
    printed.print(
        f"{counted(len(gradings), 'photograph')}{f', {before} from before' if before else ''}: "
        f"grades {counts or 'none'}; {len(poor)} not gradable, {counted(len(errors), 'error')}.",
        highlight=False,
    )
    if studies:
        decided = Counter(each.referable for each in studies)
        printed.print(
            f"{len(studies)} studies: {decided[True]} referable, {decided[False]} not referable, {decided[None]} "
            "undecided.",
            highlight=False,
        )
    printed.print("Research software, not a medical device.", highlight=False)


def _said(given: Grading) -> str:
    if given.error is not None:
        return f"error: {given.error}"
    if given.grade is None:
        return f"not gradable ({', '.join(given.quality_reasons)}): a person should look"
    positive = {None: "", True: ", referable", False: ", not referable"}[given.referable]
    look = ", a person should look" if given.refer_to_person else ""
    return f"{given.grade} {given.label} ({given.confidence:.2f}){positive}{look}"
