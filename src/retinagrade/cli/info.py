"""``retinagrade info``: the installation, without importing a framework."""

from __future__ import annotations

import os
import shutil
import subprocess

from retinagrade.cli.console import JsonOption, console, print_json


def info(json: JsonOption = False) -> None:
    """Show versions, devices and experiments.

    Put this output into a report of a bug.
    """
    from retinagrade.experiments.experiment import experiment_names
    from retinagrade.provenance import installed_versions

    versions, gpus, experiments = installed_versions(), _gpus(), experiment_names()
    if json:
        print_json({"versions": versions, "processors": os.cpu_count(), "gpus": gpus, "experiments": experiments})
        return
    rows = {
        **versions,
        "processors": os.cpu_count(),
        "GPUs": ", ".join(gpus) or "none",
        "experiments": ", ".join(experiments),
    }
    printed = console()
    for name, value in rows.items():
        printed.print(f"{name:24}{value}")
    printed.print("Research software, not a medical device.")


def _gpus() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return listing.stdout.splitlines() if listing.returncode == 0 else []
