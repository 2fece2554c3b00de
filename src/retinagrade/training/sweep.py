"""Training of several experiments on one prepared set, and their comparison."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter
from pathlib import Path

import pandas as pd

from retinagrade.arguments import NOT_NEGATIVE, NumberRange, check_arguments
from retinagrade.errors import ExperimentError
from retinagrade.execution.progress import Progress, prefix_stages
from retinagrade.experiments.experiment import Experiment, experiment_files, experiment_names, load_experiment
from retinagrade.messages import counted
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.run import Run
from retinagrade.storage.locking import locked
from retinagrade.storage.output_guard import continued_folder, guard_outputs
from retinagrade.training.cross_validate import cross_validate
from retinagrade.training.sweep_report import finished_runs, report_outputs, sweep_table, write_sweep_report
from retinagrade.training.train import train

EVERYTHING = "all"


def choose_experiments(names: Sequence[str]) -> list[str]:
    """Resolves patterns of experiments' names.

    Args:
        names: Names, YAML files, patterns such as ``vgg16-*``, or ``all`` for every experiment that comes with
            retinagrade. Patterns and ``all`` select networks that grade: others have no grades to compare.

    Returns:
        Names and files without repetition, in the order of ``names``; those of a pattern in alphabetical order.

    Raises:
        ExperimentError: No experiment fits a pattern.

    Example:
        >>> choose_experiments(["scratch-[34]", "vgg16-1", "scratch-3"])
        ['scratch-3', 'scratch-4', 'vgg16-1']
    """
    chosen: list[str] = []
    for name in names:
        pattern = "*" if name == EVERYTHING else name
        if set(pattern).isdisjoint("*?["):
            chosen.append(name)
            continue
        fitting = [shipped for shipped in _grading_experiments() if fnmatchcase(shipped, pattern)]
        if not fitting:
            raise ExperimentError(f"no experiment fits {name!r}: choose among {', '.join(_grading_experiments())}")
        chosen += fitting
    return list(dict.fromkeys(chosen))


def _grading_experiments() -> list[str]:
    return [name for name in experiment_names() if not load_experiment(name).outlines_lesions]


def order_experiments(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Sorts experiments so that each comes after the one that it starts from."""
    by_name = {experiment.name: experiment for experiment in experiments}
    starts = {name: [e.starts_from] if e.starts_from in by_name else [] for name, e in by_name.items()}
    return [by_name[str(name)] for name in TopologicalSorter(starts).static_order()]


@dataclass(frozen=True, repr=False)
class Sweep:
    """Runs of several experiments on one prepared set.

    Attributes:
        folder: The folder of the runs' folders.
        runs: The finished runs of the experiments that were asked for; none with folds.
        cross_validations: With folds, the finished cross-validations of these experiments.
        failures: The reason of every experiment that failed, by its name.
        table: One row for every finished run in the folder, as
            :func:`~retinagrade.training.sweep_report.sweep_table` makes it; empty where no run is finished.
        page: ``comparison.html``; ``None`` where no run is finished.
    """

    folder: Path
    runs: list[Run]
    cross_validations: list[CrossValidation]
    failures: dict[str, str]
    table: pd.DataFrame
    page: Path | None

    def __repr__(self) -> str:
        """Returns the folder and the number of runs."""
        finished = counted(len(self.runs), "run")
        if self.cross_validations:
            finished = counted(len(self.cross_validations), "cross-validation")
        return f"Sweep({str(self.folder)!r}: {finished} finished, {len(self.failures)} failed)"

    def _repr_html_(self) -> str:
        return self.table._repr_html_()  # type: ignore[operator,no-any-return]  # pandas-stubs leave it out


@check_arguments(folds=NumberRange(at_least=2), workers=NOT_NEGATIVE)
def sweep(
    prepared: str | os.PathLike[str],
    experiments: str | Sequence[str | os.PathLike[str] | Experiment],
    out: str | os.PathLike[str],
    *,
    settings: Sequence[str] = (),
    folds: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Trains several experiments one after the other, and compares them.

    Each experiment is trained in its folder ``out/NAME``. One that starts from another comes after it, finished ones
    stay unchanged, and one that fails doesn't stop those after it.

    Args:
        prepared: Folder of a prepared set with splits ``train`` and ``val``.
        experiments: Experiments to train, as :func:`choose_experiments` takes them, or objects.
        out: Folder of the runs' folders.
        settings: Settings to change in every experiment, as ``section.key=value``.
        folds: Number of folds to cross-validate each experiment with, as
            :func:`~retinagrade.training.cross_validate.cross_validate` does; ``None`` trains it once.
        workers: Processes that load photographs, as in :func:`~retinagrade.training.train.train`.
        progress: Receives the progress of each experiment's training.

    Returns:
        The runs, the failures and the comparison.

    Raises:
        ExperimentError: An experiment is unknown, a setting isn't valid, or two experiments have one name; nothing has
            been trained then.
        UsageError: ``out`` is, holds or lies in an input, or a file that is no comparison of runs has its name.
    """
    out = Path(out)
    asked = [experiments] if isinstance(experiments, str) else experiments
    named = [[each] if isinstance(each, Experiment) else choose_experiments([os.fspath(each)]) for each in asked]
    chosen = [experiment for each in named for experiment in each]
    files = [file for experiment in chosen for file in experiment_files(experiment)]
    guard_outputs([continued_folder(out), *report_outputs(out)], [Path(prepared), *files])
    loaded = [load_experiment(experiment, settings) for experiment in chosen]
    different = [each for place, each in enumerate(loaded) if each not in loaded[:place]]
    count = Counter(experiment.name for experiment in different)
    if repeated := [name for name in count if count[name] > 1]:
        raise ExperimentError(f"two experiments are named {repeated[0]}: change the key 'name' of one file")
    ordered = order_experiments(different)
    with locked(out / "comparison.csv"):
        runs: list[Run] = []
        cross_validations: list[CrossValidation] = []
        failures: dict[str, str] = {}
        for number, experiment in enumerate(ordered, 1):
            prefix = f"{experiment.name} ({number} of {len(ordered)})"
            if progress is not None:
                progress(f"{prefix}: {experiment.description}", 0, None)
            try:
                own_progress = prefix_stages(progress, prefix)
                folder = out / experiment.name
                if folds is None:
                    runs.append(train(prepared, experiment, folder, workers=workers, progress=own_progress))
                else:
                    cross_validations.append(
                        cross_validate(prepared, experiment, folder, folds, workers=workers, progress=own_progress)
                    )
            except Exception as error:  # the other experiments are worth training, whatever made this one fail
                failures[experiment.name] = str(error) or type(error).__name__
                if progress is not None:
                    progress(f"{experiment.name} failed: {failures[experiment.name]}", 0, None)
        if not (finished := finished_runs(out)):
            return Sweep(out, runs, cross_validations, failures, pd.DataFrame(), None)
        return Sweep(out, runs, cross_validations, failures, sweep_table(finished), write_sweep_report(out, failures))
