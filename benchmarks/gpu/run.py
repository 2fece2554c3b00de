"""Tries training, prediction and export on a GPU, compares them with the processor, and prints tables in Markdown.

    python benchmarks/gpu/run.py [--minutes 6] [--device cuda] [--quick]

It needs no network, no data and no weights: photographs are drawn and networks start from random weights. Besides a
PyTorch with CUDA it needs the packages of the extra ``train``; docs/devices.md says how to carry them. The parts are:

* checks: a run that the GPU trains in float32 beside the same run of the processor; the probabilities that both compute
  with one network; ``--fast``; the exported file, graded on the processor; two trainings at once on one GPU;
* rates: training steps in float32 and bfloat16, in channels-last layout and without it, compiled or not, and
  predictions, in photographs a second.

Each part is a process of its own, so a part that fails leaves the others as they are. Parts that would begin after
the time is over are named as left out. ``--device cpu --quick`` tries the script itself on a machine without a GPU.
The exit code is 0 if all checks passed, 1 if not, and 2 if nothing could be tried.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

Job = dict[str, Any]

SOURCE: Final = Path(__file__).parents[2] / "src"
WARM_UP: Final = 3
"""Steps before the measured ones."""


@dataclass(frozen=True)
class Plan:
    """Size of the trial.

    Attributes:
        networks: Networks to measure: an experiment, and settings to change.
        batch: Photographs in a measured batch.
        seconds: Seconds that each rate is measured for.
        photographs: Number of photographs that are drawn, for the checks.
        size: Side of the prepared photographs, in pixels.
        trained: Experiment of the checks, and settings to change.
    """

    networks: dict[str, list[str]]
    batch: int
    seconds: float
    photographs: int
    size: int
    trained: tuple[str, list[str]]


RANDOM: Final = ["network.weights=none", "network.feature_dropout=0", "training.patience=null", "training.logger=none"]
"""Weights that need no download; no dropout, whose masks differ between devices; all epochs."""

WHOLE: Final = Plan(
    networks={"efficientnet-lite0": RANDOM, "resnet50-1": [*RANDOM, "network.trained_from=all"]},
    batch=64,
    seconds=3,
    photographs=160,
    size=256,
    trained=("efficientnet-lite0", [*RANDOM, "training.epochs=3"]),
)
_SMALL: Final = [*RANDOM, "network.dense_dropout=0", "network.image_size=96", "training.balance=null"]
QUICK: Final = Plan(
    networks={"scratch-2": _SMALL},
    batch=4,
    seconds=0.2,
    photographs=20,
    size=96,
    trained=("scratch-2", [*_SMALL, "training.epochs=2", "training.batch_size=8"]),
)


# The parts. Each runs in a process of its own, and imports what it needs there.


def machine(_: Job) -> Job:
    """Names the machine, after importing all that the other parts need."""
    import lightning
    import timm
    import torch

    import retinagrade
    from retinagrade.exporting import export
    from retinagrade.training import train

    del export, train
    device = f"processor, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        device = f"{torch.cuda.get_device_name()}, {memory:.0f} GiB, CUDA {torch.version.cuda}"
    versions = f"torch {torch.__version__}, timm {timm.__version__}, lightning {lightning.__version__}"
    return {"text": f"{device}; {versions}, retinagrade {retinagrade.__version__}", "cuda": torch.cuda.is_available()}


def data(job: Job) -> Job:
    """Draws, prepares and divides photographs."""
    import retinagrade

    folder = Path(job["folder"])
    retinagrade.synthesize(folder / "drawn", job["photographs"], size=job["size"] * 3 // 2)
    retinagrade.prepare(folder / "drawn", folder / "prepared", size=job["size"])
    retinagrade.split(folder / "prepared", val=0.25)
    return {}


def train(job: Job) -> Job:
    """Trains a run, and returns its last validation loss, its duration and the precision."""
    import pandas as pd

    import retinagrade

    start = time.perf_counter()
    run = retinagrade.train(job["prepared"], job["experiment"], job["out"], settings=job["settings"])
    seconds = time.perf_counter() - start
    history = pd.read_csv(run.folder / "history.csv")
    return {"loss": float(history["val_loss"].iloc[-1]), "seconds": seconds}


def predict(job: Job) -> Job:
    """Predicts the validation photographs of a run into a file, in float32 or half precision."""
    import retinagrade

    retinagrade.predict(job["prepared"], job["run"], split="val", out=job["out"], fast=job["fast"])
    return {}


def export(job: Job) -> Job:
    """Exports a run, grades the drawn photographs with the file, and returns how far file and network differ."""
    import retinagrade

    exported = retinagrade.export(job["run"], job["out"])
    results = retinagrade.grade(job["photographs"], model=job["out"], gate="off")
    difference = exported.metadata.verification.max_probability_difference
    return {"difference": difference, "graded": len(results.graded)}


def rates(job: Job) -> Job:
    """Measures photographs a second of training steps or predictions, one setting after the other.

    Returns:
        The rate of each setting in ``rates``, and its largest memory on the GPU, in gigabytes, in ``memory``.
    """
    import torch

    found: Job = {"rates": {}, "memory": {}}
    for name, setting in job["measured"].items():
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        measure = _prediction_rate if setting["task"] == "predict" else _training_rate
        found["rates"][name] = measure({**job, **setting})
        found["memory"][name] = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else None
    return found


def _batch(job: Job, size: int) -> Job:
    """Makes a batch of noise as the loader makes it; its photographs are in channels-last layout."""
    import torch

    noise = torch.Generator().manual_seed(0)
    photographs = torch.randint(0, 256, (job["batch"], size, size, 3), dtype=torch.uint8, generator=noise)
    return {
        "photographs": photographs.permute(0, 3, 1, 2),
        "grades": torch.randint(0, 5, (job["batch"],), generator=noise),
        "image_ids": [str(index) for index in range(job["batch"])],
    }


def _rate(job: Job, step: Callable[[], object]) -> float:
    """Calls steps for some seconds after warming up, and returns photographs a second."""
    import torch

    def wait() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    for _ in range(WARM_UP):
        step()
    wait()
    start, steps = time.perf_counter(), 0
    while steps < 3 or time.perf_counter() - start < job["seconds"]:
        step()
        steps += 1
    wait()
    return float(steps * job["batch"] / (time.perf_counter() - start))


def _prediction_rate(job: Job) -> float:
    """Measures predictions from memory, from photographs to probabilities, as ``retinagrade predict`` makes them."""
    import torch

    from retinagrade.experiments.experiment import load_experiment
    from retinagrade.models.inference import inference_copy
    from retinagrade.models.network import build_network
    from retinagrade.training.devices import weights_dtype

    settings = load_experiment(job["experiment"], job["settings"]).network
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = weights_dtype("auto" if job["precision"] == "fast" else "32")
    network = inference_copy(build_network(settings), dtype, settings.image_size, device)
    photographs = _batch(job, settings.image_size)["photographs"]

    def step() -> object:
        return network.output.probabilities(network(photographs.to(device))).tolist()

    with torch.inference_mode():
        return _rate(job, step)


def _training_rate(job: Job) -> float:
    """Measures steps from memory: network and loss are those of ``retinagrade train``; the loop is a bare one."""
    import torch

    from retinagrade.experiments.experiment import load_experiment
    from retinagrade.models.network import build_network
    from retinagrade.models.outputs import training_loss

    experiment = load_experiment(job["experiment"], job["settings"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = torch.channels_last if job["layout"] == "channels last" else torch.contiguous_format
    network = build_network(experiment.network).to(device).to(memory_format=layout)
    if layout == torch.contiguous_format:  # the network scales pixels into channels-last layout
        network.backbone.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    if job["compiled"]:
        network.compile(dynamic=False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    batch = _batch(job, experiment.network.image_size)
    photographs = batch["photographs"].contiguous(memory_format=layout)

    def step() -> None:
        inputs, grades = photographs.to(device), batch["grades"].to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=job["precision"] == "bfloat16"):
            raw = network(inputs)
        training_loss(network.output, raw.float(), grades, None, 0.0).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return _rate(job, step)


PARTS: Final = {part.__name__: part for part in (machine, data, train, predict, export, rates)}


# The trial, in this process, which loads nothing but Python's own modules.


@dataclass
class Trial:
    """The parts that were tried, with what went wrong.

    Attributes:
        deadline: Time, of :func:`time.monotonic`, after which no part begins or goes on.
        failures: Parts that failed or were left out, with the reason.
    """

    deadline: float
    failures: dict[str, str] = field(default_factory=dict)

    def ask(self, name: str, task: str, job: Job, *, on_cpu: bool = False) -> Job | None:
        """Runs a part and returns its result, or ``None`` after noting why there is none."""
        return self.finish(name, self.begin(name, task, job, on_cpu=on_cpu))

    def begin(self, name: str, task: str, job: Job, *, on_cpu: bool = False) -> subprocess.Popen[str] | None:
        """Starts a part in a process of its own, unless the time is over."""
        if time.monotonic() >= self.deadline:
            self.failures[name] = "left out: the time was over"
            return None
        print(f"{name} …", file=sys.stderr, flush=True)
        search = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(search)}
        if on_cpu:
            environment["CUDA_VISIBLE_DEVICES"] = ""
        command = [sys.executable, "-W", "ignore", __file__, "--part", task, json.dumps(job)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, name: str, process: subprocess.Popen[str] | None) -> Job | None:
        """Waits for a part and returns its result, or ``None`` after noting why there is none."""
        if process is None:
            return None
        try:
            output, errors = process.communicate(timeout=max(0.0, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.failures[name] = "ended: the time was over"
            return None
        if process.returncode:
            lines = errors.strip().splitlines() or [f"exit code {process.returncode}"]
            self.failures[name] = lines[-1][:200]
            return None
        result: Job = json.loads(output.strip().splitlines()[-1])
        return result


@dataclass(frozen=True)
class Check:
    """A figure with its bar.

    Attributes:
        name: What was checked.
        value: The figure.
        bar: Largest value that passes.
    """

    name: str
    value: float
    bar: float

    @property
    def passed(self) -> bool:
        """Whether the figure is a number within its bar."""
        return self.value <= self.bar


def try_checks(trial: Trial, plan: Plan, folder: Path, on_cpu: bool) -> list[Check]:
    """Trains, predicts and exports on the device and on the processor, and compares the figures."""
    drawn: Job = {"folder": str(folder), "photographs": plan.photographs, "size": plan.size}
    if trial.ask("photographs", "data", drawn, on_cpu=True) is None:
        return []
    experiment, settings = plan.trained

    def training(out: str, precision: str) -> Job:
        changed = [*settings, f"training.precision={precision}"]
        prepared = str(folder / "prepared")
        return {"prepared": prepared, "experiment": experiment, "settings": changed, "out": str(folder / out)}

    own = trial.ask("training in float32", "train", training("own", "32"), on_cpu=on_cpu)
    alone = trial.ask("training in the default precision", "train", training("alone", "auto"), on_cpu=on_cpu)
    reference = trial.ask("training on the processor", "train", training("cpu", "32"), on_cpu=True)
    checks = []
    if own and reference:
        difference = abs(own["loss"] - reference["loss"])
        checks.append(Check("validation loss after training, against the processor", difference, 0.1))
    if own:
        checks += _try_predictions(trial, folder, on_cpu)
        checks += _try_export(trial, plan, folder, on_cpu)
    if alone:
        checks += _try_two(trial, {name: training(name, "auto") for name in ("first", "second")}, alone, on_cpu)
    return checks


def _try_export(trial: Trial, plan: Plan, folder: Path, on_cpu: bool) -> list[Check]:
    photographs = str(folder / "drawn" / "photographs")
    job = {"run": str(folder / "own"), "out": str(folder / "own.onnx"), "photographs": photographs}
    exported = trial.ask("export, and grading with the file", "export", job, on_cpu=on_cpu)
    if exported is None:
        return []
    return [
        Check("probabilities of the exported file, largest difference", exported["difference"], 0.001),
        Check("photographs without a grade of the file", plan.photographs - exported["graded"], 0),
    ]


def _try_two(trial: Trial, jobs: dict[str, Job], alone: Job, on_cpu: bool) -> list[Check]:
    """Trains two runs at once on one device, and compares them with the same run that was trained alone."""
    begun = {f"{name} of two trainings": trial.begin(name, "train", job, on_cpu=on_cpu) for name, job in jobs.items()}
    both = [result for name, process in begun.items() if (result := trial.finish(name, process))]
    if len(both) < len(jobs):
        return []
    difference = max(abs(each["loss"] - alone["loss"]) for each in both)
    slower = max(each["seconds"] for each in both) / alone["seconds"]
    return [
        Check("validation loss of two trainings at once, against one alone", difference, 0.01),
        Check("duration of two trainings at once, divided by that of one alone", slower, 4),
    ]


def _try_predictions(trial: Trial, folder: Path, on_cpu: bool) -> list[Check]:
    tables: dict[str, list[list[float]]] = {}
    for name, fast, processor in (("float32", False, on_cpu), ("--fast", True, on_cpu), ("processor", False, True)):
        file = folder / f"{name}.csv"
        run = str(folder / "own")
        job = {"prepared": str(folder / "prepared"), "run": run, "out": str(file), "fast": fast}
        if trial.ask(f"prediction: {name}", "predict", job, on_cpu=processor) is not None:
            tables[name] = read_probabilities(file)
    checks = []
    if {"float32", "processor"} <= set(tables):
        largest = max(differences(tables["float32"], tables["processor"]))
        checks.append(Check("probabilities in float32, largest difference from the processor", largest, 0.01))
    if {"--fast", "processor"} <= set(tables):
        all_differences = differences(tables["--fast"], tables["processor"])
        mean = sum(all_differences) / len(all_differences)
        checks.append(Check("probabilities with --fast, mean difference from the processor in float32", mean, 0.05))
    return checks


def read_probabilities(file: Path) -> list[list[float]]:
    """Reads the five probabilities of each photograph, in the order of the ids."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: row["image_id"])
    return [[float(row[f"p{grade}"]) for grade in range(5)] for row in rows]


def differences(left: list[list[float]], right: list[list[float]]) -> list[float]:
    """Returns the absolute differences of two tables of the same photographs, one number after the other."""
    return [abs(a - b) for one, other in zip(left, right, strict=True) for a, b in zip(one, other, strict=True)]


def settings_to_measure(compiled: bool) -> Job:
    """Returns the settings of the rates by name. Compiled ones have their own process, since compiling may fail."""
    last = {"task": "train", "layout": "channels last", "compiled": compiled}
    if compiled:
        return {"training, bfloat16, channels last, compiled": {**last, "precision": "bfloat16"}}
    return {
        "training, float32, channels last": {**last, "precision": "float32"},
        "training, bfloat16, channels last": {**last, "precision": "bfloat16"},
        "training, bfloat16, channels first": {**last, "precision": "bfloat16", "layout": "channels first"},
        "prediction, float32": {"task": "predict", "precision": "float32"},
        "prediction, --fast": {"task": "predict", "precision": "fast"},
    }


def try_rates(trial: Trial, plan: Plan, on_cpu: bool) -> list[list[str]]:
    """Measures the rates of each network; returns rows of the table.

    The processor is measured in its float32 settings only, as the reference.
    """
    rows = []
    for network, settings in plan.networks.items():
        job = {"experiment": network, "settings": settings, "batch": plan.batch, "seconds": plan.seconds}
        own: Job = {"rates": {}, "memory": {}}
        for compiled in (False, True):
            name = f"rates of {network}{', compiled' if compiled else ''}"
            part = trial.ask(name, "rates", {**job, "measured": settings_to_measure(compiled)}, on_cpu=on_cpu)
            for key, values in (part or {}).items():
                own[key].update(values)
        plain = {name: each for name, each in settings_to_measure(False).items() if each["precision"] == "float32"}
        reference = trial.ask(f"rates of {network} on the processor", "rates", {**job, "measured": plain}, on_cpu=True)
        slow = {name.split(",")[0]: rate for name, rate in (reference or {"rates": {}})["rates"].items()}
        for name, rate in own["rates"].items():
            cpu, memory = slow.get(name.split(",")[0]), own["memory"][name]
            rows.append(
                [network, name, f"{rate:,.0f}", f"{rate / cpu:.1f} ×" if cpu else "", f"{memory:.1f}" if memory else ""]
            )
    return rows


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """Writes a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows))


def report(text: str, plan: Plan, checks: list[Check], rows: list[list[str]], failures: dict[str, str]) -> str:
    """Writes the report in Markdown: machine, checks, rates, and what failed."""
    checked = [
        [check.name, f"{check.value:.2g}", f"{check.bar:g}", "passed" if check.passed else "**failed**"]
        for check in checks
    ]
    parts = [
        f"{time.strftime('%-d %B %Y')}. {text}. Seed 0; {plan.photographs} drawn photographs; batches of {plan.batch}."
    ]
    if checked:
        parts.append(markdown(["check", "measured", "at most", ""], checked))
    if rows:
        parts.append(
            markdown(
                ["network", "", "photographs/s", "against float32 on the processor", "memory of the GPU, GB"], rows
            )
        )
    if failures:
        parts.append(markdown(["part without a result", "reason"], [[name, why] for name, why in failures.items()]))
    return "\n\n".join(parts)


def main() -> None:
    """Tries everything, or runs one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=6.0, help="time for all parts together")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="the device to try")
    parser.add_argument("--quick", action="store_true", help="a small network and few photographs, to try the script")
    parser.add_argument("--part", nargs=2, metavar=("NAME", "JOB"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(PARTS[arguments.part[0]](json.loads(arguments.part[1]))))
        return
    plan, on_cpu = QUICK if arguments.quick else WHOLE, arguments.device == "cpu"
    trial = Trial(time.monotonic() + 60 * arguments.minutes)
    found = trial.ask("machine", "machine", {}, on_cpu=on_cpu)
    if found is None:
        fail(f"{trial.failures['machine']}. Carry the wheels that are missing: docs/devices.md says how")
    if not on_cpu and not found["cuda"]:
        fail(
            f"PyTorch sees no GPU here ({found['text']}). See whether `nvidia-smi` lists one, and whether PyTorch was "
            "built for CUDA, or try the script itself: --device cpu --quick"
        )
    with tempfile.TemporaryDirectory() as folder:
        checks = try_checks(trial, plan, Path(folder), on_cpu)
        rows = try_rates(trial, plan, on_cpu)
    print(report(found["text"], plan, checks, rows, trial.failures))
    raise SystemExit(bool(trial.failures) or not all(check.passed for check in checks))


def fail(message: str) -> NoReturn:
    """Ends the script, since nothing can be tried."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
