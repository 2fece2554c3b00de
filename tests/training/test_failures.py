"""Failures: memory, disk, NaN and Ctrl-C end with one message that suggests a remedy, and the run can continue."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import pandas as pd
import pytest
import torch
from torch import Tensor

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import load_experiment
from retinagrade.models.network import build_network
from retinagrade.runs.run import Run
from retinagrade.training.failures import (
    EndAtSigterm,
    checkpoint_bytes,
    clear_training_errors,
    is_out_of_memory,
    require_space,
    smaller_batch,
)
from retinagrade.training.loading import Batch
from retinagrade.training.module import GradingModule
from retinagrade.training.train import train
from tests.training.interruption import interrupted
from tests.training.tiny_experiments import TINY, comparable, tiny

Change = Callable[[GradingModule, Tensor], Tensor]


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(prepared, tiny(), tmp_path_factory.mktemp("runs") / "undisturbed")


def disturb(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    """Changes the loss of the first batch of the third epoch."""
    undisturbed = GradingModule.training_step

    def training_step(module: GradingModule, batch: Batch) -> Tensor:
        loss = undisturbed(module, batch)
        here = module.current_epoch == 2 and module.trainer.fit_loop.batch_idx == 0
        return change(module, loss) if here else loss

    monkeypatch.setattr(GradingModule, "training_step", training_step)


def use_up_memory(module: GradingModule, loss: Tensor) -> Tensor:
    torch.empty(2**60, dtype=torch.uint8)  # the allocator's own exception
    return loss


def spoil_gradient(module: GradingModule, loss: Tensor) -> Tensor:
    parameter = next(module.network.head.parameters())
    return loss + (0 * parameter).sqrt().sum()  # adds nothing, but the root of 0 has no derivative


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (use_up_memory, r"batch_size=8 at 48 px: try --set training\.batch_size=4 --set training\.accumulate=2"),
        (
            lambda _, loss: loss * float("nan"),
            r"epoch 3, step 1: the training loss is nan; .* 2 epochs before are kept",
        ),
        (lambda _, loss: loss / 0, r"epoch 3, step 1: the training loss is inf; .*training\.precision=32"),
        (spoil_gradient, r"epoch 3, step 2: the training loss is nan"),
    ],
)
def test_a_training_that_diverges_suggests_settings_and_continues_after_its_last_good_epoch(
    change: Change, message: str, run: Run, prepared: Path, tmp_path: Path
) -> None:
    broken = Run(tmp_path / "broken")
    with pytest.MonkeyPatch.context() as monkeypatch:
        disturb(monkeypatch, change)
        with pytest.raises(ExperimentError, match=message) as caught:
            train(prepared, tiny(), broken.folder)
    assert str(broken.folder) in str(caught.value)
    assert broken.history()["epoch"].tolist() == [0, 1]
    for checkpoint in (broken.best_checkpoint, broken.last_checkpoint):
        state = torch.load(checkpoint, weights_only=True)["state_dict"]
        assert all(bool(tensor.isfinite().all()) for tensor in state.values())
    # What broke it was not the training's own, so the same command goes on to the same end.
    pd.testing.assert_frame_equal(comparable(train(prepared, tiny(), broken.folder)), comparable(run), rtol=1e-5)


def test_weights_that_the_last_step_of_an_epoch_spoils_are_never_written(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disturb(monkeypatch, spoil_gradient)
    one_batch = tiny("training.batch_size=30")
    with pytest.raises(ExperimentError, match="epoch 3, the validation loss is nan"):
        train(prepared, one_batch, tmp_path / "spoilt")
    assert Run(tmp_path / "spoilt").history()["epoch"].tolist() == [0, 1]
    state = torch.load(Run(tmp_path / "spoilt").last_checkpoint, weights_only=True)["state_dict"]
    assert all(bool(tensor.isfinite().all()) for tensor in state.values())


def test_a_rate_that_is_much_too_high_ends_in_advice_and_no_checkpoint(prepared: Path, tmp_path: Path) -> None:
    wild = tiny("training.optimizer=sgd", "training.learning_rate=1e30")
    with pytest.raises(ExperimentError, match=r"epoch 1, .*no epoch was finished .*lower training\.learning_rate"):
        train(prepared, wild, tmp_path / "wild")
    assert not Run(tmp_path / "wild").best_checkpoint.exists()
    assert not Run(tmp_path / "wild").last_checkpoint.exists()


def test_errors_of_used_up_memory_are_recognised_and_no_others() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"))
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"), clear_training_errors(tiny(), Path("r")):
        raise RuntimeError("shapes cannot be multiplied")
    with (
        pytest.raises(ExperimentError, match=r"lower network\.image_size"),
        clear_training_errors(tiny("training.batch_size=1"), Path("r")),
    ):
        raise MemoryError


@pytest.mark.parametrize("batch_size", [2, 7, 15, 16, 100])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_smaller_batch_takes_as_many_photographs_a_step(batch_size: int, accumulate: int) -> None:
    smaller = smaller_batch(batch_size, accumulate)
    assert smaller is not None
    assert smaller[0] <= batch_size / 2
    assert smaller[0] * smaller[1] == batch_size * accumulate


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("ema", ["null", "0.9"])
def test_the_estimate_of_a_checkpoint_is_its_size(optimizer: str, ema: str, prepared: Path, tmp_path: Path) -> None:
    experiment = tiny(
        "network.dense=[1000]", "training.epochs=1", f"training.optimizer={optimizer}", f"training.ema={ema}",
        "training.momentum=0.9",
    )  # fmt: skip
    run = train(prepared, experiment, tmp_path / "run")
    estimate = checkpoint_bytes(build_network(experiment.network), experiment.training)
    assert run.last_checkpoint.stat().st_size == pytest.approx(estimate, rel=0.1)


def test_a_full_disk_is_an_error_before_training_with_the_space_needed(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    with pytest.raises(ExperimentError, match=r"r: .*need 1,000,000,000,000 MB, .*the disk has [\d,]+ MB free"):
        require_space(folder, 10**18)
    require_space(folder, 1000)


def test_ctrl_c_and_the_same_command_again_give_the_same_history(prepared: Path, tmp_path: Path) -> None:
    longer = [*TINY, "training.epochs=8"]
    stopped, command, code, said = interrupted(tmp_path / "stopped", prepared, longer, signal.SIGINT)
    assert code == 130, said
    assert said.splitlines()[-1] == f"stopped: the same command continues {stopped.folder} after its last whole epoch"
    assert "Traceback" not in said
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    undisturbed = train(prepared, load_experiment("scratch-2", longer), tmp_path / "undisturbed")
    pd.testing.assert_frame_equal(comparable(stopped), comparable(undisturbed), rtol=1e-4)


def test_sigterm_ends_a_training_like_any_other_command(prepared: Path, tmp_path: Path) -> None:
    before, during = signal.getsignal(signal.SIGTERM), []

    def look(stage: str, done: int, total: int | None) -> None:
        if stage == "training batches":
            during.append(signal.getsignal(signal.SIGTERM))

    train(prepared, tiny("training.epochs=1"), tmp_path / "run", workers=0, progress=look)
    assert set(during) == {before}


def test_sigterm_that_comes_before_the_first_batch_does_not_mean_done(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_train_start = EndAtSigterm.on_train_start

    def too_early(self: EndAtSigterm, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        signal.raise_signal(signal.SIGTERM)  # Lightning's handler takes it
        on_train_start(self, trainer, module)

    taken: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: taken.append(number))
    monkeypatch.setattr(EndAtSigterm, "on_train_start", too_early)
    try:
        with pytest.raises(SystemExit) as ended:
            train(prepared, tiny("training.epochs=1"), tmp_path / "run", workers=0)
    finally:
        signal.signal(signal.SIGTERM, before)
        monkeypatch.undo()
    assert ended.value.code == 143
    assert len(taken) == 2, "Lightning's handler takes the first one, and the process gets it again"
    assert train(prepared, tiny("training.epochs=1"), tmp_path / "run", workers=0).is_finished
