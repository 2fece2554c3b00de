"""The indexed search finds exactly the pairs that a comparison of all hashes finds."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retinagrade.images import hamming
from retinagrade.images.hamming import compare_all_pairs, hamming_pairs

Pairs = list[tuple[int, int]]


def brute_force(hashes: NDArray[np.uint64], distance: int) -> Pairs:
    numbers = [int.from_bytes(row.tobytes(), "little") for row in hashes]
    return [
        (first, second)
        for first in range(len(numbers))
        for second in range(first + 1, len(numbers))
        if (numbers[first] ^ numbers[second]).bit_count() <= distance
    ]


def clustered(rng: np.random.Generator, count: int, words: int, clusters: int, flips: int) -> NDArray[np.uint64]:
    """Hashes around a few centres: each differs from its centre in up to ``flips`` bits."""
    centres = rng.integers(0, 2**64, (clusters, words), dtype=np.uint64)
    bits = np.unpackbits(centres[rng.integers(0, clusters, count)].view(np.uint8), axis=1)
    for row in bits:
        row[rng.integers(0, 64 * words, rng.integers(0, flips + 1))] ^= 1
    return np.packbits(bits, axis=1).view(np.uint64)


def pairs_of(hashes: NDArray[np.uint64], distance: int) -> Pairs:
    return [(int(first), int(second)) for first, second in hamming_pairs(hashes, distance)]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 60),
    st.integers(1, 4),
    st.integers(1, 20),
    st.integers(0, 40),
    st.integers(0, 260),
)
def test_few_hashes(seed: int, count: int, words: int, clusters: int, flips: int, distance: int) -> None:
    hashes = clustered(np.random.default_rng(seed), count, words, clusters, flips)
    assert pairs_of(hashes, distance) == brute_force(hashes, distance)


@settings(max_examples=50)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 120),
    st.integers(1, 30),
    st.integers(0, 40),
    st.integers(0, 20),
    st.integers(1, 21),
    st.integers(1, 500),
)
def test_any_number_of_bands_and_size_of_blocks(
    seed: int, count: int, clusters: int, flips: int, distance: int, bands: int, block: int
) -> None:
    hashes = clustered(np.random.default_rng(seed), count, 4, clusters, flips)
    columns = hamming._informative_bits(hashes)
    chosen = hamming._divide(columns, max(1, min(bands, distance + 1, len(columns))), distance)
    assume(sum(1 for band in chosen for _ in islice(band.masks(), 5000)) < 5000)  # more are exact as well, but slow
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "_choose_bands", lambda *arguments: chosen)
        patch.setattr(hamming, "BLOCK", 16 * block)
        assert pairs_of(hashes, distance) == brute_force(hashes, distance)


@pytest.mark.parametrize("distance", [0, 16, 28])
def test_the_index_is_used_where_it_is_cheaper_and_finds_the_same_pairs(distance: int) -> None:
    rng = np.random.default_rng(distance)
    hashes = rng.integers(0, 2**64, (20_000, 4), dtype=np.uint64)
    hashes[-2000:] = hashes[:2000] ^ (np.uint64(1) << rng.integers(0, 64, (2000, 4), dtype=np.uint64))
    hashes[5000:5100] = 0
    assert hamming._choose_bands(hashes, hamming._informative_bits(hashes), distance)
    pairs = hamming_pairs(hashes, distance)
    np.testing.assert_array_equal(pairs, compare_all_pairs(hashes, distance))
    assert len(pairs) >= 100 * 99 // 2


def test_hashes_that_are_all_alike_are_compared_in_blocks() -> None:
    hashes = np.tile(np.arange(4, dtype=np.uint64), (3000, 1))
    hashes[::2, 0] ^= np.uint64(3)
    pairs = hamming_pairs(hashes, 1)
    assert len(pairs) == 2 * (1500 * 1499 // 2)
    assert not ((pairs[:, 1] - pairs[:, 0]) % 2).any()
