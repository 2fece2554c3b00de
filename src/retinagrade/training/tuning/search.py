"""A search: its plan, the storage that its workers share, and the division of the trials among them."""

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
from retinagrade.runs.run import Run
from retinagrade.storage.files import is_free_folder, write_json
from retinagrade.storage.system_errors import reason
from retinagrade.training.tuning.search_space import SearchSpace

PruningName = Literal["median", "hyperband", "none"]
_JOURNAL: Final = "journal.log"


@dataclass(frozen=True)
class SearchPlan:
    """The plan of a search; a search with another plan needs another folder.

    Attributes:
        experiment: The experiment to tune, which is the first trial.
        space: The settings to search.
        metric: Metric of the validation photographs to optimise, one of
            :data:`~retinagrade.evaluation.named_metrics.METRIC_NAMES`.
        pruning: Rule that stops unpromising trials early: ``median`` if they are worse than the median of the others at
            the same epoch, or ``hyperband``.
        seed: Seed of the sampler; one worker draws the same trials again.
    """

    experiment: Experiment
    space: SearchSpace
    metric: str = "quadratic_weighted_kappa"
    pruning: PruningName = "median"
    seed: int = 0

    @property
    def lower_is_better(self) -> bool:
        """Whether the metric is a loss or an error."""
        return self.metric in LOWER_IS_BETTER

    def to_json(self) -> dict[str, Any]:
        """Returns the plan as stored in ``search.json``."""
        return {
            "experiment": self.experiment.model_dump(mode="json"),
            "space": self.space.model_dump(mode="json"),
            "metric": self.metric,
            "pruning": self.pruning,
            "seed": self.seed,
        }


def trial_run(folder: Path, trial: optuna.Trial | FrozenTrial) -> Run:
    """Returns the run of a trial, in the folder of the search."""
    return Run(folder / f"trial-{trial.number:03}")


def open_search(plan: SearchPlan, folder: Path, manifest_sha256: str, storage: str | None = None) -> optuna.Study:
    """Begins a search, or joins an existing one.

    Args:
        plan: The plan.
        folder: The folder of the search.
        manifest_sha256: Digest of the manifest that the trials are trained on.
        storage: Storage of the trials: the URL of a SQLite, PostgreSQL or other database; by default a file in the
            folder. It may hold a password and is not written to any file.

    Returns:
        Optuna's study.

    Raises:
        ExperimentError: The folder holds something else, or a search with another plan; or the storage lacks the
            search, or has another one with its name.
        UsageError: The storage can't be reached.
    """
    first = plan.space.unchanged(plan.experiment)
    record = {**plan.to_json(), "manifest_sha256": manifest_sha256}
    file = folder / "search.json"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _lock(folder, "search"):
        if not file.is_file() and not is_free_folder(folder, besides=(_JOURNAL,)):
            raise ExperimentError(f"{folder} is not empty and not a search: choose another --out")
        name = _name_of(file, record)
        with _storage_errors(folder, name):
            opened = _open_storage(storage, folder)
            pruner = _pruner(plan.pruning, plan.experiment.training.epochs)
            if file.is_file():
                return optuna.load_study(study_name=name, storage=opened, pruner=pruner)
            study = optuna.create_study(
                study_name=name,
                storage=opened,
                pruner=pruner,
                direction="minimize" if plan.lower_is_better else "maximize",
                load_if_exists=storage is None,  # a process that was killed here may have left it
            )
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(first)
        write_json(file, {"name": name, **record})
        return study


def worker_trials(
    study: optuna.Study, plan: SearchPlan, folder: Path, trials: int
) -> Generator[optuna.Trial, None, None]:
    """Yields the trials that this worker trains: first those that a dead worker has left, then new ones.

    A worker holds a lock while it trains a trial. The operating system releases the lock of a process that dies, so
    that another worker continues the trial at once, with any storage.

    Args:
        study: Optuna's study.
        plan: The plan of the search.
        folder: The folder of the search, which all workers share.
        trials: Number of trials of the search, of all workers together.

    Yields:
        A trial, which belongs to this worker until it asks for the next one.
    """
    while True:
        with _lock(folder, "search"):
            assigned = _abandoned_trial(study, folder) or _new_trial(study, folder, trials)
        if assigned is None:
            return
        trial, lock = assigned
        # The settings depend on the trial's number alone, not on its worker or on interruptions.
        seed = int(np.random.SeedSequence((plan.seed, trial.number)).generate_state(1)[0])
        study.sampler = TPESampler(seed=seed, constant_liar=True, multivariate=False)
        try:
            yield trial
        finally:
            lock.release()


def _abandoned_trial(study: optuna.Study, folder: Path) -> tuple[optuna.Trial, BaseFileLock] | None:
    """Returns a trial whose worker has died; it keeps its settings."""
    for trial in _running_trials(study):
        lock = _lock(folder, trial_run(folder, trial).folder.name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        # The worker of the trial may have finished it, and released the lock, after the first look.
        if any(each.number == trial.number for each in _running_trials(study)):
            return optuna.Trial(study, trial._trial_id), lock
        lock.release()
    return None


def _running_trials(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def _new_trial(study: optuna.Study, folder: Path, trials: int) -> tuple[optuna.Trial, BaseFileLock] | None:
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
    """Returns the name of a search in its storage, which may hold searches of other folders as well.

    Raises:
        ExperimentError: The search has another plan, or its record is broken.
    """
    folder = file.parent
    if not file.is_file():  # a random name would change the brackets of Hyperband when a search is repeated
        return f"{folder.name}-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}"
    try:
        earlier = json.loads(file.read_text(encoding="utf-8"))
        name = str(earlier["name"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ExperimentError(f"{file} can't be read as the record of a search: {reason(error)}") from error
    if changed := [key for key in record if earlier.get(key) != record[key]]:
        raise ExperimentError(
            f"{folder} holds a search with another {', '.join(changed)}: choose another --out, or delete that folder"
        )
    return name


@contextmanager
def _storage_errors(folder: Path, name: str) -> Iterator[None]:
    """Turns errors of a storage into messages that tell the user how to proceed."""
    try:
        yield
    except KeyError:
        raise ExperimentError(
            f"the storage has no trials of the search in {folder}: name the --storage that it began with"
        ) from None
    except optuna.exceptions.DuplicatedStudyError:
        raise ExperimentError(
            f"the storage has trials {name} of a folder {folder} that was deleted: choose another --out, or "
            f"`optuna delete-study --study-name {name} --storage URL`"
        ) from None
    except ImportError as error:
        raise UsageError(
            f"--storage: the driver of this database is missing ({error}); PostgreSQL's and SQLite's come with "
            "pip install 'retinagrade[tune]'"
        ) from error
    except ArgumentError:
        raise UsageError(
            "--storage needs a URL such as postgresql://user:password@host/database or sqlite:///file.db"
        ) from None
    except SQLAlchemyError as error:
        raise UsageError(f"--storage can't be used: {str(error).splitlines()[0]}") from error


def _open_storage(storage: str | None, folder: Path) -> BaseStorage:
    if storage is None:
        return JournalStorage(JournalFileBackend(str(folder / _JOURNAL)))
    url = make_url(storage)
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    return RDBStorage(url.render_as_string(hide_password=False))


def _pruner(pruning: PruningName, epochs: int) -> BasePruner:
    match pruning:
        case "median":
            return MedianPruner(n_startup_trials=5, n_warmup_steps=epochs // 3)
        case "hyperband":
            return HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)
        case "none":
            return NopPruner()
