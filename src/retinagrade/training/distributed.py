"""Training on several devices: one process each, which together see the batches that one process would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol

import torch.distributed as dist
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import Sampler

from retinagrade.errors import ExperimentError


@dataclass(frozen=True)
class Devices:
    """What a training runs on, one process a device.

    Attributes:
        here: Devices of each machine.
        nodes: Machines.
    """

    here: int = 1
    nodes: int = 1

    @property
    def count(self) -> int:
        """All devices."""
        return self.here * self.nodes

    @property
    def rank(self) -> int:
        """Which of the processes this one is; 0 writes the run."""
        return int(getattr(rank_zero_only, "rank", 0)) if self.count > 1 else 0

    def share_of(self, batch_size: int) -> int:
        """The photographs that each device takes of a batch.

        Raises:
            ExperimentError: They can't be shared out evenly.
        """
        if batch_size % self.count:
            raise ExperimentError(
                f"training.batch_size={batch_size} can't be shared out among {self.count} devices: "
                f"try --set training.batch_size={-(-batch_size // self.count) * self.count}"
            )
        return batch_size // self.count

    def training_batches(self, order: _Order, batch_size: int) -> dict[str, Any]:
        """Arguments of a loader whose batches are this process's shares of those that one process would be given.

        Args:
            order: The photographs of an epoch, as of one process.
            batch_size: Photographs of a batch, of all processes together.

        Raises:
            ExperimentError: As for :meth:`share_of`; or there are too few photographs for one whole batch.
        """
        share = self.share_of(batch_size)
        whole = len(order) > batch_size
        if self.count == 1:
            return {"sampler": order, "batch_size": batch_size, "drop_last": whole}
        if len(order) < batch_size:
            raise ExperimentError(
                f"an epoch of {len(order)} photographs is less than a batch of {batch_size}: train on one device, or "
                "with a smaller training.batch_size"
            )
        return {"sampler": Share(order, self, even=True), "batch_size": share, "drop_last": True}

    def evaluated(self, order: _Order) -> _Order:
        """This process's share of the photographs that are evaluated; there may be none at all.

        Raises:
            ExperimentError: A process would have none, and another one some.
        """
        if 0 < len(order) < self.count:
            raise ExperimentError(f"too few validation photographs ({len(order)}) for {self.count} devices: give fewer")
        return order if self.count == 1 else Share(order, self, even=False)


class _Order(Sized, Protocol):
    def __iter__(self) -> Iterator[Any]: ...


ONE: Final = Devices()
"""One device."""


class Share(Sampler[Any]):
    """Every ``count``-th of an order: of every batch that one process would be given, this one's share."""

    def __init__(self, order: _Order, devices: Devices, even: bool) -> None:
        """Args: ``order`` of a whole epoch, ``even`` shares that leave a rest out, as steps taken together need."""
        self.order, self.devices, self.even = order, devices, even

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch to draw, counted from 0."""
        if hasattr(self.order, "set_epoch"):
            self.order.set_epoch(epoch)

    def __len__(self) -> int:
        """Photographs of an epoch that are this process's."""
        whole, rest = divmod(len(self.order), self.devices.count)
        return whole + (not self.even and self.devices.rank < rest)

    def __iter__(self) -> Iterator[Any]:
        """Draws what is this process's."""
        rank, count = self.devices.rank, self.devices.count
        return islice(iter(self.order), rank, rank + len(self) * count, count)


def gather(rows: Mapping[str, Any]) -> dict[str, Any]:
    """What all processes have found, by key; of a key that several have, one.

    Args:
        rows: What this one has.
    """
    if not is_shared():
        return dict(rows)
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, dict(rows))
    return {key: row for part in parts for key, row in part.items()}


def is_shared() -> bool:
    """Whether other processes train along with this one."""
    return dist.is_initialized() and dist.get_world_size() > 1


def wait_for_all() -> None:
    """Returns when every process of the training is here."""
    if is_shared():
        dist.barrier()


def disconnect() -> None:
    """Ends the connection to the other processes, when all are done."""
    if is_shared():
        dist.barrier()
        dist.destroy_process_group()
