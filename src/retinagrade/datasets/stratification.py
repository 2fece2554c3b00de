"""Assignment of photographs to splits and folds: stratified, seeded, and never through the middle of a group."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from retinagrade.errors import UsageError


def photograph_strata(table: pd.DataFrame) -> NDArray[np.int64]:
    """Numbers the strata: photographs with one grade and one data set share a number (N,)."""
    keys = pd.MultiIndex.from_frame(table[["dataset", "grade"]].astype("string").fillna(""))
    codes, _ = pd.factorize(keys, sort=True)
    return codes


def photograph_groups(table: pd.DataFrame) -> NDArray[np.int32]:
    """Numbers the groups of photographs that must stay together.

    Args:
        table: A manifest's table. Photographs of one patient belong together, copies with one ``sha256``, and those
            that share a number in the column ``same_eye``, if it exists.

    Returns:
        The number (N,) of each photograph's group. Links count over any number of steps.
    """
    heads, tails = [], []
    keys = {"patient_id": ["dataset", "patient_id"], "sha256": ["sha256"], "same_eye": ["same_eye"]}
    for column, key in keys.items():
        if column not in table.columns:
            continue
        known = table[table[column].notna()]
        for rows in known.groupby(key, dropna=False).indices.values():
            members = known.index[rows].to_numpy()
            heads += [members[0]] * (len(members) - 1)
            tails += members[1:].tolist()
    links = coo_array((np.ones(len(heads)), (heads, tails)), shape=(len(table), len(table)))
    labels: NDArray[np.int32] = connected_components(links, directed=False)[1]
    return labels


def assign_splits(
    strata: NDArray[np.integer[Any]], groups: NDArray[np.integer[Any]], shares: Mapping[str, float], seed: int
) -> NDArray[np.object_]:
    """Assigns whole groups to splits, the largest first, wherever that brings the strata closer to their shares.

    Args:
        strata: The stratum (N,) of each photograph.
        groups: The group (N,) of each photograph.
        shares: The share of each split, 0 to 1.
        seed: Seed of the order of groups of one size.

    Returns:
        The split (N,) of each photograph; ``train`` for the rest.
    """
    totals = np.bincount(strata)
    # Half a photograph is added: single photographs reach the number exactly, and a pair may exceed it by one.
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


def assign_folds(
    strata: NDArray[np.integer[Any]], groups: NDArray[np.integer[Any]], folds: int, seed: int
) -> NDArray[np.int64]:
    """Assigns whole groups to the folds of a cross-validation.

    Args:
        strata: The stratum (N,) of each photograph.
        groups: The group (N,) of each photograph.
        folds: Number of folds.
        seed: Seed of the draw.

    Returns:
        The fold (N,) of each photograph, 0 to ``folds - 1``.

    Raises:
        UsageError: There are too few groups or photographs for so many folds.
    """
    if len(np.unique(groups)) < folds:
        raise UsageError(f"{len(np.unique(groups))} groups of photographs are too few for {folds} folds: take fewer")
    if np.bincount(strata).max() < folds:
        raise UsageError(f"each grade has too few photographs for {folds} folds: take fewer")
    assigned = np.zeros(len(strata), np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*least populated class.*")  # a rare grade may be in fewer folds
        for fold, (_, rows) in enumerate(splitter.split(strata, strata, groups)):
            assigned[rows] = fold
    return assigned
