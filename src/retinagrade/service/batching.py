"""Batching: items of many callers become batches for a worker that is faster on several items at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Collects items of concurrent callers and processes one batch at a time.

    A batch starts with the first waiting item and takes further items until it is full or ``patience`` is over. While
    one batch is processed, the next one fills up. The queue has no limit; callers must limit the items that they add.
    """

    def __init__(
        self, work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], size: int, patience: float
    ) -> None:
        """Creates a batcher; :meth:`start` starts it.

        Args:
            work: Function from 1 to ``size`` items to their results, in their order. All callers of a batch get its
                exception.
            size: Items of a full batch.
            patience: Seconds that the first item of a batch waits for more.
        """
        self._work, self._size, self._patience = work, size, patience
        self._queue: asyncio.Queue[tuple[Item, asyncio.Future[Result]] | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts processing, in the running event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Finishes all items that were added before, then ends."""
        if self._task is not None:
            self._queue.put_nowait(None)
            await self._task

    async def __call__(self, item: Item) -> Result:
        """Adds an item and waits for its result."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((item, future))
        return await future

    async def _run(self) -> None:
        running = True
        while running and (first := await self._queue.get()) is not None:
            batch = [first]
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    while len(batch) < self._size:
                        if (entry := await self._queue.get()) is None:
                            running = False
                            break
                        batch.append(entry)
            wanted = [(item, future) for item, future in batch if not future.done()]  # cancelled callers are gone
            if wanted:
                await self._process(wanted)

    async def _process(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
        except Exception as error:  # it belongs to the callers; the next batch continues
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
