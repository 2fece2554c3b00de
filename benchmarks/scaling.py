"""How long do many photographs take, what do they cost, and what is in the way? The tables of ``docs/scaling.md``.

    python benchmarks/scaling.py [RATES.json]

Costs of every stage on one core are measured (``rates.py``); everything in :data:`ASSUMED`, and every :class:`Storage`,
is not. Photographs are followed through the process that gives them out, the network to and from the storage, and the
workers' cores, each of which does one thing after the other; the busiest of these is the bottleneck.
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
FOLLOWED: Final = 5_000
"""Photographs that are followed; rates are theirs."""


@dataclass(frozen=True)
class Storage:
    """Where photographs lie.

    Attributes:
        name: What it is.
        latency: Seconds until a request is answered.
        requests: Requests for a photograph to come and its result to go.
        bandwidth: Bytes a second, all workers together.
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
    """What is done to a photograph.

    Attributes:
        name: The command.
        core: Seconds of a worker's core.
        given: Seconds of the one process that gives work out and keeps the records.
        out: Bytes of the result.
    """

    name: str
    core: float
    given: float
    out: float


def simulate(stage: Stage, storage: Storage, cores: int, calls: int = 1) -> tuple[float, str]:
    """Follows photographs through all that they need.

    Args:
        stage: What is done.
        storage: Where the photographs are.
        cores: Cores of all workers. Photographs under way are so many more (``--workers``) that cores needn't wait for
            answers of the storage.
        calls: Commands side by side, each on a part of the photographs.

    Returns:
        Photographs a second, and what was busy the largest share of the time.
    """
    giver = network = 0.0
    answer = storage.latency * storage.requests
    moving = (ASSUMED["photograph"] + stage.out) / storage.bandwidth
    slots, free = [0.0] * (cores * math.ceil(1 + (answer + moving) / stage.core)), [0.0] * cores
    ends: list[float] = []
    for _ in range(FOLLOWED):
        giver += stage.given / calls
        start = max(giver, heapq.heappop(slots))
        network = max(network, start + answer) + moving
        end = max(network, heapq.heappop(free)) + stage.core
        heapq.heappush(free, end)
        heapq.heappush(slots, end)
        ends.append(end)
    ends.sort()
    rate = (FOLLOWED - FOLLOWED // 2) / (ends[-1] - ends[FOLLOWED // 2 - 1])
    busy = {
        "cores": rate * stage.core / cores,
        "network": rate * moving,
        "giving out": rate * stage.given / calls,
    }
    return rate, max(busy, key=lambda name: round(busy[name], 2))


def stages(rates: dict[str, Any]) -> list[Stage]:
    """The commands that Ray runs, from what was measured."""
    seconds, sizes = rates["seconds"], rates["bytes"]
    return [
        Stage("prepare", seconds["prepare"], seconds["task"] + seconds["record"], sizes["prepared"]),
        Stage("data check", seconds["check"], seconds["task"], 0.0),
        Stage("grade", seconds["grade"], seconds["task"], 0.0),
    ]


def throughput(stage: Stage) -> list[str]:
    """A Markdown table: photographs a second against workers and storage."""
    places = (DISK, FOLDER, STORE, FAST)
    lines = ["| cores | " + " | ".join(place.name for place in places) + " |", "|---" * (len(places) + 1) + "|"]
    for cores in (1, 2, 8, 32, 128, 512):
        cells = []
        for place in places:
            rate, limit = simulate(stage, place, cores)
            cells.append(f"{significant(rate)} ({limit})")
        lines.append(f"| {cores} | " + " | ".join(cells) + " |")
    return lines


def plans(every: list[Stage], pair: float) -> list[str]:
    """A Markdown table: time and money for three numbers of photographs."""
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
    """Two digits that count, thousands apart."""
    return f"{float(f'{value:.2g}'):,.10g}"


def main() -> None:
    """Prints the tables."""
    rates = json.loads((Path(sys.argv[1]) if len(sys.argv) > 1 else RATES).read_text())
    every = stages(rates)
    print(f"Measured on {rates['about']['date']}:\n")
    print("| | seconds of one core | a second |", "|---|---|---|", sep="\n")
    for name, seconds in rates["seconds"].items():
        print(f"| {name} | {seconds:.2g} | {significant(1 / seconds)} |")
    print("\n`prepare`, photographs a second:\n", *throughput(every[0]), sep="\n")
    print("", *plans(every, rates["seconds"]["pair"]), sep="\n")
    gigabytes = {"photographs": ASSUMED["photograph"], "prepared": rates["bytes"]["prepared"]}
    for what, each in gigabytes.items():
        monthly = each * 1e6 / 1e9 * ASSUMED["gigabyte-month"]
        print(f"\nA million {what}: {significant(each * 1e6 / 1e9)} GB, {significant(monthly)} dollars a month.")


if __name__ == "__main__":
    main()
