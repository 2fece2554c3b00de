"""The metrics of several workers as one: numbers add up, also over the death of a worker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric

from retinagrade.service.metrics import MODEL, RESTARTS

Labels = tuple[tuple[str, str], ...]
_CREATED: Final = "_created"
"""End of the names of samples that state when a counter began."""


@dataclass
class Family:
    """A metric with its samples.

    Attributes:
        documentation: Its description.
        kind: ``counter``, ``gauge`` or ``histogram``.
        samples: Values by name and labels.
    """

    documentation: str
    kind: str
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)


Snapshot = dict[str, Family]
"""The metrics of a process at one time, by their names."""


def take_snapshot(registry: CollectorRegistry) -> Snapshot:
    """Returns the metrics of this process."""
    return {
        metric.name: Family(
            metric.documentation,
            metric.type,
            {(each.name, tuple(each.labels.items())): each.value for each in metric.samples},
        )
        for metric in registry.collect()
    }


def add_up(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Adds up the metrics of several processes; each counter began when the first one did, and there is one model."""
    total: Snapshot = {}
    for snapshot in snapshots:
        for name, family in snapshot.items():
            into = total.setdefault(name, Family(family.documentation, family.kind)).samples
            for key, value in family.samples.items():
                if key not in into:
                    into[key] = value
                elif key[0].endswith(_CREATED):
                    into[key] = min(into[key], value)
                else:
                    into[key] = max(into[key], value) if name == MODEL else into[key] + value
    return total


def retired(snapshot: Snapshot) -> Snapshot:
    """Returns what stays of a worker that has died: its counts, and one restart, but nothing that was in progress."""
    kept = {name: family for name, family in snapshot.items() if family.kind != "gauge"}
    one: dict[tuple[str, Labels], float] = {(f"{RESTARTS}_total", ()): 1.0}
    return add_up([kept, {RESTARTS: Family("Workers that replaced one that had died", "counter", one)}])


def metrics_text(snapshot: Snapshot) -> bytes:
    """Writes metrics in the text format of Prometheus."""

    class Collected(CollectorRegistry):
        def collect(self) -> Iterator[Metric]:
            for name, family in snapshot.items():
                metric = Metric(name, family.documentation, family.kind)
                for (sample, labels), value in family.samples.items():
                    metric.add_sample(sample, dict(labels), value)
                yield metric

    return generate_latest(Collected())
