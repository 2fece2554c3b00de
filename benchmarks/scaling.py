"""Time, cost and bottleneck of work on many photographs: the tables of ``docs/scaling.md``.

    python benchmarks/scaling.py [RATES.json]

The costs of each stage on one core are measured (``rates.py``); the values in :data:`ASSUMED` and of each
:class:`Storage` are assumptions. A simulation follows photographs through the process that hands them out, the network
to and from the storage, and the cores of the workers. Each of them does one thing at a time; the busiest one is the
bottleneck.
"""

from __future__ import annotations

import heapq
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

RATES: Final = Path(__file__).with_suffix(".json")

ASSUMED: Final = {
    "photograph": 1.0e6,  # bytes; EyePACS: 89 GB of 88,702 photographs
    "core-hour": 0.05,  # dollars, as a cloud's list prices begin
    "gigabyte-month": 0.023,  # dollars, of an object store
    "thousand reads": 0.0004,
    "thousand writes": 0.005,
}
SIMULATED: Final = 5_000
"""Number of simulated photographs."""


@dataclass(frozen=True)
class Storage:
    """A storage of photographs.

    Attributes:
        name: Description.
        latency: Seconds until a request is answered.
        requests: Requests to read a photograph and write its result.
        bandwidth: Bytes a second of all workers together.
    """

    name: str
    latency: float
    requests: int
    bandwidth: float


DISK: Final = Storage("a disk of the machine", 0.0001, 2, 500e6)
FOLDER: Final = Storage("a shared folder, 1 Gbit/s", 0.001, 3, 125e6)
STORE: Final = Storage("an object store, 10 Gbit/s", 0.03, 3, 1.25e9)
FAST: Final = Storage("an object store, 100 Gbit/s", 0.03, 3, 12.5e9)


@dataclass(frozen=True)
class Stage:
    """A command that works on each photograph.

    Attributes:
        name: The command.
        core: Seconds of a worker's core.
        dispatch: Seconds of the one process that hands out work and keeps the records.
        out: Bytes of the result.
    """

    name: str
    core: float
    dispatch: float
    out: float


def simulate(stage: Stage, storage: Storage, cores: int, calls: int = 1) -> tuple[float, str]:
    """Simulates the work on photographs.

    Args:
        stage: The command.
        storage: Storage of the photographs and results.
        cores: Cores of all workers. There are so many more photographs at a time (``--workers``) that no core waits for
            the storage.
        calls: Simultaneous commands, each on a part of the photographs.

    Returns:
        Photographs a second, and the name of the busiest resource.
    """
    dispatcher = network = 0.0
    answer = storage.latency * storage.requests
    moving = (ASSUMED["photograph"] + stage.out) / storage.bandwidth
    slots, free = [0.0] * (cores * math.ceil(1 + (answer + moving) / stage.core)), [0.0] * cores
    ends: list[float] = []
    for _ in range(SIMULATED):
        dispatcher += stage.dispatch / calls
        start = max(dispatcher, heapq.heappop(slots))
        network = max(network, start + answer) + moving
        end = max(network, heapq.heappop(free)) + stage.core
        heapq.heappush(free, end)
        heapq.heappush(slots, end)
        ends.append(end)
    ends.sort()
    rate = (SIMULATED - SIMULATED // 2) / (ends[-1] - ends[SIMULATED // 2 - 1])
    busy = {
        "cores": rate * stage.core / cores,
        "network": rate * moving,
        "handing out": rate * stage.dispatch / calls,
    }
    return rate, max(busy, key=lambda name: round(busy[name], 2))


def stages(rates: dict[str, Any]) -> list[Stage]:
    """Returns the commands that Ray runs, with their measured costs."""
    seconds, sizes = rates["seconds"], rates["bytes"]
    return [
        Stage("prepare", seconds["prepare"], seconds["task"] + seconds["record"], sizes["prepared"]),
        Stage("data check", seconds["check"], seconds["task"], 0.0),
        Stage("grade", seconds["grade"], seconds["task"], 0.0),
    ]


def throughput(stage: Stage) -> list[str]:
    """Returns a Markdown table: photographs a second by cores and storage."""
    storages = (DISK, FOLDER, STORE, FAST)
    lines = ["| cores | " + " | ".join(storage.name for storage in storages) + " |", "|---" * (len(storages) + 1) + "|"]
    for cores in (1, 2, 8, 32, 128, 512):
        cells = []
        for storage in storages:
            rate, limit = simulate(stage, storage, cores)
            cells.append(f"{significant(rate)} ({limit})")
        lines.append(f"| {cores} | " + " | ".join(cells) + " |")
    return lines


def plans(every: list[Stage], pair: float) -> list[str]:
    """Returns a Markdown table: time and money for three numbers of photographs."""
    lines = ["| photographs | command | cores | calls | hours | dollars | bottleneck |", "|---" * 7 + "|"]
    cases = (
        (88_702, DISK, 2, 1),
        (88_702, STORE, 32, 1),
        (1_000_000, STORE, 32, 1),
        (100_000_000, FAST, 512, 1),
        (100_000_000, FAST, 512, 100),
    )
    for count, storage, cores, calls in cases:
        for stage in every:
            rate, limit = simulate(stage, storage, cores, calls)
            seconds, alone = count / rate, 0.0
            if stage.name == "data check":
                alone = count / calls * (count / calls - 1) / 2 * pair
                limit = "comparing pairs" if alone > seconds else limit
            hours = (seconds + alone) / 3600
            price = (seconds * (cores + calls) + alone * calls) / 3600 * ASSUMED["core-hour"]
            if storage.latency >= STORE.latency:
                price += count / 1000 * (2 * ASSUMED["thousand reads"] + (stage.out > 0) * ASSUMED["thousand writes"])
            lines.append(
                f"| {count:,} on {storage.name} | {stage.name} | {cores} | {calls} | {significant(hours)} | "
                f"{significant(price)} | {limit} |"
            )
    return lines


def significant(value: float) -> str:
    """Formats a number with two significant digits and separated thousands."""
    return f"{float(f'{value:.2g}'):,.10g}"


def main() -> None:
    """Prints the tables."""
    rates = json.loads((Path(sys.argv[1]) if len(sys.argv) > 1 else RATES).read_text())
    every = stages(rates)
    print(f"Measured on {rates['metadata']['date']}:\n")
    print("| | seconds of one core | a second |", "|---|---|---|", sep="\n")
    for name, seconds in rates["seconds"].items():
        print(f"| {name} | {seconds:.2g} | {significant(1 / seconds)} |")
    print("\n`prepare`, photographs a second:\n", *throughput(every[0]), sep="\n")
    print("", *plans(every, rates["seconds"]["pair"]), sep="\n")
    gigabytes = {"photographs": ASSUMED["photograph"], "prepared": rates["bytes"]["prepared"]}
    for name, each in gigabytes.items():
        monthly = each * 1e6 / 1e9 * ASSUMED["gigabyte-month"]
        print(f"\nA million {name}: {significant(each * 1e6 / 1e9)} GB, {significant(monthly)} dollars a month.")


if __name__ == "__main__":
    main()
