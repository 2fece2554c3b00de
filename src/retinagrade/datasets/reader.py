"""The description of a data set reader, which every reader's module gives of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from retinagrade.manifest import Manifest


@dataclass(frozen=True)
class Reader:
    """A reader of data sets in one layout.

    Attributes:
        layout: Name of the layout, as users give it with ``--layout``.
        expected: The files that a source in this layout has, in words, for the error about unknown layouts.
        fits: Tells whether a source has this layout. It is called with files and folders of any kind, and reads as
            little as possible.
        read: Reads a source. The second argument tells whether labels and photographs must match one to one; a check
            passes False, and then photographs without a file stay in the manifest.
        labelled: True if a table names the photographs; False if all photographs of a folder belong to the data set.
    """

    layout: str
    expected: str
    fits: Callable[[Path], bool]
    read: Callable[[Path, bool], Manifest]
    labelled: bool = True
