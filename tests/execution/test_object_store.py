"""Photographs in an object store, and prepared sets there: what local folders give, to the byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from retinagrade.cli import app
from retinagrade.datasets import prepare as preparation
from retinagrade.datasets.layouts import read_dataset
from retinagrade.datasets.prepare_file import PreparedFile, prepare_file
from retinagrade.errors import UsageError
from retinagrade.images.prepare import PreparationSettings
from retinagrade.manifest import Manifest
from retinagrade.paths import user_path
from tests.datasets.test_prepare import bytes_of
from tests.execution.conftest import at_home, fetch


def run(*words: str, code: int = 1) -> str:
    done = CliRunner().invoke(app, [*words])
    assert done.exit_code == code, done.output
    return done.stdout


def test_prepared_in_the_store_as_at_home(stored: str, bucket: str, local: Path, tmp_path: Path) -> None:
    run("prepare", stored, "--out", f"{bucket}/set", "--size", "64", "--workers", "1")
    assert at_home(fetch(f"{bucket}/set", tmp_path / "set")) == at_home(bytes_of(local))
    records = [json.loads((folder / "prepare.json").read_text()) for folder in (tmp_path / "set", local)]
    for record in records:
        reasons = [entry.pop("reason") for entry in record["photographs"]]  # they name the file's place
        assert sum(reason is not None for reason in reasons) == 1
    assert records[0] == records[1]
    assert "(23 from before)" in run("prepare", stored, "--out", f"{bucket}/set", "--size", "64", "--workers", "1")
    assert at_home(fetch(f"{bucket}/set", tmp_path / "again")) == at_home(bytes_of(local))


def test_a_call_that_was_cut_off_is_continued(
    stored: str, bucket: str, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def unplugged(item: tuple[str, str, Path], settings: PreparationSettings, out: Path) -> PreparedFile:
        nonlocal count
        count += 1
        if count > 15:
            raise ConnectionError("the network is gone")
        return prepare_file(item, settings, out)

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "prepare_file", unplugged)
        with pytest.raises(ConnectionError):
            preparation.prepare(stored, f"{bucket}/cut", size=64, workers=1)
    assert not user_path(f"{bucket}/cut/manifest.csv").exists()
    result = preparation.prepare(stored, f"{bucket}/cut", size=64, workers=1)
    assert (result.prepared, result.reused, len(result.failed)) == (9, 14, 1)
    assert at_home(fetch(f"{bucket}/cut", tmp_path / "set")) == at_home(bytes_of(local))


def test_a_table_at_home_names_photographs_in_the_store(stored: str, local: Path, tmp_path: Path) -> None:
    manifest = read_dataset(user_path(stored))
    rows = manifest.table.assign(path=[f"{stored}/{path}" for path in manifest.table["path"]])
    Manifest(rows, tmp_path).write(tmp_path / "manifest.csv")
    run("prepare", str(tmp_path / "manifest.csv"), "--out", str(tmp_path / "set"), "--size", "64", "--workers", "1")
    prepared = {name: digest for name, digest in bytes_of(tmp_path / "set").items() if name.startswith("photographs/")}
    assert prepared.items() <= bytes_of(local).items()
    assert len(prepared) == 23


def test_checked_in_the_store_and_cleaned_at_home(stored: str, source: Path, tmp_path: Path) -> None:
    far = json.loads(run("data", "check", stored, "--json", "--workers", "1", "--out", str(tmp_path / "far"), "--fix"))
    near = json.loads(run("data", "check", str(source), "--json", "--workers", "1"))
    assert far.pop("root") == stored
    near.pop("root")
    assert far == near
    cleaned = Manifest.read(tmp_path / "far" / "manifest.csv").table
    assert len(cleaned) == 23
    assert all(path.startswith(f"{stored}/photographs/") for path in cleaned["path"])


def test_places_that_are_none(bucket: str) -> None:
    with pytest.raises(UsageError, match=r"nowhere://x can't be reached .*Unsupported"):
        user_path("nowhere://x")
    done = CliRunner().invoke(app, ["prepare", f"{bucket}/nothing", "--out", f"{bucket}/other"])
    assert "no such file or folder" in str(done.exception)
