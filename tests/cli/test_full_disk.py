"""A disk that fails at any moment: no half-written file, one clear error, and the same command completes afterwards."""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pydicom
import pytest

from retinagrade import provenance
from retinagrade.cli import main
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.images.read import read_photograph
from retinagrade.storage.files import is_temporary
from retinagrade.training import callbacks
from tests.cli.command_line import TINY
from tests.faulty_disk import FaultyDisk, faulty, small_files
from tests.folder_contents import file_digests
from tests.grader.graders import write_grader
from tests.grader.ophthalmic import write_ophthalmic

SETTINGS = [word for setting in (*TINY, "training.logger=none") for word in ("--set", setting)]
FROZEN = [
    word
    for setting in (
        "network.backbone=lcnet_050", "network.weights=none", "network.image_size=32", "network.dense=[16]",
        "training.batch_size=8", "training.balance=6", "training.epochs=1", "training.logger=none",
    )
    for word in ("--set", setting)
]  # fmt: skip
"""Settings of a network whose backbone's features are stored."""
GRADE = ["grade", "source/photographs", "--model", "colour.onnx", "--workers", "1"]
COMMANDS = {
    "prepare": ["prepare", "source", "--size", "48", "--workers", "1", "--out", "out"],
    "split": ["split", "set", "--val", "0.3", "--test", "0.2", "--seed", "7"],
    "check": ["data", "check", "source", "--workers", "1", "--out", "out"],
    "synthesize": ["data", "synthesize", "--count", "2", "--size", "64", "--workers", "1", "--out", "out"],
    "train": ["train", "set", "scratch-2", "--out", "out", *SETTINGS],
    "train-frozen": ["train", "set", "mobilenetv2-2", "--out", "out", *FROZEN],
    "predict": ["predict", "set", "run", "--split", "val", "--out", "out.csv"],
    "evaluate": ["evaluate", "run/predictions/val.csv", "--out", "out"],
    "calibrate": ["calibrate", "run/predictions/val.csv", "--out", "out.json"],
    "compare": ["compare", "run/predictions/val.csv", "other/predictions/val.csv", "--out", "out"],
    "ensemble": ["ensemble", "run", "other", "--out", "out"],
    "explain": ["explain", "source/photographs/00000_left.jpg", "run", "--out", "out"],
    "export": ["export", "run", "--out", "out.onnx"],
    "export-int8": ["export", "run", "--out", "out.onnx", "--precision", "int8"],
    "grade-csv": [*GRADE, "--out", "out.csv", "--studies", "out-studies.csv", "--saliency", "out-maps"],
    "grade-jsonl": [*GRADE, "--out", "out.jsonl", "--studies", "out-studies.jsonl"],
    "grade-parquet": [*GRADE, "--out", "out.parquet", "--studies", "out-studies.parquet"],
    "grade-dicom": ["grade", "dicom", "--model", "colour.onnx", "--out", "out.csv", "--dicom", "out"],
}
"""The commands that write; their outputs begin with ``out``, but for the split of ``set``."""


@dataclass(frozen=True)
class Outcome:
    """A call of the command line."""

    code: int | str | None
    errors: str
    files: dict[str, str]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs, a prepared set, two runs and a grader file."""
    folder = tmp_path_factory.mktemp("base")
    with contextlib.chdir(folder), fixed_clocks():
        synthesize(folder / "source", count=4, size=64, seed=3, workers=1)
        synthesize(folder / "many", count=24, size=64, seed=4, workers=1)
        call("prepare", "many", "--size", "48", "--workers", "1", "--out", "set")
        call("split", "set", "--val", "0.3", "--test", "0.2")
        for name, seed in (("run", 0), ("other", 3)):
            call("train", "set", "scratch-2", "--out", name, *SETTINGS, "--set", f"training.seed={seed}")
    shutil.rmtree(folder / "many")
    (folder / "dicom").mkdir()
    for number, path in enumerate(sorted((folder / "source" / "photographs").glob("*.jpg"))[:3]):
        file = folder / "dicom" / f"{path.stem}.dcm"
        write_ophthalmic(file, read_photograph(path), "RL"[number % 2], str(number // 2))
    write_grader(folder / "colour.onnx")
    return folder


@pytest.mark.parametrize("command", ["prepare", "grade-csv", "grade-parquet"])
def test_a_disk_that_fails_costs_no_result(command: str, base: Path, tmp_path: Path) -> None:
    whole, operations, contents = uninterrupted(command, base, tmp_path)
    for number, stays_full in ((0, False), (len(operations) // 2, True), (len(operations) - 1, False)):
        require_recovery(command, base, tmp_path, FaultyDisk(tmp_path / "work", number, stays_full), whole, contents)


@pytest.mark.slow
@pytest.mark.parametrize("stays_full", [True, False])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_failing_operation_costs_a_result(command: str, stays_full: bool, base: Path, tmp_path: Path) -> None:
    whole, operations, contents = uninterrupted(command, base, tmp_path)
    for number in range(len(operations)):
        require_recovery(command, base, tmp_path, FaultyDisk(tmp_path / "work", number, stays_full), whole, contents)


@pytest.mark.parametrize("command", ["train"])
def test_files_that_the_system_does_not_let_grow_cost_no_result(command: str, base: Path, tmp_path: Path) -> None:
    require_recovery_from_small_files(command, base, tmp_path, 1)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_limit_of_the_system_costs_a_result(command: str, base: Path, tmp_path: Path) -> None:
    require_recovery_from_small_files(command, base, tmp_path, 100)


def require_recovery_from_small_files(command: str, base: Path, folder: Path, limits: int) -> None:
    """Lets the system refuse files that are one byte too long, for the sizes of the command's own results."""
    whole, _, contents = uninterrupted(command, base, folder)
    before = file_digests(base)
    made = [name for name in whole.files if name not in before]
    sizes = sorted({(folder / "work" / name).stat().st_size - 1 for name in made})
    for size in sizes[:: max(1, len(sizes) // limits)]:
        work = fresh(base, folder)
        with small_files(max(size, 0)):
            failed = run(command, work)
        require_clear_error(failed, before, whole, contents)
        require_equal(run(command, work), whole)


def require_recovery(
    command: str, base: Path, folder: Path, disk: FaultyDisk, whole: Outcome, contents: set[str]
) -> None:
    """Requires a clear error and whole files from a failing disk, and the whole result from the same command after."""
    work = fresh(base, folder)
    with faulty(disk):
        failed = run(command, work)
    if disk.failed:
        require_clear_error(failed, file_digests(base), whole, contents | disk.contents)
    require_equal(run(command, work), whole)


def require_clear_error(failed: Outcome, before: dict[str, str], whole: Outcome, contents: set[str]) -> None:
    assert failed.code == 2, failed.errors
    errors = [line for line in failed.errors.splitlines() if "error" in line]
    assert len(errors) == 1, failed.errors
    assert errors[0].startswith("error: ")
    assert "unexpected" not in errors[0]
    places = ("out", "set/", "scratch", ".features", f"error: {tempfile.gettempdir()} ")
    assert any(place in errors[0] for place in places), f"{errors[0]} names no file"
    assert not any(is_temporary(Path(name)) for name in failed.files)
    for name, digest in failed.files.items():
        if name.endswith((".lock", "journal.jsonl", "parquet.jsonl", "out.csv", "out.jsonl")) or ".features/" in name:
            continue  # a lock, a file that grows by whole lines, and features that are marked when they are there
        assert digest in {before.get(name), whole.files.get(name)} | contents, f"{name} is half-written"


def require_equal(again: Outcome, whole: Outcome) -> None:
    assert again.code == whole.code, again.errors
    assert again.files == whole.files


def uninterrupted(command: str, base: Path, folder: Path) -> tuple[Outcome, list[tuple[str, str]], set[str]]:
    """Returns the outcome of a call on a healthy disk, its operations, and the content of its whole files."""
    work = fresh(base, folder)
    with faulty(FaultyDisk(work)) as disk:
        whole = run(command, work)
    assert whole.code in (0, 1), whole.errors
    return whole, disk.operations, disk.contents


def fresh(base: Path, folder: Path) -> Path:
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    return shutil.copytree(base, work)


def run(command: str, work: Path) -> Outcome:
    """Runs a command in a folder, at a time that stands still.

    DICOM results are compared without dates and times. The last checkpoint and stored features only have to exist:
    after an interruption, Lightning stores the same values in other words, and full batches hold other features.
    """
    with contextlib.chdir(work), fixed_clocks():
        code, errors = call(*COMMANDS[command])
    shutil.rmtree(work / "scratch", ignore_errors=True)
    files = file_digests(work)
    files |= {name: timeless(work / name) for name in files if "/1." in name}
    files |= {name: "there" for name in files if name.endswith("last.ckpt") or ".features/" in name}
    return Outcome(code, errors, files)


def timeless(file: Path) -> str:
    """Returns a DICOM file without its dates and times, as text."""
    content = pydicom.dcmread(file)

    def forget_time(within: pydicom.Dataset, element: pydicom.DataElement) -> None:
        if element.VR in ("DA", "TM", "DT"):
            del within[element.tag]

    content.walk(forget_time)
    return str(content.to_json())


def call(*arguments: str) -> tuple[int | str | None, str]:
    """Calls the command line in this process; returns its exit code and its standard error."""
    errors = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(errors),
        warnings.catch_warnings(),
    ):
        patch.setattr(sys, "argv", ["retinagrade", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code, errors.getvalue()


@contextlib.contextmanager
def fixed_clocks() -> Iterator[None]:
    """Stops the clocks of records."""
    clock = SimpleNamespace(now=lambda _: datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "datetime", clock)
        patch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: 0.0))
        yield
