"""How long does the search for similar hashes take? Measured beside the comparison of all pairs, in one run.

    python benchmarks/hashes.py [COUNT]

``random`` hashes have independent bits. ``retinal`` hashes have bits that depend on their neighbours, and none outside
a disc, like hashes of photographs. In both sets, a tenth of the hashes are copies with up to 12 different bits, and one
cluster has 1000 nearly identical hashes. At each distance, the search and the comparison of all pairs take turns on
the first 60,000 hashes; then the search takes all of them (a million by default), beside the time that the comparison
of all pairs would need for them.
"""

from __future__ import annotations

import resource
import sys
import time
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.datasets.copies import CANDIDATE_BITS
from retinagrade.images.hamming import compare_all_pairs, hamming_pairs
from retinagrade.images.similarity import HASH_SIDE

FEW: Final = 60_000
DISTANCES: Final = (12, CANDIDATE_BITS, 28)
RETINAL_DISTANCES: Final = (12, 20)
"""At a distance of 28, a million hashes of photographs have more than a hundred million pairs."""


def random_hashes(count: int, rng: np.random.Generator) -> NDArray[np.uint64]:
    """Draws hashes with independent bits, (count, 4) uint64."""
    return rng.integers(0, 1 << 64, (count, 4), dtype=np.uint64)


def retinal_hashes(count: int, rng: np.random.Generator) -> NDArray[np.uint64]:
    """Draws hashes of smooth pictures within a disc, (count, 4) uint64."""
    rows, columns = np.mgrid[:HASH_SIDE, :HASH_SIDE] - (HASH_SIDE - 1) / 2
    inside = rows**2 + columns**2 <= (HASH_SIDE / 2) ** 2
    common = cv2.GaussianBlur(rng.normal(size=(HASH_SIDE, HASH_SIDE)), (0, 0), 1.5)
    hashes = np.zeros((count, 4), np.uint64)
    for start in range(0, count, 10_000):
        noise = rng.normal(size=(HASH_SIDE, HASH_SIDE, min(10_000, count - start))).astype(np.float32)
        pictures = [cv2.GaussianBlur(noise[..., part : part + 4], (0, 0), 1.0) for part in range(0, noise.shape[2], 4)]
        picture = np.dstack(pictures) + common[..., None]
        bits = (picture > 0) & inside[..., None]
        rows_of_bits = np.ascontiguousarray(bits.reshape(-1, noise.shape[2]).T)
        hashes[start : start + noise.shape[2]] = np.packbits(rows_of_bits, axis=1).view(np.uint64)
    return hashes


def add_copies(hashes: NDArray[np.uint64], rng: np.random.Generator) -> NDArray[np.uint64]:
    """Replaces hashes by copies of others with a few different bits, in random order."""
    bits = np.unpackbits(hashes.view(np.uint8), axis=1)
    copies, cluster = len(bits) // 10, min(1000, len(bits) // 10)
    bits[-copies:] = bits[:copies]
    bits[-cluster:] = bits[0]
    for row in bits[-copies:]:
        row[rng.integers(0, bits.shape[1], rng.integers(0, 13))] ^= 1
    return rng.permutation(np.packbits(bits, axis=1).view(np.uint64))


def main() -> None:
    """Measures and prints."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    print("hashes     number distance      pairs   search s   all pairs s   ratio   memory MB")
    for name, draw, distances in (("random", random_hashes, DISTANCES), ("retinal", retinal_hashes, RETINAL_DISTANCES)):
        rng = np.random.default_rng(0)
        hashes = add_copies(draw(count, rng), rng)
        few = hashes[:FEW]
        for distance in distances:
            start = time.perf_counter()
            expected = compare_all_pairs(few, distance)
            middle = time.perf_counter()
            pairs = hamming_pairs(few, distance)
            end = time.perf_counter()
            assert np.array_equal(pairs, expected)
            report(name, len(few), distance, len(pairs), end - middle, middle - start)
            if count > FEW:
                all_pairs = (middle - start) * (count / FEW) ** 2
                start = time.perf_counter()
                pairs = hamming_pairs(hashes, distance)
                report(name, count, distance, len(pairs), time.perf_counter() - start, all_pairs)


def report(name: str, count: int, distance: int, pairs: int, search: float, all_pairs: float) -> None:
    """Prints one row."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    times = f"{search:11.1f}{all_pairs:14.1f}{all_pairs / search:8.1f}"
    print(f"{name:8}{count:9}{distance:9}{pairs:11}{times}{memory:12.0f}", flush=True)


if __name__ == "__main__":
    main()
