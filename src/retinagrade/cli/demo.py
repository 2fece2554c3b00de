"""``retinagrade demo``: the whole way in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import ATTENTION, console, terminal_progress

NEXT_STEPS = """
On your own data (IDRiD's folder, folders named by grade, or a manifest):
  retinagrade prepare YOUR_FOLDER --out prepared
  retinagrade split prepared --val 0.2
  retinagrade train prepared efficientnet-lite0 --out runs/first
  retinagrade evaluate runs/first/predictions/val.csv"""


def demo(
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder to write: report.html, photographs, prepared set and runs.")
    ] = Path("demo"),
) -> None:
    """Try the whole way on synthetic photographs, in minutes.

    The command draws 300 photographs of 150 patients, prepares and splits them, trains two networks, and evaluates both
    on patients that neither has seen. The same command continues after an interruption.

    Exit code 0: no integrity check has a finding; 1: a check has one; 2: the demo was not possible.
    """
    from retinagrade.demo import run_demo

    printed = console()
    with terminal_progress() as progress:
        result = run_demo(out, progress=progress)
    for name, qwk in result.qwk.items():
        value = "undefined" if qwk is None else f"{qwk:.2f}"
        printed.print(f"{name}: QWK {value} on held-out patients")
    printed.print(f"\nLook at {result.report}: matrices, curves and photographs.")
    printed.print(NEXT_STEPS)
    if result.needs_attention:
        raise typer.Exit(ATTENTION)
