"""Compares the speed of training and prediction with Keras 3 on TensorFlow, on the processor.

    python benchmarks/training.py [--folder FOLDER] [--only counts,steps,whole,loader] [--rounds 3] [--batch 32]

The first run makes a virtual environment for Keras in FOLDER. The parts are:

* the numbers of parameters of the report's 25 networks: Keras's ``count_params`` against the YAML files;
* a training step and a prediction of six networks with random weights, fed from memory, in photographs per second: ours
  by the trainer of ``retinagrade train`` and by the inference of ``retinagrade predict``, with and without ``--fast``;
  Keras's by ``fit`` and ``predict`` on a ``tf.data`` set that repeats one batch, in its default float32 and, with
  ``--keras-bfloat16``, also with the policy ``mixed_bfloat16``;
* a whole experiment with a frozen backbone: the command ``retinagrade train vgg16-2`` against a program that fits the
  same network to the same files with the report's augmentation;
* the loader: reading, augmenting and batching in one process, as a share of a training step of mobilenetv2-2.

Both sides take turns, each time in a new process, so that other load on the machine affects both. The time of a process
is its median step, and the time of a side is its fastest process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np

from retinagrade.cli import ENVIRONMENT
from retinagrade.datasets.balance import balance
from retinagrade.experiments.experiment import experiment_names, load_experiment
from retinagrade.manifest import Manifest
from retinagrade.training.features import cache_folder

HERE = Path(__file__).parent
KERAS = ("keras>=3.8,<4", "tensorflow-cpu>=2.18")
REPORTED = ("scratch", "vgg16", "mobilenetv2")
"""Families of experiments whose parameters the report prints."""
NETWORKS = {
    "scratch-2": ("scratch-2", ()),
    "vgg16-2": ("vgg16-2", ()),
    "vgg16-6": ("vgg16-6", ()),
    "mobilenetv2-2": ("mobilenetv2-2", ()),
    "mobilenetv2-7-on-4": ("mobilenetv2-7-on-4", ()),
    "resnet50, whole": ("resnet50-1", ("network.trained_from=all",)),
}
"""Networks to measure: an experiment, and settings to change."""
WHOLE = "vgg16-2"
PHOTOGRAPHS, PER_GRADE, WHOLE_BATCH, EPOCHS = 200, 32, 32, 10
BARS = {"train ours": (3.0, 2.0), "predict fast": (4.0, 2.5), "predict ours": (1.3, 1.05)}
"""Aims of our sides: the geometric mean of the ratios to Keras in float32, and the lowest ratio."""
WHOLE_BAR, LOADER_BAR = 8.0, 0.15

SIDES = ("keras", "keras bf16")

Job = dict[str, Any]


def keras_python(folder: Path) -> Path:
    """Returns the Python of Keras's virtual environment, after making it where it is missing."""
    python = folder / "venv" / "bin" / "python"
    ready = folder / "venv" / "ready"
    if not ready.is_file():
        print(f"installing {' and '.join(KERAS)} in {folder / 'venv'}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *KERAS], check=True)
        ready.touch()
    return python


def ask(python: Path, script: str, job: Job) -> Job:
    """Runs a job of one side in a new process; ``wall`` in the result is the duration of the process in seconds."""
    start = time.perf_counter()
    environment = {**ENVIRONMENT, **os.environ}  # like the command line; TensorFlow has threads of its own
    done = subprocess.run(
        [python, HERE / script], input=json.dumps(job), text=True, capture_output=True, env=environment
    )
    if done.returncode:
        raise SystemExit(f"{script} failed:\n{done.stderr[-4000:]}")
    answer: Job = json.loads(done.stdout.splitlines()[-1])
    return {**answer, "wall": time.perf_counter() - start}


def experiment(name: str, *overrides: str) -> Job:
    """Returns an experiment with random weights, as JSON."""
    return load_experiment(name, ["network.weights=none", *overrides]).model_dump(mode="json")


def counts(keras: Path) -> bool:
    """Prints the parameters that our files state and that Keras counts; True where they agree."""
    names = [name for name in experiment_names() if name.startswith(REPORTED)]
    experiments = {name: experiment(name) for name in names}
    networks = {name: values["network"] for name, values in experiments.items()}
    counted = ask(keras, "keras_side.py", {"task": "count", "networks": networks})
    print(f"\n{'parameters':24}{'stated':>12}{'trainable':>12}{'Keras':>14}{'trainable':>12}")
    same = True
    for name, values in experiments.items():
        agrees = values["parameters"] == counted[name]
        same &= agrees
        print(f"{name:24}{values['parameters'][0]:12,}{values['parameters'][1]:12,}", end="")
        print(f"{counted[name][0]:14,}{counted[name][1]:12,}  {'' if agrees else 'DIFFERENT'}")
    print(f"Keras {counted['keras']}, TensorFlow {counted['tensorflow']}")
    return verdict(f"all {len(names)} counts are Keras's", same)


def sides(keras: Path, keras_bfloat16: bool) -> Iterator[tuple[str, Path, str, Job]]:
    """Yields the measurements of every network: name, Python, script and job."""
    ours = Path(sys.executable)
    yield "train ours", ours, "our_side.py", {"task": "train"}
    yield "train keras", keras, "keras_side.py", {"task": "train", "policy": "float32"}
    yield "predict fast", ours, "our_side.py", {"task": "predict", "fast": True}
    yield "predict keras", keras, "keras_side.py", {"task": "predict", "policy": "float32"}
    yield "predict ours", ours, "our_side.py", {"task": "predict", "fast": False}
    if keras_bfloat16:
        yield "train keras bf16", keras, "keras_side.py", {"task": "train", "policy": "mixed_bfloat16"}
        yield "predict keras bf16", keras, "keras_side.py", {"task": "predict", "policy": "mixed_bfloat16"}


def steps(keras: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measures photographs per second of every network and side."""
    best: dict[str, dict[str, float]] = {name: {} for name in NETWORKS}
    for turn in range(options.rounds):
        for name, (base, overrides) in NETWORKS.items():
            values = experiment(base, *overrides)
            for side, python, script, asked in sides(keras, options.keras_bfloat16):
                whole = {"experiment": values} if script == "our_side.py" else values
                answer = ask(python, script, {**whole, **asked, "batch": options.batch, "seconds": options.seconds})
                best[name][side] = max(best[name].get(side, 0.0), options.batch / answer["seconds"])
            print(
                f"round {turn + 1}, {name}: {json.dumps({k: round(v, 1) for k, v in best[name].items()})}", flush=True
            )
    return best


def print_steps(speeds: dict[str, dict[str, float]]) -> bool:
    """Prints the tables of our sides; True where all reach their aims."""
    passed = True
    for ours, theirs in ((ours, f"{ours.split()[0]} {theirs}") for theirs in SIDES for ours in BARS):
        if not all(ours in speed and theirs in speed for speed in speeds.values()):
            continue
        ratios = {name: speed[ours] / speed[theirs] for name, speed in speeds.items()}
        print(f"\n{f'photographs per second: {ours} / {theirs}':56}{'ours':>8}{'Keras':>8}{'ratio':>9}")
        for name, ratio in ratios.items():
            print(f"{name:56}{speeds[name][ours]:8.1f}{speeds[name][theirs]:8.1f}{ratio:7.2f} ×")
        mean, lowest = geometric_mean(ratios.values()), min(ratios.values())
        print(f"{'geometric mean':72}{mean:7.2f} ×\n{'lowest':72}{lowest:7.2f} ×")
        if theirs.endswith(" keras"):
            mean_bar, lowest_bar = BARS[ours]
            passed &= verdict(f"{ours}: geometric mean {mean:.2f} × is at least {mean_bar} ×", mean >= mean_bar)
            passed &= verdict(f"{ours}: lowest {lowest:.2f} × is at least {lowest_bar} ×", lowest >= lowest_bar)
    return passed


def make_photographs(folder: Path) -> Path:
    """Makes a prepared and split set of synthetic photographs at 224 px by the commands, or returns an earlier one."""
    prepared = folder / "prepared"
    if not (prepared / "split.json").is_file():
        retinagrade("data", "synthesize", "--out", folder / "source", "--count", PHOTOGRAPHS, "--size", 512)
        retinagrade("prepare", folder / "source", "--out", prepared, "--size", 224)
        retinagrade("split", prepared, "--val", 0.1)
    return prepared


def retinagrade(*words: object) -> float:
    """Runs a command, and returns its duration in seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "retinagrade", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - start


def whole_job(prepared: Path, overrides: list[str]) -> Job:
    """Returns the job for Keras: files and grades of an epoch as we draw one, and of the validation photographs."""
    manifest = Manifest.read(prepared / "manifest.csv").graded()
    files = {}
    for split in ("train", "val"):
        part = manifest.split(split)
        grades = part.table["grade"].to_numpy(dtype=int)
        rows = balance(grades, PER_GRADE, np.random.default_rng(0)) if split == "train" else range(len(grades))
        files[split] = [(str(part.file(part.table["path"].iloc[row])), int(grades[row])) for row in rows]
    values = experiment(WHOLE, *overrides)
    return {**values, "task": "whole", "photographs": files["train"], "validation": files["val"]}


def whole_experiment(keras: Path, prepared: Path, rounds: int) -> bool:
    """Prints the duration of a whole experiment on both sides, with the start of the programs."""
    settings = [f"training.balance={PER_GRADE}", f"training.batch_size={WHOLE_BATCH}"]
    settings += [f"training.epochs={EPOCHS}", f"training.patience={EPOCHS}"]
    words = [word for setting in ("network.weights=none", *settings) for word in ("--set", setting)]
    job = whole_job(prepared, settings)
    ours, theirs = [], []
    for _ in range(rounds):
        shutil.rmtree(cache_folder(prepared, prepared), ignore_errors=True)  # no features from the last round
        with tempfile.TemporaryDirectory() as folder:
            ours.append(retinagrade("train", prepared, WHOLE, "--out", Path(folder) / "run", *words))
        theirs.append(ask(keras, "keras_side.py", job)["wall"])
        print(f"{WHOLE}, {EPOCHS} epochs: retinagrade train {ours[-1]:.1f} s, Keras {theirs[-1]:.1f} s", flush=True)
    ratio = min(theirs) / min(ours)
    drawn = len(job["photographs"])
    print(
        f"\nthe whole of {WHOLE}, {EPOCHS} epochs of {drawn} photographs, "
        f"{len(job['validation'])} validation photographs:"
    )
    print(f"retinagrade train {min(ours):.1f} s, Keras {min(theirs):.1f} s")
    return verdict(f"whole experiment: {ratio:.2f} × is at least {WHOLE_BAR:.0f} ×", ratio >= WHOLE_BAR)


def loader_share(prepared: Path, options: argparse.Namespace) -> bool:
    """Prints the loader's time for a photograph as a share of a training step of mobilenetv2-2."""
    values = experiment("mobilenetv2-2", f"training.batch_size={options.batch}", f"training.balance={PER_GRADE}")
    read, step = [], []
    for _ in range(options.rounds):
        job = {"experiment": values, "batch": options.batch, "seconds": options.seconds}
        load = {"task": "load", "manifest": str(prepared / "manifest.csv"), "epochs": 5}
        read.append(ask(Path(sys.executable), "our_side.py", {**job, **load})["seconds"])
        step.append(ask(Path(sys.executable), "our_side.py", {**job, "task": "train"})["seconds"] / options.batch)
    share = min(read) / min(step)
    print(
        f"\nthe loader, one process: {1000 * min(read):.2f} ms for a photograph; a training step of mobilenetv2-2:",
        end="",
    )
    print(f" {1000 * min(step):.2f} ms")
    return verdict(f"input pipeline: {share:.1%} of the step is below {LOADER_BAR:.0%}", share < LOADER_BAR)


def verdict(bar: str, passed: bool) -> bool:
    """Prints the result of a comparison with a bar."""
    print(f"{'pass' if passed else 'FAIL'}: {bar}", flush=True)
    return passed


def parse() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "retinagrade-benchmarks"
    parser.add_argument(
        "--folder", type=Path, default=cache, help="folder of Keras's environment and of the synthetic photographs"
    )
    parser.add_argument("--only", default="counts,steps,whole,loader", help="parts to run, separated by commas")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side")
    parser.add_argument("--batch", type=int, default=32, help="photographs in a step")
    parser.add_argument("--seconds", type=float, default=6.0, help="seconds of measuring in a process")
    parser.add_argument("--keras-bfloat16", action="store_true", help="also measure Keras with mixed_bfloat16")
    return parser.parse_args()


def main() -> None:
    """Measures and prints; exits with 1 where a bar is missed."""
    options = parse()
    keras = keras_python(options.folder)
    parts, passed = options.only.split(","), True
    if "counts" in parts:
        passed &= counts(keras)
    if "steps" in parts:
        passed &= print_steps(steps(keras, options))
    if "whole" in parts:
        passed &= whole_experiment(keras, make_photographs(options.folder), options.rounds)
    if "loader" in parts:
        passed &= loader_share(make_photographs(options.folder), options)
    raise SystemExit(0 if passed else 1)


if __name__ == "__main__":
    main()
