"""Metrics for Prometheus: counts and times, and nothing about single photographs."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from retinagrade.grader.runtime import BATCH


class ServiceMetrics:
    """The metrics of one service.

    Attributes:
        registry: All metrics.
        requests: Number of answered requests by method, route and status.
        seconds: Duration of requests by route.
        photographs: Number of photographs by outcome: ``graded``, ``ungradable`` or ``refused``.
        batch: Number of photographs in a batch of the network.
        network: Seconds that the network takes for a batch.
        in_progress: Number of requests in progress.
        held: Bytes that these requests hold.
        closed: Number of connections that the service has closed itself, by reason.
    """

    def __init__(self, model: str, requests_in_progress: Callable[[], int], held_bytes: Callable[[], int]) -> None:
        """Registers the metrics.

        Args:
            model: Name and version of the grader file.
            requests_in_progress: Function that returns the number of requests in progress.
            held_bytes: Function that returns the bytes that these requests hold.
        """
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "retinagrade_requests", "Answered requests", ("method", "route", "status"), registry=registry
        )
        self.seconds = Histogram("retinagrade_request_seconds", "Duration of requests", ("route",), registry=registry)
        self.photographs = Counter("retinagrade_photographs", "Photographs by outcome", ("outcome",), registry=registry)
        self.batch = Histogram(
            "retinagrade_batch_photographs",
            "Photographs in a batch of the network",
            buckets=range(1, BATCH + 1),
            registry=registry,
        )
        self.network = Histogram("retinagrade_network_seconds", "Time of the network for a batch", registry=registry)
        self.in_progress = Gauge("retinagrade_requests_in_progress", "Requests in progress", registry=registry)
        self.in_progress.set_function(requests_in_progress)
        self.held = Gauge("retinagrade_held_bytes", "Bytes that the requests in progress hold", registry=registry)
        self.held.set_function(held_bytes)
        self.closed = Counter(
            "retinagrade_closed_connections",
            "Connections that the service has closed itself",
            ("reason",),
            registry=registry,
        )
        Gauge("retinagrade_model", "The grader file, as a label", ("model",), registry=registry).labels(model).set(1)
