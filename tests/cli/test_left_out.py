"""The commands count and name the files that they leave out, and ask for attention where one may be a photograph."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from retinagrade.cli import app
from retinagrade.datasets.synthetic.patients import synthesize
from tests.images.hostile_files import plain


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each grade; photographs are nested, and one has no suffix."""
    drawn = tmp_path_factory.mktemp("drawn")
    synthesize(drawn, count=4, size=300, seed=3, workers=1)
    folder = tmp_path_factory.mktemp("source")
    places = ("0/a.jpg", "0/clinic/b.jpe", "1/c.jfif", "2/clinic/deep/d")
    for photograph, place in zip(sorted((drawn / "photographs").iterdir()), places, strict=True):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        photograph.rename(folder / place)
    for name, content in (("notes.txt", b"text"), ("0/Thumbs.db", b"\xd0\xcf\x11\xe0"), ("0/._a.jpg", b"\0\5\x16\7")):
        (folder / name).write_bytes(content)
    return folder


def commands(folder: Path, out: Path) -> dict[str, list[str]]:
    return {
        "prepare": ["prepare", str(folder), "--out", str(out / "set"), "--size", "64", "--workers", "1"],
        "check": ["data", "check", str(folder), "--workers", "1", "--quality", "0"],
        "grade": ["grade", str(folder)],
    }


def run(words: list[str]) -> Result:
    done = CliRunner().invoke(app, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@pytest.mark.parametrize("command", ["prepare", "check", "grade"])
def test_harmless_files_are_named_and_need_no_attention(source: Path, tmp_path: Path, command: str) -> None:
    done = run(commands(source, tmp_path)[command])
    for name in ("notes.txt", "Thumbs.db", "._a.jpg"):
        assert name in done.output
    assert "3" in done.output
    if command == "prepare":
        assert done.exit_code == 0
        assert "4 of 4 photographs" in done.output
    elif command == "grade":
        assert all(f"{name}: grade" in done.output for name in ("0/a", "0/clinic/b", "1/c", "2/clinic/deep/d"))


@pytest.mark.parametrize("command", ["prepare", "check", "grade"])
def test_each_file_that_may_be_a_photograph_needs_attention(source: Path, tmp_path: Path, command: str) -> None:
    extra = {
        "0/scan.dcm.gz": gzip.compress(b"DICM", mtime=0),
        "1/camera.cr2": b"II*\0\x10\0\0\0CR\2\0" + bytes(80),
        "2/.hidden.jpg": (source / "0" / "a.jpg").read_bytes(),
    }
    try:
        for name, content in extra.items():
            (source / name).write_bytes(content)
        (source / "0" / "gone.jpg").symlink_to("absent.jpg")
        os.mkfifo(source / "0" / "pipe.png")
        names = {*extra, "0/gone.jpg", "0/pipe.png"}
        done = run(commands(source, tmp_path)[command])
        assert done.exit_code == 1
        for name in names:
            assert Path(name).name in done.output
        if command != "grade":
            document = json.loads(CliRunner().invoke(app, [*commands(source, tmp_path)[command], "--json"]).stdout)
            assert {each["file"] for each in document["left_out"] if each["may_be_photograph"]} == names
    finally:
        for name in ("0/scan.dcm.gz", "1/camera.cr2", "2/.hidden.jpg", "0/gone.jpg", "0/pipe.png"):
            (source / name).unlink()


def test_json_of_grade_stays_a_document(source: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*commands(source, tmp_path)["grade"], "--json"])
    assert len(json.loads(done.stdout)) == 4
    assert "notes.txt" in done.stderr


def test_one_long_picture_and_one_device_cost_no_other_photograph(source: Path, tmp_path: Path) -> None:
    (tmp_path / "long.png").write_bytes(plain("PNG", 16, 9000))
    paths = [str(tmp_path / "long.png"), str(source / "0" / "a.jpg"), "/dev/zero"]
    done = run(["grade", *paths, "--out", str(tmp_path / "r.jsonl")])
    assert done.exit_code == 1
    rows = {row["image_id"]: row for row in map(json.loads, (tmp_path / "r.jsonl").read_text().splitlines())}
    assert rows["a"]["predicted_grade"] is not None
    assert rows["long"]["error"]
    assert rows["zero"]["error"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a.jpg", "reference://x", "simplecache::s3://b/a.jpg"])
def test_a_table_with_another_url_is_refused_by_line(source: Path, tmp_path: Path, url: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(f"image_id,path,grade\na,{source}/0/a.jpg,0\nb,{url},1\n")
    for words in (
        ["prepare", str(table), "--out", str(tmp_path / "set")],
        ["data", "check", str(table)],
        ["grade", "--list", str(table)],
    ):
        done = CliRunner().invoke(app, words)
        said = done.output + str(done.exception)
        assert done.exit_code != 0
        assert "line 3" in said
        assert "path" in said
    assert not (tmp_path / "set" / "manifest.csv").exists()
