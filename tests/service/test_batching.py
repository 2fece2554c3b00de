"""Every caller gets its own result, from batches that are neither too large nor too late."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.service.batching import Batcher

FOREVER = 3600.0
Work = Callable[[Sequence[int]], Awaitable[list[int]]]


def doubling(batches: list[list[int]]) -> Work:
    async def work(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        await asyncio.sleep(0)
        return [2 * item for item in items]

    return work


@given(st.lists(st.integers(), max_size=40), st.integers(1, 9))
def test_every_caller_gets_its_own_result(items: list[int], size: int) -> None:
    batches: list[list[int]] = []

    async def run() -> list[int]:
        batcher = Batcher(doubling(batches), size, patience=0)
        batcher.start()
        results = await asyncio.gather(*map(batcher, items))
        await batcher.stop()
        return results

    assert asyncio.run(run()) == [2 * item for item in items]
    assert [item for batch in batches for item in batch] == items
    assert all(1 <= len(batch) <= size for batch in batches)


def test_a_full_batch_starts_at_once_and_a_single_item_after_the_patience() -> None:
    batches: list[list[int]] = []

    async def run() -> None:
        patient = Batcher(doubling(batches), 3, FOREVER)
        patient.start()
        await asyncio.gather(*map(patient, range(6)))
        hasty = Batcher(doubling(batches), 3, 0.001)
        hasty.start()
        assert await hasty(7) == 14
        await asyncio.gather(patient.stop(), hasty.stop())

    asyncio.run(run())
    assert batches == [[0, 1, 2], [3, 4, 5], [7]]


def test_the_next_batch_fills_up_during_the_current_one() -> None:
    sizes: list[int] = []

    async def run() -> None:
        gate = asyncio.Event()

        async def work(items: Sequence[int]) -> list[int]:
            sizes.append(len(items))
            await gate.wait()
            return list(items)

        batcher = Batcher(work, 8, patience=0)
        batcher.start()
        first = asyncio.create_task(batcher(0))
        while not sizes:
            await asyncio.sleep(0)
        waiting = [asyncio.create_task(batcher(item)) for item in range(1, 6)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, *waiting)
        await batcher.stop()

    asyncio.run(run())
    assert sizes == [1, 5]


def test_an_error_affects_its_own_batch_only() -> None:
    async def work(items: Sequence[int]) -> list[int]:
        return [12 // item for item in items]

    async def run() -> None:
        batcher = Batcher(work, 2, FOREVER)
        batcher.start()
        results = await asyncio.gather(*map(batcher, (0, 3, 4, 6)), return_exceptions=True)
        assert [type(result) for result in results] == [ZeroDivisionError, ZeroDivisionError, int, int]
        await batcher.stop()

    asyncio.run(run())


def test_items_of_cancelled_callers_are_dropped() -> None:
    batches: list[list[int]] = []

    async def run() -> None:
        batcher = Batcher(doubling(batches), 2, FOREVER)
        gone = asyncio.create_task(batcher(1))
        await asyncio.sleep(0)
        gone.cancel()
        batcher.start()
        assert await batcher(2) == 4
        await batcher.stop()
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(run())
    assert batches == [[2]]


def test_stopping_finishes_the_added_items() -> None:
    batches: list[list[int]] = []

    async def run() -> None:
        batcher = Batcher(doubling(batches), 4, FOREVER)
        batcher.start()
        added = [asyncio.create_task(batcher(item)) for item in range(7)]
        await asyncio.sleep(0)
        await batcher.stop()
        assert await asyncio.gather(*added) == [2 * item for item in range(7)]

    asyncio.run(run())
    assert batches == [[0, 1, 2, 3], [4, 5, 6]]
