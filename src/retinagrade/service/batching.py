"""Items of many callers become batches for one worker that takes several at once faster than one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Collects what concurrent callers bring, and works on one batch at a time.

    A batch begins with the first item that waits, and takes those that come until it is full or ``patience`` is over;
    while a batch is being worked on, the next one fills up by itself. How many items wait is the callers' matter: each
    waits for its own.
    """

    def __init__(
        self, work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], size: int, patience: float
    ) -> None:
        """Makes a batcher; :meth:`start` starts it.

        Args:
            work: From 1 to ``size`` items to their results, in their order. What it raises, all callers of the batch
                get.
            size: Items of a full batch.
            patience: Seconds that the first item of a batch waits for others.
        """
        self._work, self._size, self._patience = work, size, patience
        self._queue: asyncio.Queue[tuple[Item, asyncio.Future[Result]] | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts to work, in the running event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Finishes all that was brought before, then ends."""
        if self._task is not None:
            self._queue.put_nowait(None)
            await self._task

    async def __call__(self, item: Item) -> Result:
        """Brings an item, and waits for its result."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((item, future))
        return await future

    async def _run(self) -> None:
        goes_on = True
        while goes_on and (first := await self._queue.get()) is not None:
            batch = [first]
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    while len(batch) < self._size:
                        if (brought := await self._queue.get()) is None:
                            goes_on = False
                            break
                        batch.append(brought)
            wanted = [(item, future) for item, future in batch if not future.done()]  # else its caller has gone
            if wanted:
                await self._finish(wanted)

    async def _finish(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
        except Exception as error:  # whatever it is, it is the callers', and the next batch goes on
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
