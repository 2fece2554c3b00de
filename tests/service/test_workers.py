"""Several workers: they serve together, replace each other, and their metrics add up."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx2
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.parser import text_string_to_metric_families

from retinagrade.errors import GraderFileError
from retinagrade.service.metrics import ServiceMetrics
from retinagrade.service.routes import ServiceState
from retinagrade.service.worker_metrics import add_up, metrics_text, retired, take_snapshot
from retinagrade.service.workers import Begin, Workers
from tests.service.served import Served, served


def samples(text: str) -> dict[str, float]:
    """Returns the samples without labels, or with one label, by their names."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        found |= {"".join((each.name, *each.labels.values())): each.value for each in family.samples}
    return found


def test_numbers_add_up_over_the_death_of_a_worker() -> None:
    def worker(count: int, busy: int) -> CollectorRegistry:
        registry = CollectorRegistry()
        counter = Counter("retinagrade_grades", "", ("grade",), registry=registry)
        counter.labels("2").inc(count)
        Gauge("retinagrade_requests_in_progress", "", registry=registry).set(busy)
        Gauge("retinagrade_model", "", ("model",), registry=registry).labels("m 1").set(1)
        return registry

    first, second = take_snapshot(worker(3, 1)), take_snapshot(worker(4, 2))
    both = samples(metrics_text(add_up([first, second])).decode())
    assert both["retinagrade_grades_total2"] == 7
    assert both["retinagrade_requests_in_progress"] == 3
    assert both["retinagrade_modelm 1"] == 1
    after = samples(metrics_text(add_up([retired(first), second])).decode())
    assert after["retinagrade_grades_total2"] == 7
    assert after["retinagrade_requests_in_progress"] == 2
    assert after["retinagrade_worker_restarts_total"] == 1


@pytest.mark.slow
def test_a_service_whose_worker_dies_counts_on(grader_file: Path, eyes: list[Path]) -> None:
    with (
        served(grader_file, "--workers", "2", RETINAGRADE_TOKEN="secret") as running,
        httpx2.Client(base_url=running.url, headers={"X-API-Key": "secret"}, timeout=60) as client,
    ):
        assert httpx2.get(f"{running.url}/metrics").status_code == 401

        def metrics() -> dict[str, float]:
            return samples(client.get("/metrics").text)

        for path in eyes[:2]:
            assert client.post("/v1/grade", files={"photographs": ("eye.jpg", path.read_bytes())}).status_code == 200
        before = metrics()
        assert before["retinagrade_photographs_totalgraded"] == 2
        assert before["retinagrade_workers"] == 2
        os.kill(workers_of(running)[0], signal.SIGKILL)
        until = time.monotonic() + 60
        while True:
            with suppress(httpx2.HTTPError):  # the connection may have been that worker's
                after = metrics()
                if after["retinagrade_workers"] == 2 and after["retinagrade_worker_restarts_total"] == 1:
                    break
            assert time.monotonic() < until
            time.sleep(0.2)
        assert after["retinagrade_photographs_totalgraded"] == 2
    assert running.process.returncode == -signal.SIGTERM
    assert [line["event"] for line in running.log].count("stopped") == 2


def workers_of(running: Served) -> list[int]:
    """Returns the processes that serve: those that have processes of their own."""
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    return [int(each) for each in children if Path(f"/proc/{each}/task/{each}/children").read_text()]


def refuse(_: Begin) -> None:
    raise GraderFileError("no.onnx is damaged")


def test_workers_that_cannot_start_are_an_error() -> None:
    with pytest.raises(GraderFileError, match="damaged"):
        Workers(refuse, 1).run(lambda: None)


def count_and_die_once(begin: Begin, folder: Path) -> None:
    """Counts one grade; the first worker writes the metrics of all, and dies. The second writes them, and waits."""
    metrics = ServiceMetrics("m 1", lambda: 0, lambda: 0)
    metrics.grades.labels("2").inc()
    state = SimpleNamespace(metrics=metrics)
    begin(cast("ServiceState", state))
    file = folder / ("second" if (folder / "first").exists() else "first")
    file.write_bytes(state.metrics_text())
    if file.name == "first":
        os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getppid(), signal.SIGHUP)
    time.sleep(60)


def test_a_worker_that_dies_is_replaced_and_its_counts_stay(tmp_path: Path) -> None:
    hung_up: list[int] = []
    earlier = signal.signal(signal.SIGHUP, lambda number, _: hung_up.append(number))
    try:
        Workers(partial(count_and_die_once, folder=tmp_path), 1).run(lambda: None)
    finally:
        signal.signal(signal.SIGHUP, earlier)
    assert hung_up == [signal.SIGHUP]
    first, second = (samples((tmp_path / name).read_text()) for name in ("first", "second"))
    assert (first["retinagrade_grades_total2"], second["retinagrade_grades_total2"]) == (1, 2)
    assert (first["retinagrade_worker_restarts_total"], second["retinagrade_worker_restarts_total"]) == (0, 1)
    assert second["retinagrade_workers"] == 1
