"""Training on several devices: one process for each device, and together the batches of a training on one device."""

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
    """The devices of a training, each with a process of its own.

    Attributes:
        per_machine: Number of devices in each machine.
        nodes: Number of machines.
    """

    per_machine: int = 1
    nodes: int = 1

    @property
    def count(self) -> int:
        """Number of devices of all machines."""
        return self.per_machine * self.nodes

    @property
    def rank(self) -> int:
        """Number of this process, from 0; the process with rank 0 writes the run."""
        return int(getattr(rank_zero_only, "rank", 0)) if self.count > 1 else 0

    def batch_share(self, batch_size: int) -> int:
        """Computes the number of photographs of a batch that each device takes.

        Raises:
            ExperimentError: The batch can't be divided evenly.
        """
        if batch_size % self.count:
            raise ExperimentError(
                f"training.batch_size={batch_size} can't be divided among {self.count} devices: "
                f"try --set training.batch_size={-(-batch_size // self.count) * self.count}"
            )
        return batch_size // self.count

    def training_batches(self, order: _Order, batch_size: int) -> dict[str, Any]:
        """Returns arguments of a loader whose batches are this process's shares of the batches of one device.

        Args:
            order: The photographs of an epoch, in the order of a training on one device.
            batch_size: Photographs of a batch, of all processes together.

        Raises:
            ExperimentError: A batch can't be divided evenly, or the epoch has too few photographs for one whole batch.
        """
        share = self.batch_share(batch_size)
        whole = len(order) > batch_size
        if self.count == 1:
            return {"sampler": order, "batch_size": batch_size, "drop_last": whole}
        if len(order) < batch_size:
            raise ExperimentError(
                f"an epoch of {len(order)} photographs is less than a batch of {batch_size}: train on one device, or "
                "lower training.batch_size"
            )
        return {"sampler": OrderShare(order, self, even=True), "batch_size": share, "drop_last": True}

    def evaluation_order(self, order: _Order) -> _Order:
        """Returns this process's share of the photographs to evaluate; an empty order is allowed.

        Raises:
            ExperimentError: The photographs are fewer than the devices.
        """
        if 0 < len(order) < self.count:
            raise ExperimentError(
                f"too few validation photographs ({len(order)}) for {self.count} devices: use fewer devices"
            )
        return order if self.count == 1 else OrderShare(order, self, even=False)


class _Order(Sized, Protocol):
    def __iter__(self) -> Iterator[Any]: ...


ONE_DEVICE: Final = Devices()
"""Training on one device, in this process."""


class OrderShare(Sampler[Any]):
    """Every ``count``-th photograph of an order, which is this process's share of every batch."""

    def __init__(self, order: _Order, devices: Devices, even: bool) -> None:
        """Args: ``order`` of a whole epoch; ``even`` drops the remainder, so that all processes take equal steps."""
        self.order, self.devices, self.even = order, devices, even

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch to draw, counted from 0."""
        if hasattr(self.order, "set_epoch"):
            self.order.set_epoch(epoch)

    def __len__(self) -> int:
        """Returns the number of this process's photographs in an epoch."""
        whole, rest = divmod(len(self.order), self.devices.count)
        return whole + (not self.even and self.devices.rank < rest)

    def __iter__(self) -> Iterator[Any]:
        """Yields this process's photographs."""
        rank, count = self.devices.rank, self.devices.count
        return islice(iter(self.order), rank, rank + len(self) * count, count)


def gather(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Merges the rows of all processes; of a key in several processes, one row is kept.

    Args:
        rows: Rows of this process, by key.
    """
    if not is_shared():
        return dict(rows)
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, dict(rows))
    return {key: row for part in parts for key, row in part.items()}


def is_shared() -> bool:
    """True where other processes train along with this one."""
    return dist.is_initialized() and dist.get_world_size() > 1


def wait_for_all() -> None:
    """Waits until every process of the training has called this function."""
    if is_shared():
        dist.barrier()


def disconnect() -> None:
    """Waits until all processes are done, and ends the connection between them."""
    if is_shared():
        dist.barrier()
        dist.destroy_process_group()
