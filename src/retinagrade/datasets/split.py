"""Splits: stratified by grade, seeded, and never between two eyes of a patient or two copies of a photograph."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade import provenance
from retinagrade.arguments import NOT_NEGATIVE, SHARE, NumberRange, check_arguments
from retinagrade.datasets.grade_counts import count_grades_by_split
from retinagrade.datasets.prepared_set import PREPARED_MANIFEST, PreparedSet
from retinagrade.datasets.stratification import assign_folds, assign_splits, photograph_groups, photograph_strata
from retinagrade.errors import UsageError
from retinagrade.manifest import Manifest
from retinagrade.storage.files import sha256, write_json

EXCLUDED: Final = "excluded"
"""Split of photographs that would leak an official test set into training."""
UNGRADED: Final = "ungraded"
"""Split of an official test set whose grades were never published (APTOS 2019): it can be predicted, not evaluated."""


_FAR: Final = 0.1
"""Difference of two shares from which a person should look."""
GroupBy = Literal["patient", "image"]
"""Unit that a split never separates."""


@dataclass(frozen=True)
class SplitSettings:
    """The settings of a split.

    Attributes:
        val: Share of the photographs of each grade for validation.
        test: Share for testing, where the data set has no official test set.
        group_by: ``patient`` keeps the photographs of a patient together, where patients are known, and byte-identical
            copies. ``image`` splits every photograph by itself, as the report does; metrics are then too good wherever
            a patient has two eyes in the set or a photograph has copies.
        seed: Seed of the draw.
        folds: Number of folds of a cross-validation, which replace the share ``val``. The folds don't depend on
            ``fold``.
        fold: The fold for validation, counted from 0.
    """

    val: float = 0.1
    test: float = 0.0
    group_by: GroupBy = "patient"
    seed: int = 0
    folds: int | None = None
    fold: int = 0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if not (0 < self.val < 1 and 0 <= self.test < 1 and self.val + self.test < 1):
            raise UsageError(
                f"shares val={self.val} and test={self.test}: val must be more than 0, test at least 0, and both "
                "together less than 1"
            )
        if self.folds is not None and not (self.folds >= 2 and 0 <= self.fold < self.folds):
            raise UsageError(f"fold {self.fold} of {self.folds}: at least two folds, counted from 0")


@check_arguments(
    val=SHARE,
    test=NumberRange(at_least=0, below=1),
    seed=NOT_NEGATIVE,
    folds=NumberRange(at_least=2),
    fold=NOT_NEGATIVE,
)
def split(
    prepared: str | os.PathLike[str],
    *,
    val: float = 0.1,
    test: float = 0.0,
    group_by: GroupBy = "patient",
    seed: int = 0,
    folds: int | None = None,
    fold: int | None = None,
) -> PreparedSet:
    """Divides a prepared set into training, validation and test photographs.

    The split is written to the set's ``manifest.csv``, and its settings, counts and shares to ``split.json``.

    Args:
        prepared: The prepared set.
        val: Share of the photographs of each grade for validation.
        test: Share for testing, where the data set has no official test set.
        group_by: ``patient`` keeps patients and copies together; ``image`` splits single photographs, as the report
            does.
        seed: Seed of the draw.
        folds: Number of folds of a cross-validation, which replace the share ``val``.
        fold: The fold for validation, counted from 0; only with ``folds``. By default, the first one.

    Returns:
        The prepared set with its new split.

    Raises:
        LayoutError: The folder is no prepared set.
        UsageError: Shares are out of range, a test share is given beside an official test set, or no photograph is
            left for validation.
    """
    if fold is not None and folds is None:
        raise UsageError("a fold is one of several: give their number as well (folds, --folds)")
    settings = SplitSettings(val, test, group_by, seed, folds, fold or 0)
    source = PreparedSet(prepared)
    path = source.folder / PREPARED_MANIFEST
    manifest = split_manifest(source.manifest, settings)
    manifest.write(path)
    record = SplitRecord(
        settings,
        count_grades_by_split(manifest.table),
        split_shares(manifest, settings),
        sha256(path),
        provenance.installed_versions(),
    )
    write_json(source.folder / "split.json", asdict(record))
    return PreparedSet(source.folder)


@dataclass(frozen=True)
class SplitShare:
    """The share of the photographs that a split should have, and the one that it has.

    Attributes:
        asked: The share in the settings.
        obtained: The share of the photographs that were divided.
    """

    asked: float
    obtained: float

    @property
    def is_far(self) -> bool:
        """Whether the shares differ so much that a person should look: few photographs, or large groups."""
        return abs(self.obtained - self.asked) > _FAR


@dataclass(frozen=True)
class SplitRecord:
    """``split.json`` of a prepared set: how its photographs were divided.

    Attributes:
        settings: The settings of the split.
        counts: Number of photographs by split and grade, ``0`` to ``4`` and ``ungraded``.
        shares: The shares of ``val`` and ``test``, as far as the settings ask for one.
        manifest_sha256: SHA-256 digest of ``manifest.csv`` with this split, in hexadecimal.
        versions: Versions of the packages that can change a result.
    """

    settings: SplitSettings
    counts: dict[str, dict[str, int]]
    shares: dict[str, SplitShare]
    manifest_sha256: str
    versions: dict[str, str]


def split_shares(manifest: Manifest, settings: SplitSettings) -> dict[str, SplitShare]:
    """Compares the shares of a split with its settings.

    Args:
        manifest: The photographs with their split.
        settings: The settings.

    Returns:
        The shares of ``val`` and ``test``, as far as the settings ask for one.
    """
    official = _official_test(manifest.table)
    counts = manifest.table["split"][~official].value_counts()
    divided = sum(int(counts.get(name, 0)) for name in ("train", "val", "test"))
    asked = {"val": settings.val if settings.folds is None else 0.0, "test": settings.test}
    return {name: SplitShare(share, counts.get(name, 0) / divided) for name, share in asked.items() if share}


def missing_grades(manifest: Manifest) -> dict[str, list[int]]:
    """Finds the grades that a data set has and one of its splits lacks; official test sets are left out.

    Args:
        manifest: The photographs with their split.

    Returns:
        Grades by split, without the splits that lack none.
    """
    divided = manifest.table[~_official_test(manifest.table)]
    splits = divided[divided["split"].isin(["train", "val", "test"]) & divided["grade"].notna()]
    present = set(splits["grade"])
    lacking = {str(name): sorted(present - set(rows["grade"])) for name, rows in splits.groupby("split")}
    return {name: [int(grade) for grade in grades] for name, grades in lacking.items() if grades}


def split_manifest(manifest: Manifest, settings: SplitSettings) -> Manifest:
    """Assigns every photograph to a split.

    Each split takes ``floor(share × photographs of that grade)`` photographs of every grade. Groups of one photograph
    reach that number exactly, as in the report (§2.4); larger groups come as close as whole groups can. Where the
    manifest joins several data sets, each data set has its own strata. Photographs without a grade are a stratum of
    their own. The result depends on ids, not on the order of rows.

    Args:
        manifest: The photographs. For a prepared set, the columns ``sha256`` and ``official_split`` are used as well.
        settings: The shares or folds.

    Returns:
        The manifest with the column ``split`` filled, and with the column ``fold`` where there are folds. An official
        test set stays the test set, and photographs that belong together with one of its photographs become
        ``excluded``. An official test set without published grades becomes ``ungraded``.

    Raises:
        UsageError: A test share is given beside an official test set, or no photograph is left for validation.
    """
    table = manifest.table.sort_values("image_id", ignore_index=True)
    strata = photograph_strata(table)
    groups = photograph_groups(table) if settings.group_by == "patient" else np.arange(len(table))
    official = _official_test(table)
    if official.any() and settings.test:
        raise UsageError("the data set has an official test set: leave --test out")
    tainted = np.isin(groups, groups[official]) & ~official
    unpublished = _official_rows(table) & ~official
    free = np.flatnonzero(~official & ~tainted & ~unpublished)
    names = np.full(len(table), "test", dtype=object)
    names[tainted] = EXCLUDED
    names[unpublished] = UNGRADED
    shares = {"test": settings.test} | ({"val": settings.val} if settings.folds is None else {})
    names[free] = assign_splits(strata[free], groups[free], shares, settings.seed)
    assigned = pd.DataFrame({"split": pd.array(names, dtype="string")}, index=table["image_id"])
    if settings.folds is not None:
        divided = np.flatnonzero(names == "train")
        folds = assign_folds(strata[divided], groups[divided], settings.folds, settings.seed)
        assigned["fold"] = pd.Series(folds, index=table["image_id"].iloc[divided], dtype="Int64")
        assigned.loc[assigned["fold"] == settings.fold, "split"] = "val"
    if not (assigned["split"] == "val").any():
        cause = f"a validation share of {settings.val}: raise --val"
        if settings.folds is not None:
            cause = f"{settings.folds} folds: take fewer"
        raise UsageError(f"{len(free)} photographs are too few for {cause}")
    return _with_columns(manifest, assigned)


def fold_splits(manifest: Manifest, folds: int, seed: int = 0) -> list[Manifest]:
    """Splits photographs by patient for a cross-validation.

    Args:
        manifest: The photographs. Those that are in the split ``test`` already stay there, as an official test set
            does; photographs that belong together with one of them become ``excluded``. All other photographs are
            divided anew.
        folds: Number of folds; each of them is for validation once.
        seed: Seed of the draw.

    Returns:
        A manifest for each fold, with the columns ``split`` and ``fold``.

    Raises:
        UsageError: There are fewer than two folds, or too few photographs for them.
    """
    table = manifest.table
    held_out = table["split"].eq("test").fillna(False)
    official = table.get("official_split", pd.Series(pd.NA, index=table.index, dtype="string"))
    marked = Manifest(table.assign(official_split=official.mask(held_out, "test")), manifest.root)
    first = split_manifest(marked, SplitSettings(folds=folds, seed=seed)).table.assign(official_split=official)
    if "official_split" not in table:
        first = first.drop(columns="official_split")
    divided = first["fold"].notna()
    return [
        Manifest(
            first.assign(split=first["split"].mask(divided, "train").mask(divided & first["fold"].eq(fold), "val")),
            manifest.root,
        )
        for fold in range(folds)
    ]


def _with_columns(manifest: Manifest, columns: pd.DataFrame) -> Manifest:
    """Returns the manifest with columns that are indexed by ``image_id``, and without an earlier ``fold``."""
    table = manifest.table.drop(columns="fold", errors="ignore")
    for column in columns:
        table[column] = table["image_id"].map(columns[column]).astype(columns[column].dtype)
    return Manifest(table, manifest.root)


def _official_test(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Marks the photographs (N,) of an official test set that has grades; none where no grade is published."""
    rows = _official_rows(table)
    return rows if table["grade"][rows].notna().any() else np.zeros(len(table), dtype=bool)


def _official_rows(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Marks the photographs (N,) of an official test set."""
    if "official_split" not in table.columns:
        return np.zeros(len(table), dtype=bool)
    # EyePACS's test half has two parts, test-public and test-private.
    rows: NDArray[np.bool_] = table["official_split"].str.fullmatch("test(-.*)?").fillna(False).to_numpy(dtype=bool)
    return rows
