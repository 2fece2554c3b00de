"""Compares the throughput of the service with that of the grader, and counts lost requests, in one run.

    python benchmarks/service.py FOLDER MODEL [--clients 200] [--seconds 60] [--workers 1] [--service-only]

FOLDER holds photographs; MODEL is a grader file. Both sides take turns in six rounds:

* the grader: ``Grader.grade`` on the files;
* the service, in a separate process, with clients that each send one photograph after the other. A client that gets
  status 503 tries again after a second. The clients use the same processors.
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
from retinagrade.images.formats import PHOTOGRAPH_SUFFIXES

_BLOCK = 48
_ROUNDS = 6


@dataclass
class ServiceLoad:
    """Measurements of the service.

    Attributes:
        latencies: Seconds from sending a photograph to the complete response, for graded photographs.
        statuses: Number of responses by status; ``lost`` counts broken connections.
        memory: Memory of all processes of the service in megabytes, once per second; shared pages count once.
        seconds: Seconds until the last response.
        processor_seconds: Processor time of all processes of the service in seconds.
    """

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    memory: list[float] = field(default_factory=list)
    seconds: float = 0.0
    processor_seconds: float = 0.0


@dataclass
class GraderLoad:
    """Measurements of ``Grader``.

    Attributes:
        photographs: Number of graded photographs.
        seconds: Seconds for all of them.
        processor_seconds: Processor time in seconds.
    """

    photographs: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0


def load_grader(grader: Grader, paths: list[Path], seconds: float, total: GraderLoad) -> None:
    """Grades photographs for some seconds."""
    start, start_time = time.perf_counter(), time.process_time()
    for first in count(0, _BLOCK):
        block = [paths[(first + index) % len(paths)] for index in range(_BLOCK)]
        total.photographs += len(grader.grade(block))
        if time.perf_counter() - start >= seconds:
            break
    total.seconds += time.perf_counter() - start
    total.processor_seconds += time.process_time() - start_time


def processes(pid: int) -> list[int]:
    """Returns a process and all that it has started, and they."""
    started = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(below for each in started for below in processes(int(each)))]


def processor_seconds(pid: int) -> float:
    """Returns the processor time of a process, and of those that it has started, in seconds."""
    fields = [Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split() for each in processes(pid)]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def megabytes(pid: int) -> float:
    """Returns the memory of a process, and of those that it has started; a shared page counts once."""
    sizes = [Path(f"/proc/{each}/smaps_rollup").read_text().split("\nPss:")[1].split()[0] for each in processes(pid)]
    return sum(map(int, sizes)) / 1e3


def request(path: Path, host: str) -> bytes:
    """Returns a complete HTTP request; it is made before the measurement."""
    head = f'--x\r\nContent-Disposition: form-data; name="photographs"; filename="{path.name}"\r\n\r\n'.encode()
    body = head + path.read_bytes() + b"\r\n--x--\r\n"
    return (
        b"POST /v1/grade HTTP/1.1\r\nHost: %s\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: %d\r\n\r\n" % (host.encode(), len(body))
    ) + body


async def client(first: int, host: str, port: int, requests: list[bytes], until: float, load: ServiceLoad) -> None:
    """Sends one photograph after the other on one connection."""
    reader, writer = await asyncio.open_connection(host, port)
    for turn in count(first):
        if time.perf_counter() >= until:
            break
        start = time.perf_counter()
        try:
            writer.write(requests[turn % len(requests)])
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
        except (OSError, asyncio.IncompleteReadError):
            load.statuses["lost"] += 1
            reader, writer = await asyncio.open_connection(host, port)
            continue
        load.statuses[head.split()[1]] += 1
        if head.split()[1] == "200":
            load.latencies.append(time.perf_counter() - start)
        elif "retry-after" in head:
            await asyncio.sleep(1)
    writer.close()


async def load_service(
    pid: int, url: str, requests: list[bytes], clients: int, seconds: float, load: ServiceLoad
) -> None:
    """Runs the clients until the last one has its response."""
    address = urlsplit(url)
    start, start_time = time.perf_counter(), processor_seconds(pid)
    running = asyncio.gather(
        *(
            client(first, address.hostname or "", address.port or 0, requests, start + seconds, load)
            for first in range(clients)
        )
    )
    while not running.done():
        load.memory.append(megabytes(pid))
        await asyncio.wait([running], timeout=1)
    await running
    load.seconds += time.perf_counter() - start
    load.processor_seconds += processor_seconds(pid) - start_time


def main() -> None:
    """Measures and prints both sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--service-only", action="store_true", help="measure the service without the grader beside it")
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in PHOTOGRAPH_SUFFIXES)
    grader = None if options.service_only else Grader.load(options.model)
    if grader is not None:
        grader.grade(paths[:_BLOCK])
    load, alone = ServiceLoad(), GraderLoad()
    command = [sys.executable, "-m", "retinagrade", "serve", "--port", "0", "--model", options.model]
    command += ["--workers", str(options.workers)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as service:
        assert service.stderr is not None
        url = json.loads(service.stderr.readline())["url"]
        # The log must be read, or the service would block; reading it in a separate process costs it nothing more.
        drain = subprocess.Popen(["cat"], stdin=service.stderr, stdout=subprocess.DEVNULL)
        requests = [request(path, urlsplit(url).netloc) for path in paths]
        for _ in range(_ROUNDS):
            if grader is not None:
                load_grader(grader, paths, options.seconds / _ROUNDS, alone)
            asyncio.run(load_service(service.pid, url, requests, options.clients, options.seconds / _ROUNDS, load))
        service.terminate()
        service.wait()
        drain.wait()
    graded = len(load.latencies)
    if not graded:
        raise SystemExit(f"the service graded nothing; responses by status: {dict(load.statuses)}")
    rate = graded / load.seconds
    p50, p99 = np.percentile(load.latencies, [50, 99])
    print(f"{len(paths)} photographs, {options.clients} clients, {load.seconds:.0f} s")
    each = 1e3 * load.processor_seconds / graded
    print(
        f"service: {rate:.2f} photographs/s, {each:.0f} ms of processor time per photograph; {options.workers} workers"
    )
    if alone.photographs:
        reference, each = alone.photographs / alone.seconds, 1e3 * alone.processor_seconds / alone.photographs
        share = 100 * rate / reference
        print(f"grader: {reference:.2f} photographs/s, {each:.0f} ms; the service has {share:.0f} % of it")
    print(f"latency: median {p50:.2f} s, 99th percentile {p99:.2f} s")
    print(f"responses by status: {dict(load.statuses)}, lost {load.statuses['lost']}")
    shares = (10, 25, 50, 75, 100)
    memory = ", ".join(f"{load.memory[share * (len(load.memory) - 1) // 100]:.0f}" for share in shares)
    print(f"memory after {', '.join(map(str, shares))} % of the time: {memory} MB; at most {max(load.memory):.0f} MB")


if __name__ == "__main__":
    main()
