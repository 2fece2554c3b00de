"""Photographs to explain: files, prepared on the spot, or photographs of a run's prepared set by their id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from retinagrade.datasets.prepare_file import prepare_file, prepared_path
from retinagrade.errors import ImageError
from retinagrade.explain.overlay import WHOLE, SquarePlacement, square_placement
from retinagrade.grades import Grade
from retinagrade.images.prepare import resize_to_input
from retinagrade.images.read import read_photograph
from retinagrade.manifest import Manifest
from retinagrade.runs.run import Run


@dataclass(frozen=True)
class PreparedInput:
    """A photograph, and what a run's network is given of it.

    Attributes:
        drawn: The file that heat is drawn on.
        prepared: The square that preparation made of it, the network's input but for its size.
        place: Where that square lies in ``drawn``.
        grade: Its grade, where the run's manifest says it.
        split: On which side of the run's split it was, likewise.
    """

    drawn: Path
    prepared: Path
    place: SquarePlacement
    grade: Grade | None = None
    split: str | None = None

    def input(self, size: int) -> Tensor:
        """RGB pixels (1, 3, size, size), uint8, as prediction takes them."""
        pixels = resize_to_input(read_photograph(self.prepared), size)
        return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]


class RunInputs:
    """How a run sees photographs: its preparation, and the photographs of its prepared set."""

    def __init__(self, run: Run, scratch: Path) -> None:
        """Reads the run's record.

        Args:
            run: A trained run.
            scratch: A folder where files that are prepared on the spot may be put.

        Raises:
            ExperimentError: Its photographs were prepared by a recipe that this version doesn't have.
        """
        self.settings, self.prepared, self._scratch = run.preparation(), run.prepared, scratch
        manifest = run.split_file
        # A run stays useful for files when its training photographs are gone.
        self._known = Manifest.read(manifest).table.set_index("image_id") if manifest.is_file() else pd.DataFrame()

    def see(self, name: str, word: str) -> PreparedInput:
        """What the run's network is given of one photograph.

        Args:
            name: What to call it; unique.
            word: A file, or the ``image_id`` of a photograph of the prepared set.

        Raises:
            ImageError: It is neither, or can't be used.
        """
        if Path(word).is_file():
            return self._file(name, Path(word))
        if word not in self._known.index:
            raise ImageError(f"{word}: neither a file nor an image_id of {self.prepared}")
        row = self._known.loc[word]
        path = self.prepared / str(row["path"])
        read_photograph(path)  # one that is gone or broken costs its own entry, not the page
        grade, split = row["grade"], row["split"]
        return PreparedInput(
            path,
            path,
            WHOLE,
            None if pd.isna(grade) else Grade(int(str(grade))),
            None if pd.isna(split) else str(split),
        )

    def _file(self, name: str, path: Path) -> PreparedInput:
        outcome = prepare_file((name, str(path), path), self.settings, self._scratch)
        if outcome.field_of_view is None:
            raise ImageError(outcome.reason or f"{path}: can't be used")
        place = square_placement(outcome.field_of_view, self.settings.square)
        return PreparedInput(path, prepared_path(self._scratch, name), place, *self._known_by_content(outcome.sha256))

    def _known_by_content(self, digest: str | None) -> tuple[Grade | None, str | None]:
        """Grade and split of the photographs that have the same bytes as a file: people must know if it was learnt."""
        if "sha256" not in self._known:
            return None, None
        same = self._known[self._known["sha256"] == digest]
        grades, splits = same["grade"].dropna().unique(), same["split"].dropna().unique()
        return (
            Grade(int(grades[0])) if len(grades) == 1 else None,
            None if len(splits) == 0 else "train" if "train" in splits else str(splits[0]),
        )


def unique_names(words: Sequence[str]) -> dict[str, str]:
    """Words by names that are each there once: ids are their own; files are called by their stems, numbered if need be.

    Args:
        words: Files and ids; one that is there twice counts once.
    """
    names: dict[str, str] = {}
    for word in dict.fromkeys(words):
        name = stem = Path(word).stem if Path(word).is_file() else word
        number = 1
        while name in names:
            number += 1
            name = f"{stem}-{number}"
        names[name] = word
    return names
