"""The registry of data set readers, and the decorator that adds one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, ParamSpec

from retinagrade.datasets.eye_names import eye_of_path
from retinagrade.manifest import Manifest

Parameters = ParamSpec("Parameters")


@dataclass(frozen=True)
class Reader:
    """A reader of data sets in one layout.

    Attributes:
        layout: Name of the layout, as users give it with ``--layout``.
        expected: The files that a source in this layout has, in words, for the error about unknown layouts.
        fits: Tells whether a source has this layout. It is called with files and folders of any kind, and reads as
            little as possible.
        read: Reads a source.
        arguments: Names of those arguments of ``read`` that not all readers take: ``complete`` (whether labels and
            photographs must match one to one; a check passes False, and then photographs without a file stay in the
            manifest), ``grade_names`` (folder names and their grades) and ``unpack`` (the folder for the photographs
            of an archive).
        labelled: True if a table names the photographs; False if all photographs of a folder belong to the data set.
        last_resort: True for a layout that counts only where no other one fits.
    """

    layout: str
    expected: str
    fits: Callable[[Path], bool]
    read: Callable[..., Manifest]
    arguments: frozenset[str]
    labelled: bool = True
    last_resort: bool = False


REGISTRY: Final[dict[str, Reader]] = {}
"""The readers whose modules are loaded, by the name of their layout."""


def reader(
    layout: str, expected: str, fits: Callable[[Path], bool], *, labelled: bool = True, last_resort: bool = False
) -> Callable[[Callable[Parameters, Manifest]], Callable[Parameters, Manifest]]:
    """Makes a function the reader of a layout, and fills in patient and eye in the manifests that it returns.

    Patient and eye come from the names of the photographs, where every name tells them, as ``10_left.jpeg`` does, and
    where the function's own manifest has neither.

    Args:
        layout: As in :class:`Reader`.
        expected: As in :class:`Reader`.
        fits: As in :class:`Reader`.
        labelled: As in :class:`Reader`.
        last_resort: As in :class:`Reader`.

    Raises:
        ValueError: Another reader has this layout.
    """

    def register(read: Callable[Parameters, Manifest]) -> Callable[Parameters, Manifest]:
        @functools.wraps(read)
        def read_with_eyes(*arguments: Parameters.args, **named: Parameters.kwargs) -> Manifest:
            return _with_eyes(read(*arguments, **named))

        if layout in REGISTRY:
            raise ValueError(f"two readers of the layout {layout!r}")
        own = frozenset(inspect.signature(read).parameters) - {"source"}
        REGISTRY[layout] = Reader(layout, expected, fits, read_with_eyes, own, labelled, last_resort)
        return read_with_eyes

    return register


def _with_eyes(manifest: Manifest) -> Manifest:
    """Fills in patient and eye where no row has them, and the names of all photographs tell them."""
    table = manifest.table
    if table[["patient_id", "laterality"]].notna().to_numpy().any():
        return manifest
    eyes = [eye_of_path(path) for path in table["path"]]
    if not all(eyes):
        return manifest
    patients, sides = zip(*(eye for eye in eyes if eye), strict=True)
    return Manifest.from_table(table.assign(patient_id=patients, laterality=sides), manifest.root, str(manifest.root))
