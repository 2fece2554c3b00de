"""``retinagrade explain``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import ATTENTION, console, print_left_out, terminal_progress
from retinagrade.cli.options import OverwriteOption
from retinagrade.messages import counted


class OverlayFormat(StrEnum):
    """Formats of overlays."""

    JPG = "jpg"
    PDF = "pdf"


def explain(
    photographs: Annotated[
        str,
        typer.Argument(
            metavar="PHOTOGRAPHS",
            help="A photograph, a folder of photographs, a quoted pattern such as '*.jpg', or image_ids of the runs' "
            "prepared set, separated by commas.",
        ),
    ],
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="One or several folders of runs, ensembles or cross-validations. The page shows every network of an "
            "ensemble or a cross-validation.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Folder to write: explanation.html for people, explanation.json for programs, saliency overlays "
            "(.jpg) and saliency maps (.png and .npy); with --method activations, activations.html and pictures of the "
            "layers.",
        ),
    ],
    method: Annotated[
        str,
        typer.Option(
            metavar="METHOD",
            help="gradcam, gradcam++, hirescam, layercam, attention-rollout (vision transformers only), "
            "integrated-gradients and occlusion draw a saliency map of each grade. activations draws the feature maps "
            "of all convolutions, pooling layers and blocks of transformers.",
        ),
    ] = "gradcam",
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER",
            help="Layer of gradcam, gradcam++, hirescam or layercam, as `experiments show` names it. Only for a single "
            "run. [default: the last one with feature maps]",
            show_default=False,
        ),
    ] = None,
    cmap: Annotated[
        str, typer.Option(metavar="NAME", help="Colour map of the overlays, by its name in Matplotlib, such as magma.")
    ] = "viridis",
    plain: Annotated[
        bool, typer.Option("--plain", help="Leave colour scale and caption out of the overlays, for papers.")
    ] = False,
    format: Annotated[  # noqa: A002  # the name of the option
        OverlayFormat, typer.Option(help="Format of the overlays, and of the figure of several networks.")
    ] = OverlayFormat.JPG,
    dpi: Annotated[
        int,
        typer.Option(
            min=30,
            max=2400,
            metavar="NUMBER",
            help="Dots per inch, which set the printed size of the overlays and the resolution of the figure of "
            "several networks.",
        ),
    ] = 120,
    overwrite: OverwriteOption = False,
) -> None:
    """Show which parts of photographs a score depends on.

    A saliency map shows where a network's score is sensitive; it is no evidence of reasoning. The command draws files
    at their own resolution, and photographs of the prepared set as `prepare` wrote them.

    Exit code 0: all photographs are drawn; 1: some are unusable or left out; 2: no photograph is drawn.
    """
    from retinagrade.explanations.explain import explain as explain_photographs

    with terminal_progress() as progress:
        explanation = explain_photographs(
            photographs,
            runs,
            out,
            method=method,
            layer=layer,
            cmap=cmap,
            plain=plain,
            format=format.value,
            dpi=dpi,
            overwrite=overwrite,
            progress=progress,
        )
    printed = console()
    for reason in explanation.failures.values():
        printed.print(f"left out: {reason}", style="red")
    print_left_out(explanation.left_out)
    others = len(explanation.failures) + len(explanation.left_out)
    printed.print(
        f"wrote {explanation.page}: {counted(len(explanation.photographs), 'photograph')}, {others} left out",
    )
    if explanation.needs_attention:
        raise typer.Exit(ATTENTION)
