"""Photographs to explain: files, which are prepared in place, or photographs of a run's prepared set by their ids."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from glob import glob
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from retinagrade.datasets.prepare_file import prepare_file, prepared_path
from retinagrade.datasets.prepared_set import prepared_digests, read_prepared
from retinagrade.errors import ImageError, UsageError
from retinagrade.grades import Grade
from retinagrade.images.formats import without_photograph_suffix
from retinagrade.images.listing import LeftOutFile, describe_left_out, list_folder
from retinagrade.images.placement import Placement
from retinagrade.images.prepare import resize_to_input
from retinagrade.images.read import read_photograph
from retinagrade.runs.photographs import read_run_photographs
from retinagrade.runs.run import Run


@dataclass(frozen=True)
class PreparedInput:
    """A photograph that was prepared for the network of a run.

    Attributes:
        file: The file on which saliency maps are drawn.
        prepared: The prepared square, from which the network's input is made.
        placement: Place of that square in the photograph of ``file``, at the width ``width``.
        width: Width of that photograph, in pixels.
        grade: Grade of the photograph, if the run's manifest has it.
        split: Split of the photograph, if the run's manifest has it.
    """

    file: Path
    prepared: Path
    placement: Placement
    width: int
    grade: Grade | None = None
    split: str | None = None

    def input(self, size: int) -> Tensor:
        """Returns the network's input (1, 3, size, size), RGB, uint8, as in prediction."""
        pixels = resize_to_input(read_photograph(self.prepared), size)
        return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]


class RunInputs:
    """Prepares photographs as the training photographs of a run were prepared."""

    def __init__(self, run: Run, scratch: Path) -> None:
        """Reads the record of a run.

        Args:
            run: A trained run.
            scratch: A folder for files that are prepared in place.

        Raises:
            ExperimentError: The run's preparation recipe does not exist in this version.
        """
        self.settings, self.prepared, self._scratch = run.preparation(), run.prepared, scratch
        self._manifest = _known_photographs(run)

    def prepare(self, name: str, photograph: str) -> PreparedInput:
        """Prepares one photograph.

        Args:
            name: A unique name for it.
            photograph: A file, or the ``image_id`` of a photograph of the prepared set.

        Raises:
            ImageError: It is neither, can't be read, or was changed since it was prepared.
            LayoutError: The prepared set is gone.
        """
        if _is_file(photograph):
            return self._prepare_file(name, Path(photograph))
        if photograph not in self._manifest.index:
            raise ImageError(f"{photograph}: neither a file nor an image_id of {self.prepared}")
        row = self._manifest.loc[photograph]
        path = self.prepared / str(row["path"])
        read_prepared(path, self._digests.get(photograph))  # a changed file fails here, before any is explained
        grade, split, size = row["grade"], row["split"], self.settings.size
        return PreparedInput(
            path,
            path,
            Placement(0, 0, size, size, size),
            size,
            None if pd.isna(grade) else Grade(int(str(grade))),
            None if pd.isna(split) else str(split),
        )

    @cached_property
    def _digests(self) -> dict[str, str | None]:
        return prepared_digests(self.prepared)

    def _prepare_file(self, name: str, path: Path) -> PreparedInput:
        outcome = prepare_file((name, str(path), path), self.settings, self._scratch)
        if outcome.field_of_view is None:
            raise ImageError(outcome.reason or f"{path}: can't be read")
        width = outcome.field_of_view["decoded_width"]
        placement = outcome.place(width, self.settings)
        return PreparedInput(path, prepared_path(self._scratch, name), placement, width, *self._look_up(outcome.sha256))

    def _look_up(self, sha256: str | None) -> tuple[Grade | None, str | None]:
        """Grade and split of the run's photographs with the same bytes; ``train`` if one of several is in ``train``."""
        if "sha256" not in self._manifest:
            return None, None
        same = self._manifest[self._manifest["sha256"] == sha256]
        grades, splits = same["grade"].dropna().unique(), same["split"].dropna().unique()
        return (
            Grade(int(grades[0])) if len(grades) == 1 else None,
            None if len(splits) == 0 else "train" if "train" in splits else str(splits[0]),
        )


def _known_photographs(run: Run) -> pd.DataFrame:
    """Reads the photographs of a run by ``image_id``: without splits that changed since training, or none at all.

    Files can be explained even if the run's prepared set is gone.
    """
    photographs = read_run_photographs(run)
    if photographs.trained_on is not None:
        return photographs.trained_on.table.set_index("image_id")
    if photographs.manifest is not None:
        return photographs.manifest.table.assign(split=None).set_index("image_id")
    return pd.DataFrame()


def list_photographs(
    photographs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> tuple[list[str], list[LeftOutFile]]:
    """Lists photographs: files by their paths, photographs of a prepared set by their ids.

    Args:
        photographs: A file, a folder of photographs, a pattern such as ``photographs/*.jpg``, or ids separated by
            commas; or a sequence of these.

    Returns:
        The photographs, and the other files of the folders.

    Raises:
        UsageError: A folder or pattern has no photographs.
    """
    several = [photographs] if isinstance(photographs, str | os.PathLike) else photographs
    names: list[str] = []
    left_out: list[LeftOutFile] = []
    for each in several:
        one = os.fspath(each)
        path = Path(one)
        if path.exists():
            names += _expand(path, left_out)
        elif any(character in one for character in "*?["):
            matches = [Path(match) for match in sorted(glob(one, recursive=True))]  # noqa: PTH207  # absolute patterns, too
            if not matches:
                raise UsageError(f"{one}: no file matches this pattern")
            names += [name for match in matches for name in _expand(match, left_out)]
        else:
            names += filter(None, (each.strip() for each in one.split(",")))
    return names, left_out


def _expand(path: Path, left_out: list[LeftOutFile]) -> list[str]:
    """Returns a file, or the photographs of a folder, whose other files are appended to ``left_out``."""
    if not path.is_dir():
        return [str(path)]
    listing = list_folder(path)
    left_out += [replace(each, file=str(path / each.file)) for each in listing.left_out]
    if not listing.photographs:
        reasons = "".join(f"\n  {line}" for line in describe_left_out(listing.left_out))
        raise UsageError(f"{path}: a folder without photographs{reasons}")
    return list(map(str, listing.photographs))


def prepare_inputs(
    photographs: Sequence[str], runs: Mapping[str, Run], scratch: Path
) -> tuple[dict[str, dict[str, PreparedInput]], dict[str, str]]:
    """Prepares photographs for several runs.

    Args:
        photographs: Files, or ids of the runs' prepared sets.
        runs: Trained runs by name; each has its own preparation.
        scratch: An empty folder, needed as long as the result is used.

    Returns:
        Inputs by name of the photograph and of the run, and the reasons by photograph that a run can't use.

    Raises:
        ImageError: No photograph can be used.
    """
    preparers = {name: RunInputs(run, scratch / str(number)) for number, (name, run) in enumerate(runs.items())}
    inputs: dict[str, dict[str, PreparedInput]] = {}
    failures: dict[str, str] = {}
    for name, photograph in unique_names(photographs).items():
        try:
            inputs[name] = {run: preparer.prepare(name, photograph) for run, preparer in preparers.items()}
        except ImageError as error:
            failures[photograph] = str(error)
    if not inputs:
        reason = next(iter(failures.values()), "none was named")
        raise ImageError(f"no photograph could be used; the first: {reason}")
    return inputs, failures


def unique_names(photographs: Sequence[str]) -> dict[str, str]:
    """Gives photographs unique names: an id is its own name, a file has its stem, with a number if needed.

    Args:
        photographs: Files and ids; repeated ones are named once.
    """
    names: dict[str, str] = {}
    for photograph in dict.fromkeys(photographs):
        name = stem = without_photograph_suffix(Path(photograph)).name if _is_file(photograph) else photograph
        number = 1
        while name in names:
            number += 1
            name = f"{stem}-{number}"
        names[name] = photograph
    return names


def _is_file(photograph: str) -> bool:
    """Whether a photograph is named by the path of a file, of any kind, and not by its id."""
    path = Path(photograph)
    return path.exists() and not path.is_dir()
