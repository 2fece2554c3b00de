"""The options ``--engine`` and ``--address``, the same in every command that has them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class EngineChoice(StrEnum):
    """Where the work runs."""

    LOCAL = "local"
    RAY = "ray"


EngineOption = Annotated[
    EngineChoice, typer.Option(help="Where the work runs: in processes of this machine, or on a Ray cluster.")
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        help="Address of the Ray cluster: auto, HOST:PORT or ray://HOST:10001. [default: RAY_ADDRESS, or a new Ray on "
        "this machine]",
        show_default=False,
    ),
]
