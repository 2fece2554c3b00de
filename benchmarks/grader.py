"""What does grading by a file cost: to start, to install, a network, and the whole way? Ratios to Keras from one run.

    python benchmarks/grader.py MODEL.onnx PHOTOGRAPHS [--experiment NAME] [--only start,size,network,whole]

MODEL.onnx is a file that ``retinagrade export`` made of a run of the experiment, PHOTOGRAPHS a folder at full size.
Keras gets a virtual environment of its own in the folder of ``training.py``. Measured:

* start: ``--help``, ``info``, and ``grade`` of one photograph, whole processes, and what ``grade`` imports;
* size: a fresh virtual environment with the base install, in megabytes, pip left out;
* network: photographs a second from memory, evidence included; Keras's ``predict`` of the same network, without;
* whole: photographs a second from files; Keras's side decodes in full, crops and resizes as the report does, and calls
  ``predict``, with TensorFlow's threads.

All sides take turns in fresh processes; a side's figure is its best.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from retinagrade.errors import UsageError
from retinagrade.grader.runtime import Grader
from training import Job, ask, experiment, keras_python, verdict

BATCH = 16
STARTS = 5
"""Processes of each command; the median counts, the first is not measured."""
GRADE_BAR, IMPORT_BAR, HELP_BAR, SIZE_BAR, NETWORK_BAR, WHOLE_BAR = 1.2, 0.4, 0.3, 350, 3.0, 5.0


def seconds(*command: object) -> np.ndarray:
    """The median of a process's seconds by the clock, and of processors: the same two where nothing else runs."""
    taken = []
    for _ in range(1 + STARTS):
        before, start = os.times(), time.perf_counter()
        subprocess.run([sys.executable, *map(str, command)], check=False, capture_output=True)
        after, clock = os.times(), time.perf_counter() - start
        taken.append((clock, after[2] + after[3] - before[2] - before[3]))
    return np.median(taken[1:], axis=0)


def starts(model: Path, photographs: Path) -> bool:
    """Prints how long commands take from nothing."""
    one = min(photographs.iterdir())
    commands = {
        "--help": (("-m", "retinagrade", "--help"), HELP_BAR),
        "info": (("-m", "retinagrade", "info"), HELP_BAR),
        "grade, one photograph": (("-m", "retinagrade", "grade", one, "--model", model), GRADE_BAR),
    }
    passed = True
    for name, (command, bar) in commands.items():
        passed &= below(name, seconds(*command), bar)
    imports = seconds("-c", "import retinagrade.cli.grader, retinagrade.grader.runtime") - seconds("-c", "pass")
    return below("what grade imports", imports, IMPORT_BAR) and passed


def below(name: str, taken: np.ndarray, bar: float) -> bool:
    """Prints seconds by the clock and of processors, and whether the first pass."""
    return verdict(f"{name}: {taken[0]:.2f} s ({taken[1]:.2f} s of processors) is below {bar} s", bool(taken[0] < bar))


def size() -> bool:
    """Prints how large a fresh environment is."""
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        source = Path(__file__).parents[1]
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-cache-dir", source], check=True)
        subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools", "pip"], check=True)
        megabytes = sum(file.lstat().st_size for file in Path(folder).rglob("*") if not file.is_dir()) / 1e6
    return verdict(f"a fresh environment: {megabytes:.0f} MB is below {SIZE_BAR} MB", megabytes < SIZE_BAR)


def network(job: Job) -> Job:
    """Our side: seconds a batch from memory, in float32 and, where it can be had, in bfloat16."""
    found = {}
    for name, fast in (("float32", False), ("bfloat16", True)):
        try:
            grader = Grader.load(job["model"], fast)
        except UsageError:
            continue
        side = grader.metadata.image_size
        batch = np.random.default_rng(0).integers(0, 256, (BATCH, side, side, 3), dtype=np.uint8)
        taken: list[float] = []
        while len(taken) < 8 or sum(taken[3:]) < job["seconds"]:
            start = time.perf_counter()
            grader.network(batch)
            taken.append(time.perf_counter() - start)
        found[name] = BATCH / median(taken[3:])
    return found


def whole(job: Job) -> Job:
    """Our side: photographs a second of the whole way, in float32."""
    grader = Grader.load(job["model"])
    grader.grade(job["files"][:BATCH])
    start = time.perf_counter()
    errors = sum(one.error is not None for one in grader.grade(job["files"]))
    return {"float32": len(job["files"]) / (time.perf_counter() - start), "errors": errors}


def compare(task: str, job: Job, keras_job: Job, options: argparse.Namespace, bar: float) -> bool:
    """Prints photographs a second of both sides."""
    keras = keras_python(options.folder)
    best: dict[str, float] = {}
    for _ in range(options.rounds):
        ours = ask(Path(sys.executable), Path(__file__).name, {**job, "task": task})
        theirs = ask(keras, "keras_side.py", keras_job)
        rates = {str(name): ours[name] for name in ("float32", "bfloat16") if name in ours}
        rates["Keras"] = BATCH / theirs["seconds"] if task == "network" else len(job["files"]) / theirs["seconds"]
        best = {name: max(rate, best.get(name, 0)) for name, rate in rates.items()}
    for name, rate in best.items():
        print(f"{task}, {name:10}{rate:8.1f} photographs/s{rate / best['Keras']:8.2f} ×")
    name = "bfloat16" if "bfloat16" in best else "float32"
    ratio = best[name] / best["Keras"]
    return verdict(f"{task}: {name}'s {ratio:.2f} × is at least {bar} ×", ratio >= bar)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "retinagrade-benchmark"
    parser.add_argument("model", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--experiment", default="mobilenetv2-7-on-4", help="what the file's network is")
    parser.add_argument("--folder", type=Path, default=cache, help="Keras's environment")
    parser.add_argument("--only", default="start,size,network,whole", help="parts to run, separated by commas")
    parser.add_argument("--rounds", type=int, default=3, help="turns of either side")
    parser.add_argument("--seconds", type=float, default=6.0, help="of measuring a network in a process")
    return parser.parse_args()


def main() -> None:
    """Measures and prints; exit 1 where a bar is missed. As a side of its own it answers one job."""
    if len(sys.argv) == 1:
        job = json.load(sys.stdin)
        print(json.dumps({"network": network, "whole": whole}[job["task"]](job)))
        return
    options = parse()
    model, files = str(options.model.resolve()), [str(path.resolve()) for path in sorted(options.photographs.iterdir())]
    values, parts, passed = experiment(options.experiment), options.only.split(","), True
    if "start" in parts:
        passed &= starts(options.model, options.photographs)
    if "size" in parts:
        passed &= size()
    if "network" in parts:
        predict = {**values, "task": "predict", "policy": "float32", "batch": BATCH, "seconds": options.seconds}
        job = {"model": model, "seconds": options.seconds}
        passed &= compare("network", job, predict, options, NETWORK_BAR)
    if "whole" in parts:
        grade = {**values, "task": "grade", "files": files, "batch": BATCH}
        passed &= compare("whole", {"model": model, "files": files}, grade, options, WHOLE_BAR)
    raise SystemExit(not passed)


if __name__ == "__main__":
    main()
