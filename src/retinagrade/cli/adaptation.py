"""``retinagrade adapt``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json, terminal_progress
from retinagrade.cli.options import OverwriteOption


def adapt(
    model: Annotated[
        str,
        typer.Argument(metavar="FILE", help="Grader file that outlines lesions. 'default' is the bundled one."),
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="PREPARED",
            help="Prepared set of the site's photographs with grades, of at least the size of the file (1024 for the "
            "bundled one). Photographs of its splits test and excluded are left out.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Grader file to write; its name ends with .onnx. Beside it lie the model card (.md), the predictions "
            "of the cross-validation (.csv) and the lesion numbers (.numbers.jsonl), from which the command continues.",
        ),
    ],
    target: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Sensitivity that the thresholds should reach, above 0 and up to 1. [default: 0.9]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Seed of the cross-validation and the intervals.")] = 0,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Fit the last part of a grader file to a site's own grades.

    The grade model, which turns lesion numbers into a grade, gets new limits of the grades or new weights; the network
    stays the same, and PyTorch isn't needed. Cross-validation over patients chooses, and measures the gain on patients
    that the fit has not seen. Fifty graded photographs are a good beginning; at least 20 are needed.

    The command writes the file only if its grades agree better with those of the site by more than chance.

    Exit code 0: done; 1: no file was written, because the gain may be chance; 2: the adaptation was not possible.
    """
    from retinagrade.sites.adapt import adapt as adapt_file

    with terminal_progress() as progress:
        result = adapt_file(model, data, out, target=target, seed=seed, overwrite=overwrite, progress=progress)
    if json:
        print_json(result.to_json())
    else:
        console().print(str(result))
    if result.needs_attention:
        raise typer.Exit(ATTENTION)
