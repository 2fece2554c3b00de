"""``retinagrade info``: what is installed, without importing a framework."""

from __future__ import annotations

import os
import shutil
import subprocess

import typer

from retinagrade.cli.console import JsonOption, console, print_json


def register(app: typer.Typer) -> None:
    """Adds this module's commands."""
    app.command("info")(info)


def info(json: JsonOption = False) -> None:
    """Versions, devices and experiments of this installation."""
    from retinagrade.experiments.experiment import experiment_names
    from retinagrade.provenance import installed_versions

    facts = {
        "versions": installed_versions(),
        "processors": os.cpu_count(),
        "gpus": _gpus(),
        "experiments": experiment_names(),
    }
    if json:
        print_json(facts)
        return
    out = console()
    for package, version in installed_versions().items():
        out.print(f"{package:24}{version}", highlight=False)
    out.print(f"{'processors':24}{facts['processors']}", highlight=False)
    out.print(f"{'GPUs':24}{', '.join(_gpus()) or 'none'}", highlight=False)
    out.print(f"{'experiments':24}{', '.join(experiment_names())}", highlight=False)
    out.print("Research software, not a medical device.")


def _gpus() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return found.stdout.splitlines() if found.returncode == 0 else []
