"""The launcher of a training on several devices: it starts the processes, and reports why one of them ended."""

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
from retinagrade.storage.environment import environment_number
from retinagrade.training.distributed import Devices


def is_launched(devices: Devices) -> bool:
    """True where ``torchrun`` or SLURM has started this process as one of several.

    Raises:
        UsageError: The number of processes differs from the number of devices.
    """
    if not dist.is_torchelastic_launched():
        return SLURMEnvironment.detect()
    if (started := int(environment_number("WORLD_SIZE", 1))) != devices.count:
        raise UsageError(
            f"{started} processes were started, but --devices {devices.per_machine} --nodes {devices.nodes} asks for "
            f"{devices.count}: set --devices to the devices of each machine, and --nodes to the number of machines"
        )
    return True


def launch(devices: Devices, arguments: Collection[str]) -> None:
    """Runs this program once for each device of this machine, and returns when all processes are done.

    A process that dies ends the others at once. (Lightning's own launcher kills this process too, which then can't
    report the reason.)

    Args:
        devices: The devices of this machine.
        arguments: The command line.

    Raises:
        UsageError: The training has several machines, which need ``torchrun`` or ``srun``.
        ExperimentError: A process was killed.
        SystemExit: A process failed, and has printed the reason.
        KeyboardInterrupt: Ctrl-C.
    """
    if devices.nodes > 1:
        raise UsageError(
            "--nodes: start the same command on every machine, by torchrun or srun: docs/devices.md shows both"
        )
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices.per_machine)))
    for name in ("torch.distributed.elastic", "torch.distributed.elastic.agent.server.api"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the errors below report failures
    config = LaunchConfig(
        1,
        1,
        devices.per_machine,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        run_id="retinagrade",
    )
    try:
        elastic_launch(config, sys.executable)("-m", "retinagrade", *arguments)
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        # The other processes end by SIGTERM or by a lost connection, as a consequence.
        killed = {rank: -code for rank, code in codes.items() if code < 0 and -code != signal.SIGTERM}
        if not killed and max(codes.values()) > 0:
            raise SystemExit(max(codes.values())) from error
        rank, by = min(killed.items(), default=(min(codes), signal.SIGTERM))
        raise ExperimentError(
            f"the process of device {rank} was ended by {signal.Signals(by).name}, and the training with it: the same "
            "command continues after the last whole epoch"
        ) from error
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from error
        raise
