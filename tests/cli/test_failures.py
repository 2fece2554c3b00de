"""The world fails clearly: every error of the system is one line with place, reason and remedy, and exit code 2."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from retinagrade.cli import main
from retinagrade.cli.console import PlainConsole
from retinagrade.errors import ExperimentError, GraderFileError, UsageError
from retinagrade.experiments.experiment import load_experiment
from retinagrade.grader.metadata import AuthorStatements
from retinagrade.runs import evaluate as runs_evaluate
from retinagrade.training.tuning.search_space import load_space

MATRIX = str(Path(__file__).parents[2] / "docs" / "report" / "matrices" / "vgg16-5.csv")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "retinagrade", *arguments]
    return subprocess.run(command, capture_output=True, check=False, env=os.environ | environment)


@pytest.mark.parametrize(
    "raised",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EROFS, "Read-only file system", "r.csv"),
        PermissionError(errno.EACCES, "Permission denied", "r.csv"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "r.csv"),
        NotADirectoryError(errno.ENOTDIR, "Not a directory", "r.csv"),
        IsADirectoryError(errno.EISDIR, "Is a directory", "r.csv"),
        OSError(errno.ENAMETOOLONG, "File name too long", "r.csv"),
        OSError(errno.EBUSY, "Device or resource busy", "r.csv"),
        OSError(12345, "Something new", "r.csv"),
        OSError("no number"),
        UnicodeEncodeError("utf-8", "a\udce9", 1, 2, "surrogates not allowed"),
        MemoryError(),
        RecursionError("maximum recursion depth exceeded"),
        ZeroDivisionError("division by zero"),
        ValueError(),
    ],
    ids=lambda error: f"{type(error).__name__}-{getattr(error, 'errno', '')}",
)
@pytest.mark.parametrize("debug", [False, True])
def test_an_error_is_one_line(
    raised: Exception, debug: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    (tmp_path / "p.csv").write_text("image_id,p0,p1,p2,p3,p4,grade\na,1,0,0,0,0,0\n")
    monkeypatch.setattr(runs_evaluate, "evaluate", fail)
    monkeypatch.setattr(sys, "argv", ["retinagrade", "evaluate", str(tmp_path / "p.csv"), *["--debug"] * debug])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert ("Traceback" in said) == debug
    line = said.splitlines()[-1]
    assert line.startswith("error: ")
    assert len(line.split(": ")) >= 2
    assert "Errno" not in line
    if getattr(raised, "filename", None) is not None:
        assert "r.csv" in line


def test_output_never_fails_for_an_encoding() -> None:
    for encoding, options in {"cp932": [], "cp1251": ["--json"], "ascii": []}.items():
        done = run("evaluate", "--confusion-matrix", MATRIX, "--resamples", "200", *options, PYTHONIOENCODING=encoding)
        assert done.returncode == 1, done.stderr
        assert b"Traceback" not in done.stderr
        if options:
            assert json.loads(done.stdout.decode(encoding))["metrics"]


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m retinagrade experiments list | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout == "0\n"
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_standard_output_is_an_error() -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        command = [sys.executable, "-m", "retinagrade", "experiments", "list"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert b"full" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_deleted_working_folder_is_named(tmp_path: Path) -> None:
    script = f"mkdir gone && cd gone && rmdir ../gone && {sys.executable} -m retinagrade prepare a --out b"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "working folder" in done.stderr


def test_a_wrong_environment_variable_is_named() -> None:
    done = run("grade", MATRIX, RETINAGRADE_MAX_MEGAPIXELS="many")
    assert done.returncode == 2
    assert b"RETINAGRADE_MAX_MEGAPIXELS" in done.stderr
    assert b"Traceback" not in done.stderr


def test_names_are_printed_as_they_are_and_obeyed_by_no_terminal() -> None:
    stream = io.StringIO()
    PlainConsole(file=stream, width=200).print("bob [left] [red]x[/red] :eye: \x1b[31m\udce9 é")
    assert stream.getvalue() == "bob [left] [red]x[/red] :eye: \\x1b[31m\\udce9 é\n"


ALIASES = "a: &a [1, 1]\n" + "".join(f"b{i}: &b{i} [*{f'b{i - 1}' if i else 'a'}]\n" for i in range(40))


@pytest.mark.parametrize(
    "text", ["name: [x", "a: b: c", "[" * 9999, "{a: " * 9999, ALIASES, "- \t-", "\x00", "a: 2026-99-99"]
)
def test_broken_yaml_is_named_by_file_and_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    for read, error in (
        (load_experiment, ExperimentError),
        (load_space, ExperimentError),
        (AuthorStatements.read, GraderFileError),
    ):
        with pytest.raises(error) as refused:
            read(path)
        said = str(refused.value)
        assert said.startswith(f"{path}")
        for raw in ("expected", "found", "could not", "mapping values", "month must", "Input should", "recursion"):
            assert raw not in said


def test_missing_files_are_named_without_numbers_of_errors(tmp_path: Path) -> None:
    for name in ("nowhere.yaml", "folder.yaml"):
        (tmp_path / "folder.yaml").mkdir(exist_ok=True)
        for read in (load_experiment, load_space, AuthorStatements.read):
            with pytest.raises((ExperimentError, GraderFileError, UsageError)) as refused:
                read(tmp_path / name)
            assert name in str(refused.value)
            assert "Errno" not in str(refused.value)
