"""Where work runs: the options ``--engine`` and ``--address``, the same in every command that has them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retinagrade.errors import UsageError

if TYPE_CHECKING:
    from retinagrade.execution.local import Engine


class EngineName(StrEnum):
    """Where work runs."""

    LOCAL = "local"
    RAY = "ray"


EngineOption = Annotated[EngineName, typer.Option(help="Processes of this machine, or Ray.")]
AddressOption = Annotated[
    str | None,
    typer.Option(
        help="Ray's cluster: auto, HOST:PORT or ray://HOST:10001. [default: RAY_ADDRESS, or a Ray on this machine]",
        show_default=False,
    ),
]


def engine_of(name: EngineName, address: str | None, folders: list[Path]) -> Engine:
    """The engine that was asked for.

    Args:
        name: Its name.
        address: Ray's cluster.
        folders: Local folders and URLs that workers read and write.

    Raises:
        UsageError: An address without Ray.
        ModuleNotFoundError: Ray isn't installed.
    """
    if name is EngineName.LOCAL:
        if address is not None:
            raise UsageError("--address is Ray's: add --engine ray")
        from retinagrade.execution.local import map_unordered

        return map_unordered
    from retinagrade.execution.ray_engine import RayEngine

    return RayEngine(address, tuple(folders))
