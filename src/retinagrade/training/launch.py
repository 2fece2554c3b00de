"""Starting the processes of a training on several devices, and saying how one of them ended."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Collection

import torch.distributed as dist
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from retinagrade.errors import ExperimentError, UsageError
from retinagrade.training.distributed import Devices


def is_launched(devices: Devices) -> bool:
    """Whether ``torchrun`` or SLURM has started this process as one of several.

    Raises:
        UsageError: It has started more or fewer than there are devices.
    """
    if not dist.is_torchelastic_launched():
        return SLURMEnvironment.detect()
    if (started := int(os.environ["WORLD_SIZE"])) != devices.count:
        raise UsageError(
            f"{started} processes were started, and --devices {devices.here} --nodes {devices.nodes} asks for "
            f"{devices.count}: give --devices for each machine, and --nodes"
        )
    return True


def launch(devices: Devices, arguments: Collection[str]) -> None:
    """Runs this program once a device of this machine, and returns when all are done.

    A process that dies ends the others at once; with Lightning's own launcher it also kills the one that could say so.

    Args:
        devices: On this machine.
        arguments: The command line.

    Raises:
        UsageError: There are other machines, and nobody has started this program there.
        ExperimentError: A process was killed.
        SystemExit: One has failed, and said why.
        KeyboardInterrupt: Ctrl-C.
    """
    if devices.nodes > 1:
        raise UsageError(
            "--nodes: start the same command on every machine, by torchrun or srun: docs/devices.md shows both"
        )
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices.here)))
    for room in ("torch.distributed.elastic", "torch.distributed.elastic.agent.server.api"):
        logging.getLogger(room).setLevel(logging.CRITICAL)  # what failed is said below
    config = LaunchConfig(
        1, 1, devices.here, rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0, run_id="retinagrade"
    )
    try:
        elastic_launch(config, sys.executable)("-m", "retinagrade", *arguments)
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        # SIGTERM is what the others are sent, and a connection that they lost is a consequence, too.
        killed = {rank: -code for rank, code in codes.items() if code < 0 and -code != signal.SIGTERM}
        if not killed and max(codes.values()) > 0:
            raise SystemExit(max(codes.values())) from error
        rank, by = min(killed.items(), default=(min(codes), signal.SIGTERM))
        raise ExperimentError(
            f"the process of device {rank} was ended by {signal.Signals(by).name}, and the training with it: the same "
            "command goes on after the last whole epoch"
        ) from error
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from error
        raise
