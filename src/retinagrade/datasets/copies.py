"""Copies: photographs that are in a data set more than once, to the byte or in other clothes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from retinagrade.datasets.examine import ExaminedFile
from retinagrade.errors import ImageError
from retinagrade.images.field_of_view import SEARCH_SIDE, find_field_of_view
from retinagrade.images.hamming import hamming_pairs
from retinagrade.images.read import read_photograph
from retinagrade.images.similarity import thumbnail, thumbnail_correlation
from retinagrade.paths import join_path

CANDIDATE: Final = 28
"""Bits of the perceptual hash that two photographs may differ in to be compared."""
COPY: Final = 0.96
"""Correlation from which two photographs are one: re-encoded or resized. In IDRiD copies have 0.97 to 1."""
SAME_EYE: Final = 0.85
"""Correlation from which two photographs show one eye, one shot after the other. In IDRiD these have 0.90 to 0.93,
and photographs of two eyes at most 0.80."""


@dataclass(frozen=True)
class CopyPair:
    """Two files that show the same.

    Attributes:
        first: One file.
        second: The other.
        kind: ``identical`` to the byte, ``copy`` (the same photograph, encoded or sized differently), or ``same-eye``
            (two photographs that only the same eye can give, but not copies).
        correlation: Of their structures, -1 to 1.
    """

    first: str
    second: str
    kind: Literal["identical", "copy", "same-eye"]
    correlation: float


def find_pairs(examined: Sequence[ExaminedFile], root: Path) -> list[CopyPair]:
    """Finds copies and photographs of one eye among the files that can be used.

    Of files that are identical to the byte, the first stands for all when near copies are looked for.

    Args:
        examined: Files of a data set.
        root: The folder that their paths start from.

    Returns:
        Pairs in the order of their files.
    """
    by_digest: dict[str, list[ExaminedFile]] = defaultdict(list)
    for one in sorted(examined, key=lambda one: one.file):
        if one.sha256 is not None and one.bytes:
            by_digest[one.sha256].append(one)
    pairs = [
        CopyPair(same[0].file, other.file, "identical", 1.0) for same in by_digest.values() for other in same[1:]
    ]  # fmt: skip
    distinct = [same[0] for same in by_digest.values() if same[0].likeness is not None]
    if len(distinct) > 1:
        hashes = np.stack([one.likeness for one in distinct if one.likeness is not None])
        for row, column in hamming_pairs(hashes, CANDIDATE):
            first, second = distinct[row].file, distinct[column].file
            alike = _compare(join_path(root, first), join_path(root, second))
            if alike >= SAME_EYE:
                pairs.append(CopyPair(first, second, "copy" if alike >= COPY else "same-eye", alike))
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def group_pairs(pairs: Sequence[CopyPair], kinds: set[str]) -> list[list[str]]:
    """Files that pairs of these kinds join, over any number of steps; each group and all groups in order."""
    joined: dict[str, set[str]] = {}
    for pair in pairs:
        if pair.kind in kinds:
            group = joined.get(pair.first, {pair.first}) | joined.get(pair.second, {pair.second})
            joined.update(dict.fromkeys(group, group))
    return sorted({tuple(sorted(group)): sorted(group) for group in joined.values()}.values())


def _compare(first: Path, second: Path) -> float:
    try:
        photographs = [read_photograph(path, SEARCH_SIDE) for path in (first, second)]
        one, other = (thumbnail(photograph, find_field_of_view(photograph)) for photograph in photographs)
    except ImageError:  # gone or changed since it was examined
        return 0.0
    return thumbnail_correlation(one, other)
