"""A study: what is tuned and how, the storage that its workers share, and which of them trains which trial."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import optuna
from filelock import BaseFileLock, FileLock, Timeout
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from retinagrade.errors import ExperimentError, UsageError
from retinagrade.evaluation.named_metrics import LOWER_IS_BETTER
from retinagrade.experiments.experiment import Experiment
from retinagrade.files import is_free_folder, write_json
from retinagrade.runs.run import Run
from retinagrade.training.tuning.search_space import SearchSpace

Pruning = Literal["median", "hyperband", "none"]
_JOURNAL: Final = "journal.log"


@dataclass(frozen=True)
class SearchPlan:
    """What is tuned, and how; with another plan it is another study.

    Attributes:
        experiment: What is tuned: the first trial.
        space: Its settings that are searched.
        metric: The figure of the validation photographs to be best, of :data:`~retinagrade.evaluation.named_metrics.METRIC_NAMES`.
        pruning: How trials that promise little are cut short: by the median of the others at the same epoch, or by
            Hyperband's halvings.
        seed: Of what is tried: of one worker, the same trials again.
    """

    experiment: Experiment
    space: SearchSpace
    metric: str = "quadratic_weighted_kappa"
    pruning: Pruning = "median"
    seed: int = 0

    @property
    def lower_is_better(self) -> bool:
        """Whether the metric is of what is wrong."""
        return self.metric in LOWER_IS_BETTER

    def to_json(self) -> dict[str, Any]:
        """The same for ``study.json``."""
        return {
            "experiment": self.experiment.model_dump(mode="json"),
            "space": self.space.model_dump(mode="json"),
            "metric": self.metric,
            "pruning": self.pruning,
            "seed": self.seed,
        }


def trial_run(folder: Path, trial: optuna.Trial | FrozenTrial) -> Run:
    """The run of a trial, in the study's folder."""
    return Run(folder / f"trial-{trial.number:03}")


def open_search(plan: SearchPlan, folder: Path, manifest_sha256: str, storage: str | None = None) -> optuna.Study:
    """Begins a study, or joins the one that is there.

    Args:
        plan: What is tuned, and how.
        folder: The study's folder.
        manifest_sha256: Digest of the manifest that its trials are trained on.
        storage: Where trials are kept: a URL of SQLite, PostgreSQL or another database; by default a file in the
            folder. It may hold a password, and is written nowhere.

    Returns:
        Optuna's study.

    Raises:
        ExperimentError: The folder holds something else or a study of another plan; or the storage doesn't know the
            study, or knows another one of its name.
        UsageError: The storage can't be reached.
    """
    first = plan.space.as_it_is(plan.experiment)
    record = {**plan.to_json(), "manifest_sha256": manifest_sha256}
    file = folder / "study.json"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _lock(folder, "study"):
        if not file.is_file() and not is_free_folder(folder, besides=(_JOURNAL,)):
            raise ExperimentError(f"{folder} is not empty and not a study: choose another --out")
        name = _name_of(file, record)
        with _told_of(storage, folder, name):
            opened = _opened(storage, folder)
            pruner = _pruner(plan.pruning, plan.experiment.training.epochs)
            if file.is_file():
                return optuna.load_study(study_name=name, storage=opened, pruner=pruner)
            study = optuna.create_study(
                study_name=name,
                storage=opened,
                pruner=pruner,
                direction="minimize" if plan.lower_is_better else "maximize",
                load_if_exists=storage is None,  # of a process that was killed right here
            )
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(first)
        write_json(file, {"name": name, **record})
        return study


def worker_trials(
    study: optuna.Study, plan: SearchPlan, folder: Path, trials: int
) -> Generator[optuna.Trial, None, None]:
    """The trials that this worker is to train: first what a worker that is gone has left, then new ones.

    A trial is its worker's for as long as that holds the trial's lock, which the system takes from a process that dies.
    So a kill is noticed at once, whatever the storage, and the same trial goes on.

    Args:
        study: The study.
        plan: Its plan.
        folder: Its folder, which all workers share.
        trials: Trials that the study is to have, of all workers together.

    Yields:
        A trial that is this worker's until the next one is asked for.
    """
    while True:
        with _lock(folder, "study"):
            turn = _left_behind(study, folder) or _new(study, folder, trials)
        if turn is None:
            return
        trial, lock = turn
        # What is drawn depends on the trial alone, not on who trains it, nor on how often it was cut off.
        seed = int(np.random.SeedSequence((plan.seed, trial.number)).generate_state(1)[0])
        study.sampler = TPESampler(seed=seed, constant_liar=True, multivariate=False)
        try:
            yield trial
        finally:
            lock.release()


def _left_behind(study: optuna.Study, folder: Path) -> tuple[optuna.Trial, BaseFileLock] | None:
    """A trial that nobody trains any more; it goes on with the settings that it has."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        lock = _lock(folder, trial_run(folder, trial).folder.name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return optuna.Trial(study, trial._trial_id), lock
    return None


def _new(study: optuna.Study, folder: Path, trials: int) -> tuple[optuna.Trial, BaseFileLock] | None:
    begun = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]
    if len(begun) >= trials:
        return None
    trial = study.ask()
    lock = _lock(folder, trial_run(folder, trial).folder.name)
    lock.acquire()
    return trial, lock


def _lock(folder: Path, name: str) -> BaseFileLock:
    locks = folder / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / name)


def _name_of(file: Path, record: dict[str, Any]) -> str:
    """The name that a study has in its storage, which studies of other folders may share.

    Raises:
        ExperimentError: It is a study of another plan, or its record is broken.
    """
    folder = file.parent
    if not file.is_file():  # drawn at random, the name would give a repeated study other brackets of Hyperband
        return f"{folder.name}-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}"
    try:
        earlier = json.loads(file.read_text(encoding="utf-8"))
        name = str(earlier["name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExperimentError(f"{file}: not a readable record of a study: {error}") from error
    if changed := [key for key in record if earlier.get(key) != record[key]]:
        raise ExperimentError(
            f"{folder} holds a study with another {', '.join(changed)}: choose another --out, or delete that folder"
        )
    return name


@contextmanager
def _told_of(storage: str | None, folder: Path, name: str) -> Iterator[None]:
    """Turns what a storage fails with into what a person can act on."""
    try:
        yield
    except KeyError:
        raise ExperimentError(
            f"the storage knows nothing of the study in {folder}: give the --storage that it was begun with"
        ) from None
    except optuna.exceptions.DuplicatedStudyError:
        raise ExperimentError(
            f"the storage has a study {name} of a folder {folder} that is gone: choose another --out, or "
            f"`optuna delete-study --study-name {name} --storage URL`"
        ) from None
    except ImportError as error:
        raise UsageError(
            f"--storage: the driver of this database is missing ({error}); PostgreSQL's and SQLite's come with "
            "pip install 'retinagrade[tune]'"
        ) from error
    except ArgumentError:
        raise UsageError(
            "--storage is a URL such as postgresql://user:password@host/database or sqlite:///file.db"
        ) from None
    except SQLAlchemyError as error:
        raise UsageError(f"--storage can't be used: {str(error).splitlines()[0]}") from error


def _opened(storage: str | None, folder: Path) -> BaseStorage:
    if storage is None:
        return JournalStorage(JournalFileBackend(str(folder / _JOURNAL)))
    url = make_url(storage)
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    return RDBStorage(url.render_as_string(hide_password=False))


def _pruner(pruning: Pruning, epochs: int) -> BasePruner:
    match pruning:
        case "median":
            return MedianPruner(n_startup_trials=5, n_warmup_steps=epochs // 3)
        case "hyperband":
            return HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)
        case "none":
            return NopPruner()
