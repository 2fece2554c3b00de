"""``retinagrade grade``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retinagrade.cli.console import (
    ATTENTION,
    JsonOption,
    console,
    error_console,
    print_json,
    print_left_out,
    terminal_progress,
)
from retinagrade.cli.options import AddressOption, EngineChoice, EngineOption, OverwriteOption
from retinagrade.storage.files import short_names

if TYPE_CHECKING:
    from rich.console import Console

    from retinagrade.grader.grading_results import GradingResults


ModelOption = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="Grader file, which `retinagrade export` makes. 'default' is the bundled one.",
    ),
]
PhotographsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PHOTOGRAPH",
        help="Photographs, folders with photographs, their URLs, or quoted patterns such as '*.jpg'. [default: the "
        "photographs of --list]",
        show_default=False,
    ),
]
ListOption = Annotated[
    Path | None,
    typer.Option(
        "--list",
        metavar="FILE",
        help="List of photographs: a text file with one path per line, or a .csv file with a column path and, where "
        "known, image_id, patient_id and laterality (L, R, OS or OD). Relative paths start from its folder. PHOTOGRAPH "
        "adds to it. With a column patient_id, no patient is read from a file name; a patient with an empty cell is "
        "unknown.",
    ),
]
_Out = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Table of results to write, one row per photograph: a .csv, .jsonl, .parquet or .xlsx file. The same "
        "command continues after an interruption, knows photographs by their bytes, and tries failed ones again. "
        "[default: the command only prints]",
    ),
]
_Studies = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Table to write with one row per study, both eyes of a patient together: a .csv, .jsonl, .parquet or "
        ".xlsx file. Studies come from the patients of --list, else from DICOM headers, else from file names such as "
        "7_left.jpg, P1_OD.jpg or P2-L.jpg. If --list has a column patient_id, file names don't count.",
    ),
]
_Saliency = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder to write: saliency overlays, JPEG files that show the regions that the score of the predicted "
        "grade depends on. Only for grader files that outline no lesions.",
    ),
]
_Lesions = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder to write: ID.png, each photograph with the outlines of its lesions, and ID.json, the outlines as "
        "polygons in pixels of the original photograph. Only for grader files that outline lesions.",
    ),
]
_Dicom = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder to write: results in DICOM for photographs in DICOM, a Structured Report for each study, and "
        "Segmentations of lesions or, from a grader file that outlines none, saliency overlays. Needs "
        "pip install 'retinagrade[dicom]'.",
    ),
]
_Fhir = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder to write: results in FHIR R4, for each study a transaction (JSON) with a DiagnosticReport and "
        "Observations, for a FHIR server.",
    ),
]
_Gate = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SETTING",
        help="Setting of the gate, which refuses photographs that can't be graded: 'off' grades every photograph, with "
        "a warning on every result; 'percentile' refuses the worst 5 % of these photographs ('percentile=2': 2 %); "
        "'haze=0.9' refuses a photograph of poor quality for haze only from a probability of 0.9 on; or a .json "
        "file of `calibrate --quality`. Repeat the option for more settings. [default: the cut points of the grader "
        "file]",
        show_default=False,
    ),
]
_Fast = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="Compute in half precision (bfloat16), and prepare photographs at 1,024 px at most: faster, but some "
        "grades may change. Needs pip install 'retinagrade[openvino]'.",
    ),
]
DecodingThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="NUMBER",
        help="Number of threads that decode photographs; with --engine ray, number of worker processes. [default: one "
        "per processor]",
        show_default=False,
    ),
]


def grade(
    photographs: PhotographsArgument = None,
    listed: ListOption = None,
    model: ModelOption = "default",
    out: _Out = None,
    studies: _Studies = None,
    saliency: _Saliency = None,
    lesions: _Lesions = None,
    dicom: _Dicom = None,
    fhir: _Fhir = None,
    gate: _Gate = None,
    fast: _Fast = False,
    workers: DecodingThreadsOption = None,
    engine: EngineOption = EngineChoice.LOCAL,
    address: AddressOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Grade photographs of the fundus.

    The command prints the grade of every photograph; with --out, it prints only the photographs and studies without a
    grade or a decision, and counts those that need review by a person. It crops the photographs itself: they need no
    `prepare`. A photograph that isn't gradable gets no grade, but "needs review by a person".
    The command warns where so many are refused for one reason that the gate may be wrong.

    Dust on the camera looks like small lesions. The command warns where many of the photographs that it grades have a
    dark spot at the same place.

    Exit code 0: all photographs are graded; 1: some are unreadable, not gradable or left out; 2: grading was not
    possible.
    """
    from retinagrade.grader.grade import grade as grade_photographs

    with terminal_progress() as progress:
        results = grade_photographs(
            photographs or [],
            model=model,
            out=out,
            studies=studies,
            saliency=saliency,
            lesions=lesions,
            dicom=dicom,
            fhir=fhir,
            fast=fast,
            workers=workers,
            engine=engine.value,
            address=address,
            listed=listed,
            gate=gate or (),
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        print_json(results.to_json())
        print_left_out(results.left_out, stderr=True)
        _print_attentions(error_console(), results)
    else:
        _print_results(results, only_attention=out is not None)
    if results.needs_attention:
        raise typer.Exit(ATTENTION)


def _print_attentions(output: Console, results: GradingResults) -> None:
    for attention in results.attentions:
        output.print(f"attention: {attention}", style="bold red")


def _short_studies(studies: list[str]) -> dict[str, str]:
    """Returns short names of studies; those that come from file names are paths."""
    paths = [study for study in studies if "/" in study]
    short = short_names([Path(path) for path in paths]) if paths else []
    return {study: study for study in studies} | dict(zip(paths, short, strict=True))


def _print_results(results: GradingResults, *, only_attention: bool) -> None:
    from retinagrade.grader.grading_results import describe_grading
    from retinagrade.gradings.studies import describe_study

    output = console()
    for grading in results.new:
        if not only_attention or grading.predicted_grade is None:
            output.print(f"{grading.image_id}: {describe_grading(grading)}")
    names = _short_studies([study.study for study in results.studies])
    for study in results.studies:
        if not only_attention or study.undecided:
            output.print(f"study {names[study.study]}: {describe_study(study)}")
    print_left_out(results.left_out)
    output.print(results.summary)
    _print_attentions(output, results)
    for failure in results.failures:
        output.print(failure)
    output.print("Research software, not a medical device.")
