"""What Prometheus may know: counts and times, never whose photographs they were."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from retinagrade.grader.runtime import BATCH


class ServiceMetrics:
    """The metrics of one service.

    Attributes:
        registry: All of them.
        requests: Answered, by method, route and status.
        seconds: That a request took, by route.
        photographs: By what became of them: ``graded``, ``not gradable`` or ``refused``.
        batch: Photographs that the network saw at once.
        network: Seconds that it took for a batch.
        inside: Requests that are being worked on.
        held: Bytes that they may hold.
    """

    def __init__(self, model: str, inside: Callable[[], int], held: Callable[[], int]) -> None:
        """Args: the ``model``'s name and version, and where to look up what is ``inside`` and ``held``."""
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "retinagrade_requests", "Requests answered", ("method", "route", "status"), registry=registry
        )
        self.seconds = Histogram("retinagrade_request_seconds", "Seconds a request took", ("route",), registry=registry)
        self.photographs = Counter("retinagrade_photographs", "Photographs taken", ("outcome",), registry=registry)
        self.batch = Histogram(
            "retinagrade_batch_photographs",
            "Photographs the network saw at once",
            buckets=range(1, BATCH + 1),
            registry=registry,
        )
        self.network = Histogram("retinagrade_network_seconds", "Seconds a batch took", registry=registry)
        self.inside = Gauge("retinagrade_requests_inside", "Requests being worked on", registry=registry)
        self.inside.set_function(inside)
        self.held = Gauge("retinagrade_held_bytes", "Bytes that they may hold", registry=registry)
        self.held.set_function(held)
        Gauge("retinagrade_model", "The model, as a label", ("model",), registry=registry).labels(model).set(1)
