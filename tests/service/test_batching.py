"""Callers get their own results, in batches that are neither too large nor late, whatever happens to the others."""

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
def test_everybody_gets_their_own_result(items: list[int], size: int) -> None:
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


def test_a_full_batch_waits_for_nobody_and_a_lone_item_not_for_ever() -> None:
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


def test_while_one_batch_is_worked_on_the_next_one_fills_up() -> None:
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
        others = [asyncio.create_task(batcher(item)) for item in range(1, 6)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, *others)
        await batcher.stop()

    asyncio.run(run())
    assert sizes == [1, 5]


def test_an_error_is_that_batchs_own() -> None:
    async def work(items: Sequence[int]) -> list[int]:
        return [12 // item for item in items]

    async def run() -> None:
        batcher = Batcher(work, 2, FOREVER)
        batcher.start()
        results = await asyncio.gather(*map(batcher, (0, 3, 4, 6)), return_exceptions=True)
        assert [type(result) for result in results] == [ZeroDivisionError, ZeroDivisionError, int, int]
        await batcher.stop()

    asyncio.run(run())


def test_who_has_gone_is_not_worked_for() -> None:
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


def test_stopping_finishes_what_was_brought() -> None:
    batches: list[list[int]] = []

    async def run() -> None:
        batcher = Batcher(doubling(batches), 4, FOREVER)
        batcher.start()
        brought = [asyncio.create_task(batcher(item)) for item in range(7)]
        await asyncio.sleep(0)
        await batcher.stop()
        assert await asyncio.gather(*brought) == [2 * item for item in range(7)]

    asyncio.run(run())
    assert batches == [[0, 1, 2, 3], [4, 5, 6]]
