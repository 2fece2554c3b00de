"""Searches: workers and interruptions change no trial, and the report is true."""

from __future__ import annotations

import json
import re
import sys
from html import unescape
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import yaml
from optuna.trial import TrialState
from typer.testing import CliRunner

from retinagrade import provenance
from retinagrade.cli import app
from retinagrade.errors import ExperimentError, ManifestError, UsageError
from retinagrade.evaluation.evaluate import evaluate_predictions
from retinagrade.evaluation.paired import paired_differences
from retinagrade.evaluation.predictions import graded_predictions, read_predictions
from retinagrade.experiments.experiment import load_experiment, override_settings
from retinagrade.manifest import Manifest
from retinagrade.runs.run import Run
from retinagrade.training.train import train
from retinagrade.training.tuning.result import TuningRecord, TuningResult
from retinagrade.training.tuning.search import SearchPlan, open_search, worker_trials
from retinagrade.training.tuning.search_space import SearchSpace
from retinagrade.training.tuning.trial import run_trial
from retinagrade.training.tuning.tune import tune
from tests.schemas import require_schema
from tests.training.tiny_experiments import TINY, comparable

SPACE = {
    "training.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "network.feature_dropout": {"low": 0.0, "high": 0.5},
    "network.dense": {"choices": [[16], [4], []]},
}
SETTINGS = [*TINY, "training.epochs=2", "training.logger=none"]
METRIC = "log_loss"  # two epochs change it, and QWK hardly
PLAN = SearchPlan(load_experiment("scratch-2", SETTINGS), SearchSpace.model_validate(SPACE), METRIC, seed=3)


def search(prepared: Path, out: Path, **changes: Any) -> TuningResult | None:
    """Tunes as :data:`PLAN` says, with changed arguments."""
    arguments = {"space": PLAN.space, "metric": PLAN.metric, "seed": PLAN.seed, **changes}
    return tune(prepared, PLAN.experiment, out, **arguments)


@pytest.fixture(scope="module")
def finished_search(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searches") / "whole"
    assert search(prepared, folder, trials=4) is not None
    return folder


def trials_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "trials.csv").drop(columns="seconds")


def test_every_trial_is_a_run_and_its_value_is_that_of_its_saved_predictions(finished_search: Path) -> None:
    table = trials_of(finished_search)
    assert table["trial"].tolist() == [0, 1, 2, 3]
    for row in table.to_dict("records"):
        run = Run(finished_search / f"trial-{row['trial']:03}")
        assert run.record().status == "finished"
        assert run.experiment().network.dense == tuple(json.loads(str(row["network.dense"])))
        assert run.experiment().training.learning_rate == pytest.approx(row["training.learning_rate"], rel=1e-5)
        figures = evaluate_predictions(read_predictions(run.predictions_file("val")), resamples=0).metrics
        assert row["value"] == pytest.approx(figures[METRIC], abs=1e-5)
    first = Run(finished_search / "trial-000").experiment()
    assert first.training == PLAN.experiment.training
    assert table["training.learning_rate"].nunique() == len(table)


def test_an_interrupted_search_continues_to_the_same_trials(
    finished_search: Path, prepared: Path, tmp_path: Path
) -> None:
    def interrupt(stage: str, done: int, total: int | None) -> None:
        if re.match("trial-00[12]", stage) and stage.split()[0] not in seen:
            seen.add(stage.split()[0])
            raise KeyboardInterrupt

    def fail(stage: str, done: int, total: int | None) -> None:
        pytest.fail(f"a finished search trains again: {stage}")

    seen: set[str] = set()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(prepared, tmp_path / "cut", trials=3, progress=interrupt)
    assert search(prepared, tmp_path / "cut", trials=3) is not None
    assert search(prepared, tmp_path / "cut", trials=4, progress=interrupt) is not None
    pd.testing.assert_frame_equal(trials_of(tmp_path / "cut"), trials_of(finished_search), rtol=1e-4)
    assert search(prepared, tmp_path / "cut", trials=4, progress=fail) is not None


@pytest.mark.parametrize("storage", [None, "sqlite"])
def test_workers_share_the_trials_and_continue_abandoned_ones(tmp_path: Path, storage: str | None) -> None:
    url = storage and f"sqlite:///{tmp_path}/trials.db"
    opened = [open_search(PLAN, tmp_path / "search", "digest", url) for _ in range(3)]
    first, second, third = (worker_trials(one, PLAN, tmp_path / "search", 3) for one in opened)
    held = [next(first), next(second)]
    assert [trial.number for trial in held] == [0, 1]
    for trial in held:
        PLAN.space.suggest(trial)
    rate = held[1].params["training.learning_rate"]
    assert held[0].params["training.learning_rate"] == PLAN.experiment.training.learning_rate
    second.close()  # as the system does with the lock of a process that is gone
    taken_over = next(third)
    assert (taken_over.number, taken_over.params["training.learning_rate"]) == (1, rate)
    opened[2].tell(taken_over, 0.5)
    assert next(third).number == 2
    assert next(worker_trials(opened[1], PLAN, tmp_path / "search", 3), None) is None
    assert next(worker_trials(opened[1], PLAN, tmp_path / "search", 4), None) is not None


class _Cut(optuna.pruners.BasePruner):
    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return True


def test_a_trial_that_ends_while_another_worker_looks_for_trials_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (open_search(PLAN, tmp_path, "digest") for _ in range(2))
    working = worker_trials(first, PLAN, tmp_path, trials=2)
    ending = next(working)
    look = second.get_trials

    def look_and_end(*arguments: Any, **options: Any) -> list[optuna.trial.FrozenTrial]:
        seen = look(*arguments, **options)
        if ending.number in [trial.number for trial in seen if trial.state == TrialState.RUNNING]:
            first.tell(ending, 1.0)
            working.close()  # releases the lock
        return seen

    monkeypatch.setattr(second, "get_trials", look_and_end)
    assert next(worker_trials(second, PLAN, tmp_path, trials=2)).number == 1


def test_a_trial_that_was_stopped_early_is_a_run_that_can_continue(prepared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "search"
    study = open_search(PLAN, folder, "digest")
    study.pruner = _Cut()
    for trial in worker_trials(study, PLAN, folder, 2):
        run_trial(trial, PLAN, prepared, folder)
    first, second = study.get_trials()
    assert (first.state, second.state) == (TrialState.COMPLETE, TrialState.PRUNED)
    assert len(second.intermediate_values) == 1
    run = Run(folder / "trial-001")
    assert run.record().status == "training"
    experiment = override_settings(PLAN.experiment, [f"{name}={value}" for name, value in second.params.items()])
    whole = train(prepared, experiment, tmp_path / "whole")
    pd.testing.assert_frame_equal(comparable(train(prepared, experiment, run.folder)), comparable(whole), rtol=1e-4)


def test_the_reported_metric_of_an_epoch_is_in_the_history(finished_search: Path) -> None:
    trial = open_search(
        PLAN, finished_search, json.loads((finished_search / "search.json").read_text())["manifest_sha256"]
    ).get_trials()[1]
    history = Run(finished_search / "trial-001").history()["val_loss"]
    assert trial.intermediate_values == pytest.approx(history.to_dict(), abs=1e-5)


def test_training_the_winner_repeats_its_trial(finished_search: Path, prepared: Path, tmp_path: Path) -> None:
    record = json.loads((finished_search / "tuning.json").read_text())
    values = trials_of(finished_search).set_index("trial")["value"]
    assert record["winner"]["trial"] == values.idxmin()
    experiment = load_experiment(str(finished_search / "winner.yaml"))
    assert experiment.name == "scratch-2-tuned"
    again = train(prepared, experiment, tmp_path / "again")
    trial = Run(finished_search / f"trial-{values.idxmin():03}")
    pd.testing.assert_frame_equal(
        read_predictions(again.predictions_file("val")), read_predictions(trial.predictions_file("val")), rtol=1e-3
    )


def test_the_report_says_whether_the_winner_is_better(finished_search: Path, prepared: Path) -> None:
    record = json.loads((finished_search / "tuning.json").read_text())
    require_schema(TuningRecord, record)
    assert all(list(row)[-1] == "reason" and set(SPACE) <= set(row) for row in record["trials"])
    manifest = Manifest.read(prepared / "manifest.csv").table[["image_id", "patient_id"]]
    winner, first = (
        graded_predictions(
            read_predictions(finished_search / f"trial-{n:03}" / "predictions" / "val.csv").merge(
                manifest, on="image_id"
            )
        )
        for n in (record["winner"]["trial"], 0)
    )
    page = unescape((finished_search / "report.html").read_text())
    assert "not a medical device" in page
    assert "too\ngood" in page
    assert page.count("data:image/png") == 3
    assert "http" not in re.sub(r"data:image/png;base64,[^\"]*", "", page)
    if record["winner"]["trial"] == 0:
        assert record["difference"] is None
        assert "None of 4 trials is better" in page
        return
    expected = paired_differences(winner, first, (METRIC,))[METRIC]
    assert record["difference"]["difference"] == pytest.approx(expected.difference)
    if expected.interval is None:
        assert "without an interval" in page
    else:
        assert record["difference"]["interval"]["low"] == pytest.approx(expected.interval.low)
        assert ("don't show that it is better" in page) == (expected.interval.low <= 0 <= expected.interval.high)


def test_a_trial_that_fails_stops_nothing_and_says_why(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(
        yaml.safe_dump(
            {
                "network.output": {"choices": ["softmax", "ordinal"]},
                "training.label_smoothing": {"choices": [0.0, 0.1, 0.2, 0.3, 0.4]},
            }
        )
    )
    words = ["tune", prepared, "scratch-2", "--space", "space.yaml", "--out", "search", "--trials", "6"]
    done = CliRunner().invoke(
        app,
        [str(tmp_path / word if word in ("space.yaml", "search") else word) for word in words]
        + [word for setting in [*SETTINGS, "training.epochs=1"] for word in ("--set", setting)],
        catch_exceptions=False,
    )
    table = pd.read_csv(tmp_path / "search" / "trials.csv")
    failed = table["state"] == "failed"
    wrong = (table["network.output"] == "ordinal") & (table["training.label_smoothing"] > 0)
    assert wrong.any()
    assert failed.tolist() == wrong.tolist()
    assert table.loc[failed, "reason"].str.contains("label_smoothing is for network.output: softmax").all()
    assert done.exit_code == 1
    assert "next: retinagrade train" in done.stdout


def test_other_folders_and_other_searches_stay_unchanged(finished_search: Path, prepared: Path, tmp_path: Path) -> None:
    digest = json.loads((finished_search / "search.json").read_text())["manifest_sha256"]
    with pytest.raises(ExperimentError, match="another metric, seed"):
        search(prepared, finished_search, trials=4, seed=1, metric="accuracy")
    with pytest.raises(ExperimentError, match="another manifest_sha256"):
        open_search(PLAN, finished_search, "other")
    with pytest.raises(UsageError, match="input"):
        search(prepared, prepared, trials=4)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ExperimentError, match="not empty and not a search"):
        search(prepared, tmp_path / "full", trials=4)
    with pytest.raises(ExperimentError, match="has no trials of the search"):
        open_search(PLAN, finished_search, digest, f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(ManifestError, match="no such file"):
        search(tmp_path / "nowhere", tmp_path / "new", trials=4)
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match=r"metric=.kappa.: .*quadratic_weighted_kappa"):
        search(prepared, tmp_path / "new", trials=4, metric="kappa")
    for url in ("sqlite:////nowhere/at/all.db", "nonsense", "mysql://me:secret@nowhere/x"):
        with pytest.raises(UsageError, match="--storage") as told:
            open_search(PLAN, tmp_path / "new", "digest", url)
        assert "secret" not in str(told.value)
    with pytest.raises(UsageError, match="trials=0"):
        search(prepared, tmp_path / "new", trials=0)


def test_a_score_is_maximised(prepared: Path, tmp_path: Path) -> None:
    found = search(prepared, tmp_path / "search", trials=3, metric="macro_auc", pruning="hyperband")
    assert found is not None
    assert found.trials["value"].nunique() > 1
    assert found.winner == found.trials["value"].idxmax()


def test_the_password_of_a_storage_is_written_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "tune", "--storage", "postgresql://me:top-secret@host:5432/db", "a:b@c"])
    assert provenance.provenance_record()["command"][3:] == ["postgresql://me:***@host:5432/db", "a:b@c"]
