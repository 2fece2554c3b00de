"""``retinagrade grade`` end to end: formats, lists, studies, interruptions, and damaged files."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from retinagrade.gradings.table import read_gradings
from tests.cli.command_line import run
from tests.grader.ophthalmic import write_ophthalmic
from tests.images.damaged_files import NAMES, no_photographs
from tests.images.encoded_files import encoded, gradient, jpeg


def test_photographs_and_studies_are_written_in_every_format(eyes: Path, grader_file: Path, tmp_path: Path) -> None:
    call = ("grade", f"{eyes}/*_left.jpg", eyes, "--model", grader_file)
    printed = run(
        *call,
        "--out",
        tmp_path / "r.parquet",
        "--studies",
        tmp_path / "s.csv",
        "--saliency",
        tmp_path / "saliency",
        code=None,
    )
    assert "12 photographs" in printed
    assert "6 studies" in printed
    assert "not a medical device" in printed
    table = pd.read_parquet(tmp_path / "r.parquet")
    assert len(table) == 12
    assert table["laterality"].value_counts().to_dict() == {"L": 6, "R": 6}
    studies = pd.read_csv(tmp_path / "s.csv")
    worse = table.groupby("study")["predicted_grade"].max()
    assert (
        studies.set_index("study")["predicted_grade"].to_dict() == worse.dropna().to_dict()
        or studies["predicted_grade"].isna().any()
    )
    again = run(*call, "--out", tmp_path / "r.parquet", "--studies", tmp_path / "s.jsonl", code=None)
    assert "12 photographs, 12 taken over" in again
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [each["study"] for each in lines] == studies["study"].tolist()  # they include earlier rows


def test_a_manifest_defines_the_studies(eyes: Path, grader_file: Path, tmp_path: Path) -> None:
    for place in range(2):
        shutil.copy(sorted(eyes.iterdir())[place], tmp_path / f"{place}.jpg")
    (tmp_path / "m.csv").write_text("path,patient_id,laterality\n0.jpg,p,R\n1.jpg,p,L\nabsent.jpg,q,L\n")
    run(
        "grade",
        "--list",
        tmp_path / "m.csv",
        "--model",
        grader_file,
        "--out",
        tmp_path / "r.jsonl",
        "--studies",
        tmp_path / "s.jsonl",
        code=1,
    )
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [(row["study"], row["laterality"]) for row in rows] == [("p", "R"), ("p", "L"), ("q", "L")]
    assert "can't be read" in rows[2]["error"]
    studies = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert studies[0]["photographs"] == ["0", "1"]
    assert studies[1]["undecided"] == ["left eye ungradable (could not be read)", "no photograph of the right eye"]


def test_dicom_photographs_get_dicom_results(eyes: Path, grader_file: Path, tmp_path: Path) -> None:
    from retinagrade.images.read import read_photograph

    for place, path in enumerate(sorted(eyes.iterdir())[:2]):
        write_ophthalmic(tmp_path / "in" / f"{place}", read_photograph(path), "LR"[place])
    (tmp_path / "in" / "cut.dcm").write_bytes((tmp_path / "in" / "0").read_bytes()[:3000])
    call = (
        "grade",
        tmp_path / "in",
        "--model",
        grader_file,
        "--out",
        tmp_path / "r.csv",
        "--dicom",
        tmp_path / "in" / "results",
    )
    run(*call, code=1)
    assert len(pd.read_csv(tmp_path / "r.csv")) == 3
    made = sorted(path.name.partition("-")[0] for path in (tmp_path / "in" / "results").rglob("*.dcm"))
    assert made in (["report.dcm", "saliency", "saliency"], ["report.dcm"], ["report.dcm", "saliency"])
    assert "3 photographs" in run(*call[:-4], "--dicom", tmp_path / "in" / "results", code=1)  # results are not graded


def test_a_killed_call_continues_to_the_same_rows(eyes: Path, grader_file: Path, tmp_path: Path) -> None:
    paths = []
    for number in range(8):  # so many that the kill comes before the last one
        for path in sorted(eyes.iterdir()):
            paths.append(tmp_path / f"{number}-{path.name}")
            shutil.copy(path, paths[-1])
    (tmp_path / "list.txt").write_text("\n".join(map(str, paths)))
    call = ["grade", "--list", tmp_path / "list.txt", "--model", grader_file, "--out", tmp_path / "r.jsonl"]
    command = [sys.executable, "-m", "retinagrade", *map(str, call)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while rows(tmp_path / "r.jsonl") < 8 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    killed = rows(tmp_path / "r.jsonl")
    assert 0 < killed < len(paths), "the kill came too late to test anything"
    with (tmp_path / "r.jsonl").open("a") as stream:
        stream.write('{"image_id": "half a li')
    assert f"{killed} taken over" in run(*call, code=None)
    run(*call[:-1], tmp_path / "whole.jsonl", code=None)
    assert read_gradings(tmp_path / "r.jsonl") == read_gradings(tmp_path / "whole.jsonl")  # but for their times


def rows(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def test_every_damaged_file_gets_a_row(grader_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "torture"
    folder.mkdir()
    good = {"good.jpg": jpeg(gradient(90, 120)), "wrong.png": jpeg(gradient(90, 120))}
    bad = {f"{name}.jpg": content for name, content in no_photographs().items()}
    for name, content in {"cut.png": encoded(gradient(60, 90), "PNG"), "cut.jpg": jpeg(gradient(60, 90))}.items():
        bad[name] = content[: len(content) // 2]
    bad |= {f"bad {name}": b"text" for name in NAMES}
    for name, content in (good | bad).items():
        (folder / name).write_bytes(content)
    (folder / "link.jpg").symlink_to(folder / "nowhere.jpg")  # a broken link is no photograph
    for suffix in ("csv", "parquet"):
        out = tmp_path / f"r.{suffix}"
        printed = run("grade", folder, "--model", grader_file, "--out", out, "--saliency", tmp_path / "maps", code=1)
        assert f"{len(bad)} errors" in printed
        table = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
        assert len(table) == len(good) + len(bad)
        broken = table[table["error"].notna()]
        assert len(broken) == len(bad)
        assert not {"good", "wrong"} & set(broken["image_id"])


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [
        ("pyarrow", ("--out", "r.parquet"), "parquet"),
        ("pyarrow", ("--studies", "s.parquet"), "parquet"),
        ("highdicom", ("--dicom", "d"), "dicom"),
    ],
)
def test_a_missing_package_is_reported_before_any_work(
    eyes: Path, grader_file: Path, tmp_path: Path, package: str, arguments: tuple[str, ...], extra: str
) -> None:
    done = without(package, tmp_path, "grade", eyes, "--model", grader_file, *arguments)
    assert done.returncode == 2
    assert f"needs {package}" in done.stderr
    assert f"pip install 'retinagrade[{extra}]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_pydicom_other_photographs_are_graded(eyes: Path, grader_file: Path, tmp_path: Path) -> None:
    photograph = write_ophthalmic(tmp_path / "in" / "1.dcm", gradient(60, 90), "L")
    arguments = ("grade", photograph, sorted(eyes.iterdir())[0], "--model", grader_file, "--json")
    done = without("pydicom,highdicom,pyarrow,torch,pandas", tmp_path, *arguments)
    assert done.returncode == 1, done.stderr
    broken, fine = json.loads(done.stdout)
    assert broken["error"] == f"{photograph}: reading it needs pydicom: pip install 'retinagrade[dicom]'"
    assert fine["error"] is None


_WITHOUT = """
import sys
from importlib.abc import MetaPathFinder
packages = sys.argv.pop(1).split(",")
class Forbidden(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])
sys.meta_path.insert(0, Forbidden())
from retinagrade.cli import main
main()
"""


def without(packages: str, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the command as if packages were not installed."""
    command = [sys.executable, "-c", _WITHOUT, packages, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
