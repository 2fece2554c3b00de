"""Metrics of a node for Prometheus: counts only, and nothing about single studies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from retinagrade.node.reception import OUTCOMES
from retinagrade.node.rows import QueueCounts

_SENT: Final = ("delivered", "refused")
_STUDIES: Final = ("graded", "failed")
REJECTIONS: Final = ("caller", "called title", "too many")
"""Why a connection was rejected: its title is not among the callers, it calls another node, or there are too many."""


class NodeMetrics:
    """The metrics of one node.

    Attributes:
        registry: All metrics.
        received: Photographs that arrived, by outcome.
        rejected: Connections over DICOM that were rejected, by reason.
        studies: Gradings of studies, by outcome.
        sent: Results that were sent, by outcome.
        away: Calls of the archive that failed.
    """

    def __init__(self, model: str, counts: Callable[[], QueueCounts]) -> None:
        """Registers the metrics.

        Args:
            model: Name and version of the grader file.
            counts: Counts the rows of the queue.
        """
        self.registry = registry = CollectorRegistry()
        self.received = Counter(
            "retinagrade_node_received", "Photographs that arrived", ("outcome",), registry=registry
        )
        self.rejected = Counter(
            "retinagrade_node_rejected", "Connections over DICOM that were rejected", ("reason",), registry=registry
        )
        self.studies = Counter("retinagrade_node_studies", "Gradings of studies", ("outcome",), registry=registry)
        self.sent = Counter("retinagrade_node_sent", "Results that were sent", ("outcome",), registry=registry)
        self.away = Counter("retinagrade_node_archive_away", "Calls of the archive that failed", registry=registry)
        for counter, labels in (
            (self.received, OUTCOMES),
            (self.rejected, REJECTIONS),
            (self.studies, _STUDIES),
            (self.sent, _SENT),
        ):
            for label in labels:
                counter.labels(label)  # it begins at 0
        Gauge("retinagrade_model", "The grader file, as a label", ("model",), registry=registry).labels(model).set(1)
        registry.register(_QueueCollector(counts))


class _QueueCollector(Collector):
    def __init__(self, counts: Callable[[], QueueCounts]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[GaugeMetricFamily]:
        rows = GaugeMetricFamily("retinagrade_node_queue", "Rows of the queue", labels=("rows",))
        for name, count in asdict(self._counts()).items():
            rows.add_metric([name], count)
        yield rows

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()  # else the registry would collect before the queue is open
