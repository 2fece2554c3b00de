"""Similarity of copies and of different photographs: the figures behind the limits of `datasets/copies.py`.

python benchmarks/copies.py FOLDER
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

import numpy as np

from retinagrade.datasets.copies import CANDIDATE_BITS, SAME_EYE_CORRELATION
from retinagrade.images.field_of_view import SEARCH_SIDE, find_field_of_view
from retinagrade.images.read import read_photograph
from retinagrade.images.similarity import (
    descriptor,
    descriptor_correlations,
    perceptual_hash,
    thumbnail,
    thumbnail_correlation,
)

WIDER_BITS = 28


def main(folder: Path) -> None:
    """Prints bits and correlations of all pairs of the photographs below a folder."""
    photographs = [read_photograph(path, SEARCH_SIDE) for path in sorted(folder.rglob("*.jpg"))]
    seen = [(photograph, find_field_of_view(photograph)) for photograph in photographs]
    hashes = np.stack([perceptual_hash(*each) for each in seen])
    descriptors = np.stack([descriptor(*each) for each in seen])
    thumbnails = [thumbnail(*each) for each in seen]
    pairs = np.array(list(combinations(range(len(seen)), 2)))
    bits = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]).sum(axis=1)
    correlations = descriptor_correlations(descriptors, pairs)
    same = np.array(
        [thumbnail_correlation(thumbnails[row], thumbnails[column]) >= SAME_EYE_CORRELATION for row, column in pairs]
    )
    print(f"{len(pairs):,} pairs, {same.sum()} of them copies or of one eye")
    print(f"these: at most {bits[same].max()} bits, descriptors correlate by at least {correlations[same].min():.3f}")
    for limit in (CANDIDATE_BITS, WIDER_BITS):
        wrong = ~same & (bits <= limit)
        largest = f", whose descriptors correlate by at most {correlations[wrong].max():.3f}" if wrong.any() else ""
        print(f"different eyes within {limit} bits: {wrong.sum()} pairs{largest}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
