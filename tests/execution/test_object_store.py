"""Photographs and prepared sets in an object store have the same bytes as those in local folders."""

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
from retinagrade.storage.paths import user_path
from tests.folder_contents import file_digests, without_paths
from tests.ray_cluster import fetch_digests


def run(*words: str, code: int = 1) -> str:
    done = CliRunner().invoke(app, [*words])
    assert done.exit_code == code, done.output
    return done.stdout


def test_a_prepared_set_in_the_store_has_the_same_bytes(
    stored_source: str, bucket: str, prepared_locally: Path, tmp_path: Path
) -> None:
    run("prepare", stored_source, "--out", f"{bucket}/set", "--size", "64", "--workers", "1")
    assert without_paths(fetch_digests(f"{bucket}/set", tmp_path / "set")) == without_paths(
        file_digests(prepared_locally)
    )
    records = [json.loads((folder / "prepare.json").read_text()) for folder in (tmp_path / "set", prepared_locally)]
    for record in records:
        record.pop("origin")  # it names the source
        reasons = [entry.pop("reason") for entry in record["photographs"]]  # reasons name the file's path
        assert sum(reason is not None for reason in reasons) == 1
        tags = [entry.pop("etag") for entry in record["photographs"]]  # local files have none
        assert all(tags) == (record is records[0])
    assert records[0] == records[1]
    assert "(23 from before)" in run(
        "prepare", stored_source, "--out", f"{bucket}/set", "--size", "64", "--workers", "1"
    )
    assert without_paths(fetch_digests(f"{bucket}/set", tmp_path / "again")) == without_paths(
        file_digests(prepared_locally)
    )


def test_an_interrupted_call_is_continued(
    stored_source: str, bucket: str, prepared_locally: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def unplugged(item: tuple[str, str, Path], settings: PreparationSettings, out: Path) -> PreparedFile:
        nonlocal count
        count += 1
        if count > 15:
            raise ConnectionError("the network is down")
        return prepare_file(item, settings, out)

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "prepare_file", unplugged)
        with pytest.raises(ConnectionError):
            preparation.prepare(stored_source, f"{bucket}/cut", size=64, workers=1)
    assert not user_path(f"{bucket}/cut/manifest.csv").exists()
    result = preparation.prepare(stored_source, f"{bucket}/cut", size=64, workers=1)
    assert (result.prepared, result.reused, len(result.failed)) == (9, 14, 1)
    assert without_paths(fetch_digests(f"{bucket}/cut", tmp_path / "set")) == without_paths(
        file_digests(prepared_locally)
    )


def test_a_local_table_may_name_photographs_in_the_store(
    stored_source: str, prepared_locally: Path, tmp_path: Path
) -> None:
    manifest = read_dataset(user_path(stored_source))
    rows = manifest.table.assign(path=[f"{stored_source}/{path}" for path in manifest.table["path"]])
    Manifest(rows, tmp_path).write(tmp_path / "manifest.csv")
    run("prepare", str(tmp_path / "manifest.csv"), "--out", str(tmp_path / "set"), "--size", "64", "--workers", "1")
    prepared = {
        name: digest for name, digest in file_digests(tmp_path / "set").items() if name.startswith("photographs/")
    }
    assert prepared.items() <= file_digests(prepared_locally).items()
    assert len(prepared) == 23


def test_checked_in_the_store_and_cleaned_without_paths(
    stored_source: str, damaged_source: Path, tmp_path: Path
) -> None:
    far = json.loads(
        run("data", "check", stored_source, "--json", "--workers", "1", "--out", str(tmp_path / "far"), "--fix")
    )
    near = json.loads(run("data", "check", str(damaged_source), "--json", "--workers", "1"))
    assert far.pop("root") == stored_source
    near.pop("root")
    assert far == near
    cleaned = Manifest.read(tmp_path / "far" / "manifest.csv").table
    assert len(cleaned) == 23
    assert all(path.startswith(f"{stored_source}/photographs/") for path in cleaned["path"])


def test_unknown_schemes_and_missing_folders_are_refused(bucket: str) -> None:
    with pytest.raises(UsageError, match=r"nowhere://x can't be reached .*Unsupported"):
        user_path("nowhere://x")
    done = CliRunner().invoke(app, ["prepare", f"{bucket}/nothing", "--out", f"{bucket}/other"])
    assert "no such file or folder" in str(done.exception)
