"""Measures grading with a file: start, network and complete grading, compared with Keras.

    python benchmarks/grader.py MODEL.onnx PHOTOGRAPHS [--experiment NAME] [--only start,network,whole]

MODEL.onnx is a grader file of a run of the experiment; PHOTOGRAPHS is a folder of full-size photographs. Keras gets its
own virtual environment in the folder of ``training.py``. The parts are:

* start: the processes ``--help``, ``info``, and ``grade`` of one photograph, and the imports of ``grade``;
* network: photographs per second from memory, with saliency maps; Keras computes ``predict`` of the same network,
  without saliency maps;
* whole: photographs per second from files; Keras decodes at full size, crops and resizes like the report, and calls
  ``predict`` with TensorFlow's threads.

All sides take turns in fresh processes; the best rate of each side counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from retinagrade.errors import UsageError
from retinagrade.grader.runtime import Grader
from training import Job, ask, experiment, keras_python, verdict

BATCH = 16
STARTS = 5
"""Measured processes of each command; their median counts. One more process runs first."""
GRADE_BAR, IMPORT_BAR, HELP_BAR, NETWORK_BAR, WHOLE_BAR = 1.2, 0.4, 0.3, 3.0, 5.0


def seconds(*command: object) -> NDArray[np.float64]:
    """Returns the median wall time and processor time of a process, in seconds."""
    taken = []
    for _ in range(1 + STARTS):
        before, start = os.times(), time.perf_counter()
        subprocess.run([sys.executable, *map(str, command)], check=False, capture_output=True)
        after, clock = os.times(), time.perf_counter() - start
        taken.append((clock, after[2] + after[3] - before[2] - before[3]))
    median_times: NDArray[np.float64] = np.median(taken[1:], axis=0)
    return median_times


def starts(model: Path, photographs: Path) -> bool:
    """Prints the duration of fresh processes."""
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
    return below("imports of grade", imports, IMPORT_BAR) and passed


def below(name: str, taken: NDArray[np.float64], bar: float) -> bool:
    """Prints wall time and processor time, and whether the wall time passes."""
    return verdict(
        f"{name}: {taken[0]:.2f} s ({taken[1]:.2f} s of processor time) is below {bar} s", bool(taken[0] < bar)
    )


def network(job: Job) -> Job:
    """Measures our photographs per second from memory, in float32 and, if available, in bfloat16."""
    rates = {}
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
        rates[name] = BATCH / median(taken[3:])
    return rates


def whole(job: Job) -> Job:
    """Measures our photographs per second from files, in float32."""
    grader = Grader.load(job["model"])
    grader.grade(job["files"][:BATCH])
    start = time.perf_counter()
    errors = sum(grading.error is not None for grading in grader.grade(job["files"]))
    return {"float32": len(job["files"]) / (time.perf_counter() - start), "errors": errors}


def compare(task: str, job: Job, keras_job: Job, options: argparse.Namespace, bar: float) -> bool:
    """Prints the photographs per second of both sides."""
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
    return verdict(f"{task}: {ratio:.2f} × of {name} is at least {bar} ×", ratio >= bar)


def parse() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "retinagrade-benchmark"
    parser.add_argument("model", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--experiment", default="mobilenetv2-7-on-4", help="experiment of the network in the file")
    parser.add_argument("--folder", type=Path, default=cache, help="folder of the Keras environment")
    parser.add_argument("--only", default="start,network,whole", help="parts to run, separated by commas")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=6.0, help="seconds to measure a network in a process")
    return parser.parse_args()


def main() -> None:
    """Measures and prints; exit code 1 if a limit is missed. Without arguments, it does one job from standard input."""
    if len(sys.argv) == 1:
        job = json.load(sys.stdin)
        print(json.dumps({"network": network, "whole": whole}[job["task"]](job)))
        return
    options = parse()
    model, files = str(options.model.resolve()), [str(path.resolve()) for path in sorted(options.photographs.iterdir())]
    values, parts, passed = experiment(options.experiment), options.only.split(","), True
    if "start" in parts:
        passed &= starts(options.model, options.photographs)
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
