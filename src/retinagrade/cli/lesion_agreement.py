"""``retinagrade lesion-agreement``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json, terminal_progress
from retinagrade.cli.options import OverwriteOption

_METHODS: Final = ("gradcam", "hirescam", "layercam", "integrated-gradients")


def lesion_agreement(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Folder of a data set with lesion masks: IDRiD with its folder 'A. Segmentation', or a data set of "
            "`data synthesize`.",
        ),
    ],
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="One or several folders of runs, ensembles or cross-validations. The command measures every network "
            "of an ensemble or a cross-validation.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Folder to write: lesions.html for people, lesions.json for programs, tables and figures.",
        ),
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD",
            help="Method of the saliency maps: gradcam, gradcam++, hirescam, layercam, attention-rollout (vision "
            "transformers only), integrated-gradients or occlusion. Repeat the option for further methods. "
            f"[default: {', '.join(_METHODS)}]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, metavar="NUMBER", help="Seed of the random maps and of the shuffled weights.")
    ] = 0,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Compare saliency maps with lesion masks.

    For each network and method, the command compares the share of saliency in lesions with their share of the area,
    with random maps, with maps of other photographs, and with maps of the network with shuffled weights.

    Exit code 0: done; 1: some maps don't depend on the weights of the network, or are 0 everywhere; 2: no map was
    measured.
    """
    from retinagrade.evaluation.report.tables import rich_table
    from retinagrade.explanations.lesions.measure import measure_lesion_agreement
    from retinagrade.explanations.lesions.report import CAUTION, agreement_tables, copies_lines

    with terminal_progress() as progress:
        comparison = measure_lesion_agreement(
            source, runs, out, methods=method or _METHODS, seed=seed, overwrite=overwrite, progress=progress
        )
    if json:
        print_json(comparison.to_json())
    else:
        for table in agreement_tables(comparison):
            console().print(rich_table(table))
        for line in (*copies_lines(comparison), CAUTION):
            console().print(line)
        for warning in comparison.warnings:
            console().print(f"attention: {warning}", style="bold red")
        console().print(f"wrote {out / 'lesions.html'}")
    if comparison.warnings:
        raise typer.Exit(ATTENTION)
