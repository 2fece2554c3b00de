"""Time of Ray compared with local processes, and memory of Ray over many photographs. For Linux.

    python benchmarks/engines.py time FOLDER_OF_FULL_SIZE_PHOTOGRAPHS
    retinagrade data synthesize --out FOLDER --count 10000 --size 128
    python benchmarks/engines.py memory FOLDER

``time`` prepares 400 photographs with two workers, by turns, and measures the time from the tenth result to the last
one, so that start-up doesn't count. It prints wall-clock seconds, and seconds of a core of all processes together,
which other work on the machine changes less. ``memory`` prepares a data set with Ray, and prints memory after every
thousandth photograph: the resident, unshared memory of the process that hands out the work, of the largest worker and
of all processes of Ray, and the use of its object store.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import ray

from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.prepare_file import crashed_file, prepare_file
from retinagrade.execution.engine import Engine, WorkItem, WorkResult
from retinagrade.execution.local import map_unordered
from retinagrade.execution.ray_engine import RayEngine
from retinagrade.images.prepare import PreparationSettings

PHOTOGRAPHS, ROUNDS, WARM = 400, 7, 10
EVERY = 1000
TICK, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def descendants(process: int) -> list[int]:
    """Returns the processes that a process has started, directly or indirectly."""
    children = Path(f"/proc/{process}/task/{process}/children")
    started = [int(child) for child in children.read_text().split()] if children.exists() else []
    return started + [below for child in started for below in descendants(child)]


def core_seconds() -> float:
    """Returns the seconds of a core that this process and its descendants have used, ended ones included."""
    ticks = 0
    for process in [os.getpid(), *descendants(os.getpid())]:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / TICK


def timed(results: Iterable[object]) -> tuple[float, float]:
    """Returns wall-clock seconds and seconds of a core from the tenth result to the last one."""
    start = end = (0.0, 0.0)
    for count, _ in enumerate(results, 1):
        if count == WARM:
            start = time.perf_counter(), core_seconds()
        elif count == PHOTOGRAPHS:
            end = time.perf_counter(), core_seconds()
    return end[0] - start[0], end[1] - start[1]


def compare(folder: Path) -> None:
    """Prints the times of Ray and of local processes, and their ratio."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    items = [(str(number), path.name, path) for number, path in enumerate(islice(cycle(paths), PHOTOGRAPHS))]
    engines: dict[str, Engine] = {"local": map_unordered, "Ray": RayEngine()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    with tempfile.TemporaryDirectory() as out:
        work = partial(prepare_file, settings=PreparationSettings(512), out=Path(out))
        for _ in range(ROUNDS):
            for name, engine in engines.items():
                times[name].append(timed(engine(work, items, 2, crashed_file)))
    for index, unit in enumerate(("by the clock", "of a core")):
        ratios = [ray[index] / local[index] for local, ray in zip(times["local"], times["Ray"], strict=True)]
        for name, rounds in times.items():
            print(f"{name:6}{statistics.median(one[index] for one in rounds):8.2f} s {unit}, median of {ROUNDS}")
        print(f"Ray / local {unit}: median {statistics.median(ratios):.2f}; " + " ".join(f"{r:.2f}" for r in ratios))


def watched(
    work: Callable[[WorkItem], WorkResult],
    items: Iterable[WorkItem],
    workers: int | None,
    crashed: Callable[[WorkItem], WorkResult],
) -> Iterator[WorkResult]:
    """Runs the engine on Ray, and prints its memory."""
    start = time.perf_counter()
    print("photographs   driver MB   largest worker MB   all of Ray MB   object store MB   photographs/s")
    for done, result in enumerate(RayEngine()(work, items, workers, crashed), 1):
        if done % EVERY == 0:
            memory = {each: megabytes(each) for each in descendants(os.getpid())}
            workers_of = [
                each for each in memory if Path(f"/proc/{each}/cmdline").read_bytes().startswith(b"ray::_apply")
            ]
            resources = ray.cluster_resources(), ray.available_resources()  # type: ignore[no-untyped-call]
            total, free = (each.get("object_store_memory", 0.0) for each in resources)
            print(
                f"{done:11}{megabytes(os.getpid()):12.0f}{max((memory[each] for each in workers_of), default=0):20.0f}"
                f"{sum(memory.values()):16.0f}{(total - free) / 1e6:18.1f}{done / (time.perf_counter() - start):16.0f}",
                flush=True,
            )
        yield result


def megabytes(process: int) -> float:
    """Returns the resident, unshared memory of a process."""
    _, resident, shared, *_ = map(int, Path(f"/proc/{process}/statm").read_text().split())
    return (resident - shared) * PAGE / 1e6


def main() -> None:
    """Measures and prints."""
    folder = Path(sys.argv[2]).resolve()
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # by default, Ray's workers have a low priority (15)
    ray.init("local", num_cpus=2, object_store_memory=100 << 20, include_dashboard=False, logging_level=40)
    if sys.argv[1] == "time":
        compare(folder)
        return
    with tempfile.TemporaryDirectory() as out:
        done = prepare(folder, Path(out), size=128, engine=watched)
    print(f"{done.prepared} prepared, {len(done.failed)} failed")


if __name__ == "__main__":
    main()
