"""Copies: photographs that a data set has more than once, byte for byte or encoded differently."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from retinagrade.datasets.examine import ExaminedFile
from retinagrade.errors import ImageError
from retinagrade.images.field_of_view import SEARCH_SIDE, find_field_of_view
from retinagrade.images.hamming import hamming_pairs
from retinagrade.images.read import read_photograph
from retinagrade.images.similarity import descriptor_correlations, thumbnail, thumbnail_correlation
from retinagrade.storage.paths import join_path

CANDIDATE_BITS: Final = 20
"""Largest number of different bits in the perceptual hashes of candidates. In IDRiD, copies differ in at most 10 bits,
photographs of one eye in at most 16, and 2 of 108,811 pairs of different eyes in at most 20."""
CANDIDATE_CORRELATION: Final = 0.85
"""Smallest correlation of the descriptors of candidates; only these photographs are read again. In IDRiD, copies and
photographs of one eye have at least 0.949, and different eyes within 20 bits at most 0.703
(``benchmarks/copies.py``)."""
COPY_CORRELATION: Final = 0.96
"""Smallest correlation of copies, which were encoded again or resized. In IDRiD copies have 0.97 to 1."""
SAME_EYE_CORRELATION: Final = 0.85
"""Smallest correlation of two photographs of one eye, taken one after the other. In IDRiD these have 0.90 to 0.93, and
photographs of two eyes at most 0.80."""


@dataclass(frozen=True)
class CopyPair:
    """Two files that show one photograph or one eye.

    Attributes:
        first: The first file.
        second: The second file.
        kind: ``identical`` for byte-identical files; ``copy`` for one photograph, encoded or resized differently;
            ``same-eye`` for two photographs of one eye.
        correlation: Correlation of their structures, -1 to 1.
    """

    first: str
    second: str
    kind: Literal["identical", "copy", "same-eye"]
    correlation: float


def find_pairs(examined: Sequence[ExaminedFile], root: Path) -> list[CopyPair]:
    """Finds copies and photographs of one eye among the usable files.

    Of byte-identical files, only the first is compared with different files.

    Args:
        examined: The files of a data set.
        root: The folder that their paths start from.

    Returns:
        The pairs, in the order of their files.
    """
    by_digest: dict[str, list[ExaminedFile]] = defaultdict(list)
    for examined_file in sorted(examined, key=lambda examined_file: examined_file.file):
        if examined_file.sha256 is not None and examined_file.bytes:
            by_digest[examined_file.sha256].append(examined_file)
    pairs = [
        CopyPair(same[0].file, other.file, "identical", 1.0) for same in by_digest.values() for other in same[1:]
    ]  # fmt: skip
    hashed = [same[0] for same in by_digest.values() if same[0].perceptual_hash is not None]
    for first, second in _candidates(hashed):
        correlation = _correlation(join_path(root, first.file), join_path(root, second.file))
        if correlation >= SAME_EYE_CORRELATION:
            kind: Literal["copy", "same-eye"] = "copy" if correlation >= COPY_CORRELATION else "same-eye"
            pairs.append(CopyPair(first.file, second.file, kind, correlation))
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def group_pairs(pairs: Sequence[CopyPair], kinds: set[str]) -> list[list[str]]:
    """Groups the files that pairs of these kinds join, over any number of steps; groups and files are sorted."""
    groups: dict[str, set[str]] = {}
    for pair in pairs:
        if pair.kind in kinds:
            group = groups.get(pair.first, {pair.first}) | groups.get(pair.second, {pair.second})
            groups.update(dict.fromkeys(group, group))
    return sorted({tuple(sorted(group)): sorted(group) for group in groups.values()}.values())


def _candidates(examined: Sequence[ExaminedFile]) -> Iterator[tuple[ExaminedFile, ExaminedFile]]:
    """Yields the pairs of files whose hashes and descriptors are similar, in the order of the files."""
    if len(examined) < 2:
        return
    hashes = np.stack([one.perceptual_hash for one in examined if one.perceptual_hash is not None])
    descriptors = np.stack([one.descriptor for one in examined if one.descriptor is not None])
    pairs = hamming_pairs(hashes, CANDIDATE_BITS)
    similar = descriptor_correlations(descriptors, pairs) >= CANDIDATE_CORRELATION
    for row, column in pairs[similar]:
        yield examined[row], examined[column]


def _correlation(first: Path, second: Path) -> float:
    try:
        photographs = [read_photograph(path, SEARCH_SIDE) for path in (first, second)]
        thumbnails = [thumbnail(photograph, find_field_of_view(photograph)) for photograph in photographs]
    except ImageError:  # the file has vanished or changed since its examination
        return 0.0
    return thumbnail_correlation(*thumbnails)
