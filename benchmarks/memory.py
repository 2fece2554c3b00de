"""Does memory stay flat while Ray prepares many photographs? For Linux.

    retinagrade data synthesize FOLDER --count 10000 --size 128
    python benchmarks/memory.py FOLDER

Prints, after every thousandth photograph, the resident memory of the process that gives out the work, of the largest
worker, of all of Ray, and what lies in its object store.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import ray

from retinagrade.datasets.layouts import read_source
from retinagrade.datasets.parallel import Item, Result
from retinagrade.datasets.prepare import prepare
from retinagrade.scale.engine import RayEngine

EVERY = 1000
PAGE = os.sysconf("SC_PAGE_SIZE")


def megabytes(process: int) -> float:
    """Resident memory of a process, less what it shares."""
    _, resident, shared, *_ = map(int, Path(f"/proc/{process}/statm").read_text().split())
    return (resident - shared) * PAGE / 1e6


def descendants(process: int) -> list[int]:
    """All processes that this one has started, and they."""
    children = Path(f"/proc/{process}/task/{process}/children")
    found = [int(child) for child in children.read_text().split()] if children.exists() else []
    return found + [below for child in found for below in descendants(child)]


def watched(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int | None, crashed: Callable[[Item], Result]
) -> Iterator[Result]:
    """Ray's engine, looked at."""
    start = time.perf_counter()
    print("photographs   driver MB   largest worker MB   all of Ray MB   object store MB   photographs/s")
    for done, result in enumerate(RayEngine()(work, items, workers, crashed), 1):
        if done % EVERY == 0:
            of = {each: megabytes(each) for each in descendants(os.getpid())}
            named = {each: Path(f"/proc/{each}/cmdline").read_bytes() for each in of}
            largest = max(of[each] for each, name in named.items() if name.startswith(b"ray::"))
            resources = ray.cluster_resources(), ray.available_resources()  # type: ignore[no-untyped-call]
            total, free = (each.get("object_store_memory", 0.0) for each in resources)
            print(
                f"{done:11}{megabytes(os.getpid()):12.0f}{largest:20.0f}{sum(of.values()):16.0f}"
                f"{(total - free) / 1e6:18.1f}{done / (time.perf_counter() - start):16.0f}",
                flush=True,
            )
        yield result


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as out:
        done = prepare(read_source(Path(sys.argv[1])), Path(out), size=128, workers=2, engine=watched)
        print(f"{done.prepared} prepared, {len(done.failed)} failed")
