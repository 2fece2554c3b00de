"""``retinagrade train-gate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from retinagrade.cli.console import console, terminal_progress


def train_gate(
    prepared: Annotated[
        Path,
        typer.Argument(
            metavar="PREPARED", help="Folder of a prepared set of photographs that are good enough to be graded."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the run. The same command continues after an interruption.",
            show_default=False,
        ),
    ],
    others: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of pictures without a fundus, with a sub-folder for each origin. [default: drawn pictures "
            "only]",
            show_default=False,
        ),
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FAMILY",
            help="Family of looks, degradations or pictures that the gate doesn't learn from, for a test of how it "
            "judges them. Repeat the option for several. [default: none]",
            show_default=False,
        ),
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="Number of pictures to learn from.")] = 14336,
    seed: Annotated[int, typer.Option(min=0, metavar="NUMBER", help="Seed of all draws.")] = 0,
    workers: Annotated[
        int, typer.Option(min=0, metavar="NUMBER", help="Processes that draw pictures, beside this one.")
    ] = 0,
) -> None:
    """Train the gate, which judges the quality of photographs.

    Made-up cameras take pictures of the prepared photographs, with and without faults; other pictures show no fundus.
    The gate learns from three quarters of the photographs and is judged on the others: metrics.json of the run has the
    figures, and page.png shows photographs from best to worst. Then it is trained again, on all: `export` writes that
    gate. docs/gate.md has the families and the figures of the bundled gate.

    Exit code 0: done; 2: the training was not possible.
    """
    from retinagrade.training.gate.train import train_gate as train

    with terminal_progress() as progress:
        run = train(
            prepared,
            out,
            others=others,
            leave_out=leave_out or [],
            pictures=pictures,
            seed=seed,
            workers=workers,
            progress=progress,
        )
    figures: dict[str, Any] = run.metrics()["held_out_pictures"]
    quality, clean = figures["quality"], figures["clean_photographs_of_made_up_cameras"]
    printed = console()
    printed.print(
        f"held-out pictures: AUC of reject against good {_figure(quality['auc_reject_against_good'])}; refused "
        f"{_figure(clean['refused'])} of clean photographs, {_figure(quality['reject']['refused'])} of those to "
        f"reject, {_figure(figures['no_fundus']['refused'])} of pictures without a fundus"
    )
    printed.print(f"look at {run.page_file}; all figures are in {run.metrics_file}")
    printed.print(f"next: retinagrade export {out} --out gate.onnx")


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
