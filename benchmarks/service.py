"""How much slower is the service than the grader, and does it lose anything? Both from one run.

    python benchmarks/service.py FOLDER MODEL [--clients 200] [--seconds 60]

FOLDER holds photographs, MODEL is a file of `retinagrade export`. Measured by turns, in six rounds, so that whatever
slows the machine down slows both:

* offline: ``Grader.grade`` on the files;
* the service, in a process of its own: that many clients, each sending one photograph after the other, for a sixth of
  the seconds. Those that it sends away (503) come back as they are told to. The clients use the same processors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from retinagrade import Grader
from retinagrade.images.read import PHOTOGRAPH_SUFFIXES

_PASS = 48
_ROUNDS = 6


@dataclass
class Seen:
    """What the clients saw.

    Attributes:
        latencies: Seconds from sending to the whole answer, of those that were graded.
        statuses: How often each came; ``lost`` for a broken connection.
        memory: Megabytes that the service holds, by second.
        took: Seconds until the last answer.
        used: Seconds of processor time that the service used.
    """

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    memory: list[float] = field(default_factory=list)
    took: float = 0.0
    used: float = 0.0


@dataclass
class Offline:
    """What ``Grader`` did.

    Attributes:
        done: Photographs.
        took: Seconds.
        used: Seconds of processor time.
    """

    done: int = 0
    took: float = 0.0
    used: float = 0.0


def offline(grader: Grader, paths: list[Path], seconds: float, total: Offline) -> None:
    """Grades for some seconds."""
    start, used = time.perf_counter(), time.process_time()
    for place in count(0, _PASS):
        some = [paths[(place + more) % len(paths)] for more in range(_PASS)]
        total.done += len(grader.grade(some))
        if time.perf_counter() - start >= seconds:
            break
    total.took += time.perf_counter() - start
    total.used += time.process_time() - used


def processor_seconds(pid: int) -> float:
    """What a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def request(path: Path) -> bytes:
    """A whole HTTP request, made before time is taken."""
    head = f'--x\r\nContent-Disposition: form-data; name="photographs"; filename="{path.name}"\r\n\r\n'.encode()
    body = head + path.read_bytes() + b"\r\n--x--\r\n"
    return (
        b"POST /v1/grade HTTP/1.1\r\nHost: benchmark\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body


async def client(place: int, host: str, port: int, requests: list[bytes], until: float, seen: Seen) -> None:
    """Sends one photograph after the other, on one connection."""
    reader, writer = await asyncio.open_connection(host, port)
    for turn in count(place):
        if time.perf_counter() >= until:
            break
        start = time.perf_counter()
        try:
            writer.write(requests[turn % len(requests)])
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
        except (OSError, asyncio.IncompleteReadError):
            seen.statuses["lost"] += 1
            reader, writer = await asyncio.open_connection(host, port)
            continue
        seen.statuses[head.split()[1]] += 1
        if head.split()[1] == "200":
            seen.latencies.append(time.perf_counter() - start)
        elif "retry-after" in head:
            await asyncio.sleep(1)
    writer.close()


async def load(pid: int, url: str, requests: list[bytes], clients: int, seconds: float, seen: Seen) -> None:
    """Runs the clients until the last has its answer."""
    address = urlsplit(url)
    start, used = time.perf_counter(), processor_seconds(pid)
    running = asyncio.gather(
        *(
            client(place, address.hostname or "", address.port or 0, requests, start + seconds, seen)
            for place in range(clients)
        )
    )
    while not running.done():
        status = Path(f"/proc/{pid}/status").read_text()
        seen.memory.append(int(status.split("VmRSS:")[1].split()[0]) / 1e3)
        await asyncio.wait([running], timeout=1)
    await running
    seen.took += time.perf_counter() - start
    seen.used += processor_seconds(pid) - used


def main() -> None:
    """Prints both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    asked = parser.parse_args()
    paths = sorted(path for path in asked.folder.rglob("*") if path.suffix.lower() in PHOTOGRAPH_SUFFIXES)
    grader = Grader.load(asked.model)
    grader.grade(paths[:_PASS])
    seen, alone = Seen(), Offline()
    command = [sys.executable, "-m", "retinagrade", "serve", "--port", "0", "--model", asked.model]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as service:
        assert service.stderr is not None
        url = json.loads(service.stderr.readline())["url"]
        # Nobody reads its log while it runs: it goes where it costs what it costs.
        drain = subprocess.Popen(["cat"], stdin=service.stderr, stdout=subprocess.DEVNULL)
        requests = [request(path) for path in paths]
        for _ in range(_ROUNDS):
            offline(grader, paths, asked.seconds / _ROUNDS, alone)
            asyncio.run(load(service.pid, url, requests, asked.clients, asked.seconds / _ROUNDS, seen))
        service.terminate()
        service.wait()
        drain.wait()
    done = len(seen.latencies)
    rate, reference = done / seen.took, alone.done / alone.took
    p50, p99 = np.percentile(seen.latencies, [50, 99])
    print(f"{len(paths)} photographs, {asked.clients} clients, {seen.took:.0f} s")
    print(f"offline: {reference:.1f} photographs/s, {1e3 * alone.used / alone.done:.0f} ms of processor time each")
    print(
        f"service: {rate:.1f} photographs/s, {1e3 * seen.used / done:.0f} ms; {100 * rate / reference:.0f} % of offline"
    )
    print(f"latency: median {p50:.2f} s, p99 {p99:.2f} s")
    print(f"answers: {dict(seen.statuses)}, lost {seen.statuses['lost']}")
    shares = (10, 25, 50, 75, 100)
    held = ", ".join(f"{seen.memory[share * (len(seen.memory) - 1) // 100]:.0f}" for share in shares)
    print(f"memory at {', '.join(map(str, shares))} % of the time: {held} MB; most {max(seen.memory):.0f} MB")


if __name__ == "__main__":
    main()
