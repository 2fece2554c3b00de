"""Metrics for Prometheus: counts and times, and nothing about single photographs, with labels from short lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from retinagrade.gate.names import ADVICE, UNCHECKED, reason_of
from retinagrade.grader.make_grading import REVIEW_KINDS, review_kind
from retinagrade.grader.runtime import BATCH
from retinagrade.grades import Grade
from retinagrade.gradings.grading import Grading

MODEL: Final = "retinagrade_model"
RESTARTS: Final = "retinagrade_worker_restarts"
_SECONDS: Final = (0.01, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120)
"""Limits of the buckets of durations: a request may wait for the photographs of others."""
_BOTH: Final = "both"
_FINDINGS: Final = ("retinopathy", "macular oedema", _BOTH)
"""Findings for which a photograph is referable."""


class ServiceMetrics:
    """The metrics of one service.

    Attributes:
        registry: All metrics.
        requests: Number of answered requests by method, route and status.
        seconds: Duration of requests by route.
        photographs: Number of photographs by outcome: ``graded``, ``ungradable`` or ``refused``.
        grades: Number of graded photographs by grade.
        refusals: Number of ungradable photographs by the gravest reason.
        referrals: Number of referable photographs by the finding.
        reviews: Number of graded photographs that a person should review, by the first reason.
        batch: Number of photographs in a batch of the network.
        network: Seconds that the network takes for a batch.
        in_progress: Number of requests in progress.
        held: Bytes that these requests hold.
        closed: Number of connections that the service has closed itself, by reason.
        workers: Number of worker processes: 1 in each.
        restarts: Number of workers that replaced one that had died; the process above the workers counts them.
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
        self.seconds = Histogram(
            "retinagrade_request_seconds", "Duration of requests", ("route",), buckets=_SECONDS, registry=registry
        )
        self.photographs = Counter("retinagrade_photographs", "Photographs by outcome", ("outcome",), registry=registry)
        self.grades = Counter("retinagrade_grades", "Graded photographs", ("grade",), registry=registry)
        self.refusals = Counter("retinagrade_refusals", "Ungradable photographs", ("reason",), registry=registry)
        self.referrals = Counter("retinagrade_referrals", "Referable photographs", ("finding",), registry=registry)
        self.reviews = Counter(
            "retinagrade_reviews", "Graded photographs that a person should review", ("reason",), registry=registry
        )
        for counter, labels in (
            (self.grades, [str(int(grade)) for grade in Grade]),
            (self.refusals, [reason for reason in ADVICE if reason != UNCHECKED]),
            (self.referrals, _FINDINGS),
            (self.reviews, REVIEW_KINDS),
        ):
            for label in labels:
                counter.labels(label)  # it begins at 0
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
        self.workers = Gauge("retinagrade_workers", "Worker processes", registry=registry)
        self.workers.set(1)
        self.restarts = Counter(RESTARTS, "Workers that replaced one that had died", registry=registry)
        Gauge(MODEL, "The grader file, as a label", ("model",), registry=registry).labels(model).set(1)

    def count(self, grading: Grading) -> None:
        """Counts a photograph that could be read: its grade or refusal, its referral and its review."""
        if grading.error is not None:  # the network's outputs were no probabilities
            self.photographs.labels("refused").inc()
            return
        self.photographs.labels("graded" if grading.gradable else "ungradable").inc()
        if grading.predicted_grade is None:
            self.refusals.labels(reason_of(grading.quality_reasons[0])).inc()
            return
        self.grades.labels(str(grading.predicted_grade)).inc()
        if grading.referral_reasons:
            found = grading.referral_reasons
            self.referrals.labels(found[0] if len(found) == 1 else _BOTH).inc()
        if grading.review_reasons:
            self.reviews.labels(review_kind(grading.review_reasons[0])).inc()
