"""Search for pairs of hashes that differ in few bits: with an index where it helps, else by comparing all pairs.

Source: M. Norouzi, A. Punjani and D. Fleet, "Fast exact search in Hamming space with multi-index hashing", IEEE
Transactions on Pattern Analysis and Machine Intelligence 36(6), 2014.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, combinations, pairwise
from math import comb
from typing import Final

import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 1 << 20
"""Candidates that are compared at a time."""
_ROWS: Final = 32
_COLUMNS: Final = 4096
"""Rows and columns of a block of the exhaustive comparison; its bits fit into a processor's cache."""
_SAMPLE: Final = 600
"""Hashes from which the number of candidates is estimated."""
_WIDEST: Final = 24
"""Most bits of a band: a table has an entry for each value that a band can have."""
_EXHAUSTIVE, _CANDIDATE, _PROBE = 3.0, 15.0, 15.0
"""Nanoseconds, about, to compare two hashes in a block, to compare two candidates, and to look a band's value up."""


@dataclass(frozen=True)
class _Band:
    """Some of the bits of all hashes.

    Attributes:
        columns: The bits, as columns of the unpacked hashes.
        radius: Bits of the band in which two candidates may differ.
    """

    columns: NDArray[np.int64]
    radius: int

    def masks(self) -> Iterator[int]:
        """Yields each way to differ in up to ``radius`` bits, as a number."""
        for count in range(self.radius + 1):
            for bits in combinations(range(len(self.columns)), count):
                yield sum(1 << bit for bit in bits)


def hamming_pairs(hashes: NDArray[np.uint64], distance: int) -> NDArray[np.int64]:
    """Finds all pairs of hashes that differ in few bits, exactly.

    Two hashes that differ in at most 28 bits differ in at most 2 bits of some band, when 13 bands share the bits. So
    hashes are sorted by the value of each band in turn, and only those whose values differ in few bits are compared.
    Bits that are the same in all hashes don't count, and bands share those that tell hashes apart best. Where hashes
    are so alike that most pairs would be candidates, or there are few hashes, all are compared with all, on all
    processors. A sample decides between the two ways.

    Memory grows only with the number of hashes and of pairs in the result. A cluster of k
    nearly identical hashes has k²/2 pairs, which no index can avoid.

    Args:
        hashes: Bits of each hash, (N, W) uint64.
        distance: Largest number of bits in which two hashes of a pair differ.

    Returns:
        Rows of ``hashes``, (P, 2) int64: the smaller row of each pair first, in ascending order.
    """
    columns = _informative_bits(hashes)
    bands = _choose_bands(hashes, columns, distance)
    if not bands:
        return compare_all_pairs(hashes, distance)
    words = _pack(hashes, columns, np.dtype(np.uint64))
    return _in_order(_search_bands(hashes, words, bands, distance))


def compare_all_pairs(hashes: NDArray[np.uint64], distance: int) -> NDArray[np.int64]:
    """Compares all hashes with all others, on all processors; arguments and result as for :func:`hamming_pairs`."""
    words = _pack(hashes, _informative_bits(hashes), np.dtype(np.uint64))
    with ThreadPoolExecutor(_threads()) as pool:
        blocks = pool.map(partial(_compare_rows, words, distance), range(0, words.shape[1], _ROWS))
        return _in_order(chain.from_iterable(blocks))


def _in_order(blocks: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *blocks])
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _informative_bits(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Returns the bits that differ between hashes, those nearest to one half first, as columns of unpacked hashes."""
    ones = np.zeros(64 * hashes.shape[1], np.int64)
    for part in _unpacked(hashes):
        ones += part.sum(axis=0, dtype=np.int64)
    varying = np.flatnonzero((ones > 0) & (ones < len(hashes)))
    return varying[np.argsort(np.abs(2 * ones[varying] - len(hashes)), kind="stable")]


def _unpacked(hashes: NDArray[np.uint64]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(hashes), BLOCK >> 4):
        yield np.unpackbits(np.ascontiguousarray(hashes[start : start + (BLOCK >> 4)]).view(np.uint8), axis=1)


def _pack(
    hashes: NDArray[np.uint64], columns: NDArray[np.int64], dtype: np.dtype[np.uint64] | np.dtype[np.uint32]
) -> NDArray[np.unsignedinteger]:
    """Packs some bits of all hashes into numbers (V, N), where V is as small as can be, and at least 1."""
    size = 8 * dtype.itemsize
    count = max(1, -(-len(columns) // size))
    packed = np.zeros((count, len(hashes)), dtype)
    start = 0
    for part in _unpacked(hashes):
        chosen = np.zeros((len(part), count * size), np.uint8)
        chosen[:, : len(columns)] = part[:, columns]
        packed[:, start : start + len(part)] = np.packbits(chosen, axis=1, bitorder="little").view(dtype).T
        start += len(part)
    return packed


def _divide(columns: NDArray[np.int64], count: int, distance: int) -> list[_Band]:
    """Deals the most informative bits out to bands.

    Hashes that differ in more bits than the radius of every band differ in at least as many bits as the sum of all
    radii plus one bit for each band. The radii are such that this is one bit more than the distance.
    """
    least, larger = divmod(distance - count + 1, count)
    radii = [least + 1] * larger + [least] * (count - larger)
    used = columns[: count * _WIDEST]
    return [_Band(used[start::count], radius) for start, radius in enumerate(radii) if radius >= 0]


def _choose_bands(hashes: NDArray[np.uint64], columns: NDArray[np.int64], distance: int) -> list[_Band]:
    """Chooses the number of bands that makes the search cheapest; none where all pairs are better compared."""
    total = len(hashes)
    sample = hashes[:: max(1, total // _SAMPLE)]
    if total < 4 * _SAMPLE:
        return []
    first, second = np.triu_indices(len(sample), 1)
    best: list[_Band] = []
    lowest = _EXHAUSTIVE * total**2 / 2 / _threads()
    for count in range(1, min(distance + 1, len(columns)) + 1):
        bands = _divide(columns, count, distance)
        cost = 0.0
        for band in bands:
            keys = _pack(sample, band.columns, np.dtype(np.uint32))[0]
            close = np.count_nonzero(np.bitwise_count(keys[first] ^ keys[second]) <= band.radius)
            share = (close + 1) / len(first)
            probes = sum(comb(len(band.columns), differing) for differing in range(band.radius + 1))
            cost += _CANDIDATE * share * total**2 / 2 + _PROBE * probes * total
        if cost < lowest:
            best, lowest = bands, cost
    return best


def _search_bands(
    hashes: NDArray[np.uint64], words: NDArray[np.unsignedinteger], bands: Sequence[_Band], distance: int
) -> Iterator[NDArray[np.int64]]:
    keys = np.stack([_pack(hashes, band.columns, np.dtype(np.uint32))[0] for band in bands])
    for number, band in enumerate(bands):
        order = np.argsort(keys[number], kind="stable")
        in_order = np.ascontiguousarray(words[:, order])
        for first, second in _candidates(keys[number][order], band):
            close = _close(in_order, first, second, distance)
            one, other = order[first[close]], order[second[close]]
            # Only the first band that finds a pair reports it.
            new = np.ones(len(one), bool)
            for earlier in range(number):
                differing = np.bitwise_count(keys[earlier][one] ^ keys[earlier][other])
                new &= differing > bands[earlier].radius
            yield np.stack([np.minimum(one, other)[new], np.maximum(one, other)[new]], axis=1)


def _candidates(keys: NDArray[np.uint32], band: _Band) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yields blocks of pairs of positions in sorted keys whose keys differ in up to ``band.radius`` bits."""
    starts = np.flatnonzero(np.diff(keys, prepend=keys[0] ^ 1))
    distinct, counts = keys[starts], np.diff(starts, append=len(keys))
    table = np.full(1 << len(band.columns), -1, np.int32)
    table[distinct] = np.arange(len(distinct), dtype=np.int32)
    rows = np.arange(len(keys))
    bucket = np.repeat(np.arange(len(distinct)), counts)
    for mask in band.masks():
        if mask == 0:
            yield from _blocks(rows, rows + 1, (starts + counts)[bucket])
            continue
        partner = table[distinct ^ np.uint32(mask)]
        later = partner > np.arange(len(distinct))
        if later.any():
            chosen = rows[later[bucket]]
            other = partner[bucket[chosen]]
            yield from _blocks(chosen, starts[other], (starts + counts)[other])


def _blocks(
    rows: NDArray[np.int64], begins: NDArray[np.int64], ends: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yields each row with every position from its begin to its end, about :data:`BLOCK` pairs at a time."""
    totals = np.cumsum(ends - begins)
    cuts = np.unique(np.searchsorted(totals, np.arange(0, totals[-1] + BLOCK, BLOCK), side="right"))
    for low, high in pairwise(cuts):
        lengths = ends[low:high] - begins[low:high]
        offsets = np.cumsum(lengths) - lengths
        first = np.repeat(rows[low:high], lengths)
        yield first, np.arange(len(first)) + np.repeat(begins[low:high] - offsets, lengths)


def _close(
    words: NDArray[np.unsignedinteger], first: NDArray[np.int64], second: NDArray[np.int64], distance: int
) -> NDArray[np.int64]:
    """Returns the numbers of those pairs whose hashes differ in few bits; most drop out after the first words."""
    left = np.arange(len(first))
    differing = np.zeros(len(first), np.uint16)
    for word in words:
        differing = differing[...] + np.bitwise_count(word[first[left]] ^ word[second[left]])
        keep = differing <= distance
        left, differing = left[keep], differing[keep]
    return left


def _compare_rows(words: NDArray[np.unsignedinteger], distance: int, start: int) -> list[NDArray[np.int64]]:
    """Compares some rows with themselves and all later ones."""
    blocks = []
    for column in range(start, words.shape[1], _COLUMNS):
        rows, columns = words[:2, start : start + _ROWS, None], words[:2, None, column : column + _COLUMNS]
        differing = np.bitwise_count(rows[0] ^ columns[0])
        for row, other in zip(rows[1:], columns[1:], strict=True):
            differing += np.bitwise_count(row ^ other)
        first, second = np.divmod(np.flatnonzero(differing <= distance), differing.shape[1])
        first, second = first + start, second + column
        ahead = second > first
        first, second = first[ahead], second[ahead]
        close = _close(words, first, second, distance)
        blocks.append(np.stack([first[close], second[close]], axis=1))
    return blocks


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
