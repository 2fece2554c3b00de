"""``retinagrade explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import ATTENTION, console, terminal_progress
from retinagrade.messages import counted


def explain(
    photographs: Annotated[
        str,
        typer.Argument(
            metavar="PHOTOGRAPHS",
            help="A photograph, a folder of photographs, a pattern in quotes such as '*.jpg', or image_ids of the "
            "runs' prepared set, separated by commas.",
        ),
    ],
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Folders of trained runs, ensembles or cross-validations. The page shows every network of an ensemble "
            "or a cross-validation.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the page, the saliency overlays and the saliency maps.")],
    method: Annotated[
        str,
        typer.Option(
            help="gradcam, gradcam++, hirescam, layercam, integrated-gradients or occlusion: a saliency map of each "
            "grade. activations: feature maps of all convolution and pooling layers."
        ),
    ] = "gradcam",
    layer: Annotated[
        str | None,
        typer.Option(
            help="Layer of a class activation map (gradcam, gradcam++, hirescam, layercam), as `experiments show` "
            "names it; only for a single run. [default: the last one]"
        ),
    ] = None,
) -> None:
    """Show which parts of photographs a score depends on.

    A saliency map shows where a network's score is sensitive; it is no evidence of reasoning. Files are drawn at their
    own resolution, photographs of the prepared set as they were prepared. Exit code 1: some photographs could not be
    used.
    """
    from retinagrade.explanations.explain import explain as explain_photographs

    with terminal_progress() as progress:
        explanation = explain_photographs(photographs, runs, out, method=method, layer=layer, progress=progress)
    printed = console()
    for reason in explanation.failures.values():
        printed.print(f"left out: {reason}", style="red", markup=False, highlight=False)
    printed.print(
        f"wrote {explanation.page}: {counted(len(explanation.photographs), 'photograph')}",
        markup=False,
        highlight=False,
    )
    if explanation.failures:
        raise typer.Exit(ATTENTION)
