"""Many experiments on one prepared set: in the order in which they build on each other, and on after a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter
from pathlib import Path

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import Experiment, experiment_names, load_experiment
from retinagrade.runs.run import Run
from retinagrade.training.train import train

EVERYTHING = "all"


def choose_experiments(names: Sequence[str]) -> list[str]:
    """Experiments by name, pattern or path.

    Args:
        names: Names or YAML files; ``all`` for every experiment that comes with retinagrade; or patterns such as
            ``vgg16-*``.

    Returns:
        Each once, in the order given, those of a pattern by name.

    Raises:
        ExperimentError: A pattern that fits no experiment.

    Example:
        >>> choose(["scratch-[34]", "vgg16-1", "scratch-3"])
        ['scratch-3', 'scratch-4', 'vgg16-1']
    """
    chosen: list[str] = []
    for name in names:
        pattern = "*" if name == EVERYTHING else name
        if set(pattern).isdisjoint("*?["):
            chosen.append(name)
            continue
        fitting = [known for known in experiment_names() if fnmatchcase(known, pattern)]
        if not fitting:
            raise ExperimentError(f"no experiment fits {name!r}: there are {', '.join(experiment_names())}")
        chosen += fitting
    return list(dict.fromkeys(chosen))


def order_experiments(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Experiments so that those that others start from come before them."""
    by_name = {experiment.name: experiment for experiment in experiments}
    starts = {name: [e.starts_from] if e.starts_from in by_name else [] for name, e in by_name.items()}
    return [by_name[str(name)] for name in TopologicalSorter(starts).static_order()]


def train_sweep(
    names: Sequence[str],
    prepared: Path,
    out: Path,
    overrides: Sequence[str] = (),
    announce: Callable[[str], None] = lambda line: None,
) -> tuple[list[Run], dict[str, str]]:
    """Trains experiments one after the other, each in its folder ``out/<name>``; finished ones are left as they are.

    Args:
        names: What to train; see :func:`choose_experiments`.
        prepared: A prepared set with splits ``train`` and ``val``.
        out: The folder of the runs' folders.
        overrides: Settings to change in every experiment.
        announce: Told, in a line, what happens next.

    Returns:
        The finished runs, and by name why the others failed.

    Raises:
        ExperimentError: An unknown experiment, or a setting that isn't valid; nothing has been trained then.
    """
    experiments = order_experiments([load_experiment(name, overrides) for name in choose_experiments(names)])
    runs: list[Run] = []
    failures: dict[str, str] = {}
    for number, experiment in enumerate(experiments, 1):
        announce(f"[{number}/{len(experiments)}] {experiment.name}: {experiment.description}")
        try:
            runs.append(train(experiment, prepared, out / experiment.name))
        except Exception as error:  # whatever one experiment dies of, the others are worth having
            failures[experiment.name] = str(error) or type(error).__name__
            announce(f"{experiment.name} failed: {failures[experiment.name]}")
    return runs, failures
