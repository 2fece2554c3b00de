"""``retinagrade demo``: the whole way in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import ATTENTION, console


def register(app: typer.Typer) -> None:
    """Adds this module's commands."""
    app.command("demo")(demo)


def demo(out: Annotated[Path, typer.Option(help="The folder to make.")] = Path("demo")) -> None:
    """Go the whole way on photographs made on the spot: prepare, split, train two networks, evaluate, report."""
    from retinagrade.demo import run_demo

    printed = console()
    result = run_demo(out, announce=lambda line: printed.print(f"• {line}", highlight=False))
    for name, qwk in result.qwk.items():
        printed.print(
            f"{name}: QWK {'undefined' if qwk is None else f'{qwk:.2f}'} on held-out patients", highlight=False
        )
    printed.print(
        f"\nLook at {result.report}: matrices, curves and photographs.\n\n"
        "On your own data (IDRiD's folder, folders named by grade, or a manifest CSV):\n"
        "  retinagrade prepare YOUR_FOLDER --out prepared\n"
        "  retinagrade split prepared --val 0.2\n"
        "  retinagrade train efficientnet-lite0 --data prepared --out runs/first\n"
        "  retinagrade evaluate runs/first/predictions/val.csv",
        highlight=False,
        markup=False,
    )
    if result.needs_attention:
        raise typer.Exit(ATTENTION)
