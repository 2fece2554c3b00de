"""Splits: stratified by grade, seeded, and never between two eyes of a patient or two copies of a photograph."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from retinagrade import provenance
from retinagrade.errors import UsageError
from retinagrade.files import sha256, write_json
from retinagrade.grades import N_GRADES
from retinagrade.manifest import Manifest

EXCLUDED: Final = "excluded"
"""Split of photographs that would leak an official test set into training."""
UNGRADED: Final = "ungraded"
"""Split of an official test set whose grades were never published (APTOS 2019): it can be predicted, not evaluated."""


def split_manifest(
    manifest: Manifest,
    *,
    val: float = 0.1,
    test: float = 0.0,
    by: Literal["patient", "image"] = "patient",
    seed: int = 0,
    folds: int | None = None,
    fold: int = 0,
) -> Manifest:
    """Assigns every photograph to ``train``, ``val`` or ``test``.

    Each split takes, of every grade, ``floor(share × photographs of that grade)``. Groups of one photograph reach
    that number exactly, as in the report (§2.4); larger groups come as near as whole groups can. Where the manifest
    joins several data sets, each has its own strata. Photographs without a grade are a stratum of their own. The
    result depends on ids, not on the order of rows.

    Args:
        manifest: Photographs; the columns ``sha256`` and ``official_split`` of a prepared set are taken into account.
        val: Share for validation.
        test: Share for testing.
        by: ``patient`` keeps patients, where known, and byte-identical copies together; ``image`` splits every
            photograph by itself, as the report does, which flatters figures wherever there are copies or both eyes.
        seed: Seed of the draw.
        folds: Divide what is not for testing into this many parts instead, and note each photograph's part in column
            ``fold``; ``val`` has no meaning then. The parts don't depend on ``fold``.
        fold: The part, counted from 0, that is for validation.

    Returns:
        The manifest with column ``split`` filled. With an official test set, that stays the test set, and what
        belongs together with one of its photographs becomes ``excluded``; without published grades it is
        ``ungraded``.

    Raises:
        UsageError: Shares out of range, a test share beside an official test set, or no photograph left to validate.
    """
    if not (0 < val < 1 and 0 <= test < 1 and val + test < 1):
        raise UsageError(
            f"shares val={val} and test={test}: each at least 0, val more than 0, and together less than 1"
        )
    if folds is not None and not (folds >= 2 and 0 <= fold < folds):
        raise UsageError(f"fold {fold} of {folds}: at least two folds, counted from 0")
    table = manifest.table.sort_values("image_id", ignore_index=True)
    strata = _strata(table)
    groups = _groups(table) if by == "patient" else np.arange(len(table))
    official = _official_test(table)
    if official.any() and test:
        raise UsageError("the data set has an official test set: leave --test out")
    tainted = np.isin(groups, groups[official]) & ~official
    unpublished = _official_rows(table) & ~official
    free = np.flatnonzero(~official & ~tainted & ~unpublished)
    names = np.full(len(table), "test", dtype=object)
    names[tainted] = EXCLUDED
    names[unpublished] = UNGRADED
    shares = {"test": test, "val": val} if folds is None else {"test": test}
    names[free] = _assign(strata[free], groups[free], shares, seed)
    chosen = pd.DataFrame({"split": pd.array(names, dtype="string")}, index=table["image_id"])
    if folds is not None:
        learnt = np.flatnonzero(names == "train")
        parts = _folds(strata[learnt], groups[learnt], folds, seed)
        chosen["fold"] = pd.Series(parts, index=table["image_id"].iloc[learnt], dtype="Int64")
        chosen.loc[chosen["fold"] == fold, "split"] = "val"
    if not (chosen["split"] == "val").any():
        what = f"a validation share of {val}: raise --val" if folds is None else f"{folds} folds: take fewer"
        raise UsageError(f"{len(free)} photographs are too few for {what}")
    result = manifest.table.drop(columns="fold", errors="ignore")
    for column in chosen:
        result[column] = result["image_id"].map(chosen[column]).astype(chosen[column].dtype)
    return Manifest(result, manifest.root)


def split_prepared(
    prepared: Path,
    *,
    val: float = 0.1,
    test: float = 0.0,
    by: Literal["patient", "image"] = "patient",
    seed: int = 0,
    folds: int | None = None,
    fold: int = 0,
) -> Manifest:
    """Splits a prepared set: writes its ``manifest.csv`` anew, and ``split.json`` beside it.

    Args:
        prepared: A prepared set.
        val: As for :func:`split_manifest`.
        test: As for :func:`split_manifest`.
        by: As for :func:`split_manifest`.
        seed: As for :func:`split_manifest`.
        folds: As for :func:`split_manifest`.
        fold: As for :func:`split_manifest`.

    Returns:
        The manifest as written.
    """
    path = prepared / "manifest.csv"
    result = split_manifest(Manifest.read(path), val=val, test=test, by=by, seed=seed, folds=folds, fold=fold)
    result.write(path)
    write_json(
        prepared / "split.json",
        {
            "settings": {"val": val, "test": test, "by": by, "seed": seed, "folds": folds, "fold": fold},
            "counts": split_counts(result),
            "manifest_sha256": sha256(path),
            "versions": provenance.installed_versions(),
        },
    )
    return result


def fold_splits(manifest: Manifest, folds: int, seed: int = 0) -> list[Manifest]:
    """The splits of a cross-validation, one a fold, each as :func:`split_manifest` makes it by patient.

    Args:
        manifest: Photographs. Those of a split ``test`` that it has already stay there, as an official test set does,
            and what belongs together with one of them becomes ``excluded``; everything else is divided anew.
        folds: Number of parts; each is for validation once.
        seed: Seed of the draw.

    Returns:
        Manifests with columns ``split`` and ``fold``, in the order of folds.

    Raises:
        UsageError: Fewer than two folds, or too few photographs for them.
    """
    table = manifest.table
    held = table["split"].eq("test").fillna(False)
    official = table.get("official_split", pd.Series(pd.NA, index=table.index, dtype="string"))
    marked = Manifest(table.assign(official_split=official.mask(held, "test")), manifest.root)
    first = split_manifest(marked, folds=folds, seed=seed).table.assign(official_split=official)
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


def split_counts(manifest: Manifest) -> dict[str, dict[str, int]]:
    """Photographs by split and grade; ungraded ones under ``ungraded``."""
    counts: dict[str, dict[str, int]] = {}
    for name, rows in manifest.table.groupby("split"):
        by_grade: dict[str, Any] = {str(grade): int((rows["grade"] == grade).sum()) for grade in range(N_GRADES)}
        counts[str(name)] = {**by_grade, "ungraded": int(rows["grade"].isna().sum())}
    return counts


def _official_test(table: pd.DataFrame) -> np.ndarray:
    """Which photographs (N,) are an official test set that can be tested on: none if no grade of it is known."""
    rows = _official_rows(table)
    return rows if table["grade"][rows].notna().any() else np.zeros(len(table), dtype=bool)


def _official_rows(table: pd.DataFrame) -> np.ndarray:
    if "official_split" not in table.columns:
        return np.zeros(len(table), dtype=bool)
    # EyePACS's test half has two parts, test-public and test-private.
    rows: np.ndarray = table["official_split"].str.fullmatch("test(-.*)?").fillna(False).to_numpy(dtype=bool)
    return rows


def _strata(table: pd.DataFrame) -> np.ndarray:
    """Numbers (N,) of each photograph's grade and data set."""
    codes, _ = pd.factorize(
        pd.MultiIndex.from_frame(table[["dataset", "grade"]].astype("string").fillna("")), sort=True
    )
    return codes


def _groups(table: pd.DataFrame) -> np.ndarray:
    """Numbers (N,) that photographs share when a patient or a copy joins them, over any number of steps."""
    heads, tails = [], []
    keys = {"patient_id": ["dataset", "patient_id"], "sha256": ["sha256"]}
    for column, key in keys.items():
        if column not in table.columns:
            continue
        known = table[table[column].notna()]
        for rows in known.groupby(key, dropna=False).indices.values():
            members = known.index[rows].to_numpy()
            heads += [members[0]] * (len(members) - 1)
            tails += members[1:].tolist()
    links = coo_array((np.ones(len(heads)), (heads, tails)), shape=(len(table), len(table)))
    labels: np.ndarray = connected_components(links, directed=False)[1]
    return labels


def _assign(strata: np.ndarray, groups: np.ndarray, shares: dict[str, float], seed: int) -> np.ndarray:
    """Gives whole groups to splits, the largest first, wherever that brings the strata nearer to their numbers."""
    totals = np.bincount(strata)
    # Half a photograph more than wanted: a single one is taken up to the number, a pair also one beyond it.
    room = {name: np.floor(share * totals + 1e-9) + 0.5 for name, share in shares.items() if share}
    members = pd.Series(np.arange(len(groups))).groupby(groups).apply(lambda rows: rows.to_numpy()).tolist()
    order = np.random.default_rng(seed).permutation(len(members))
    names = np.full(len(groups), "train", dtype=object)
    for group in sorted(order, key=lambda index: -len(members[index])):
        rows = members[group]
        needs = np.bincount(strata[rows], minlength=len(totals))
        for name, left in room.items():
            if np.sum((left - needs) ** 2) < np.sum(left**2):
                names[rows] = name
                left -= needs
                break
    return names


def _folds(strata: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The part (N,) of every photograph, 0 to ``folds - 1``."""
    if len(np.unique(groups)) < folds:
        raise UsageError(f"{len(np.unique(groups))} groups of photographs are too few for {folds} folds: take fewer")
    if np.bincount(strata).max() < folds:
        raise UsageError(f"each grade has too few photographs for {folds} folds: take fewer")
    parts = np.zeros(len(strata), int)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*least populated class.*")  # a rare grade may be in fewer folds
        for part, (_, rows) in enumerate(splitter.split(strata, strata, groups)):
            parts[rows] = part
    return parts
