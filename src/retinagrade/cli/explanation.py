"""``retinagrade explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from retinagrade.cli.console import ATTENTION, console
from retinagrade.errors import UsageError

_ACTIVATIONS: Final = "activations"


def register(app: typer.Typer) -> None:
    """Adds this module's command."""
    app.command("explain")(explain)


def explain(
    run: Annotated[Path, typer.Argument(help="A run's folder; of an ensemble or folds, each network's.")],
    photographs: Annotated[
        list[str], typer.Argument(help="Files as the camera wrote them, or image_ids of the run's prepared set.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the page, the pictures and the maps.")],
    method: Annotated[
        str,
        typer.Option(
            help="gradcam, gradcam++, hirescam, layercam, integrated-gradients or occlusion: heat by grade. "
            "activations: what every convolution and pooling layer gives."
        ),
    ] = "gradcam",
    layer: Annotated[
        str | None,
        typer.Option(help="The layer of a class activation map, as `experiments show` names it. [default: the last]"),
    ] = None,
    also: Annotated[list[Path] | None, typer.Option(help="Another run to show beside it; may be repeated.")] = None,
) -> None:
    """Show where in photographs a network's scores are sensitive, or what its layers give; no evidence of reasoning.

    A file is drawn on at its own resolution. A photograph of the prepared set is drawn on as it was prepared.
    """
    from retinagrade.explain.explain import explain as explain_photographs
    from retinagrade.explain.explain import show_activations
    from retinagrade.runs.cross_validation import trained_runs

    runs = trained_runs([run, *(also or [])])
    if method == _ACTIVATIONS:
        if layer is not None:
            raise UsageError("--method activations shows every layer: leave --layer")
        made = show_activations(runs, photographs, out)
    else:
        made = explain_photographs(runs, photographs, out, method, layer)
    printed = console()
    for reason in made.failed.values():
        printed.print(f"left out: {reason}", style="red", highlight=False)
    printed.print(
        f"wrote {made.page}: {len(made.photographs)} photograph{'s' * (len(made.photographs) > 1)}", highlight=False
    )
    if made.failed:
        raise typer.Exit(ATTENTION)
