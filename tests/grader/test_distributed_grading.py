"""Grading on Ray and of photographs in an object store: exactly the results of the local command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import s3fs
from typer.testing import CliRunner

from retinagrade.cli import app
from retinagrade.execution.engine import WorkItem, WorkResult
from retinagrade.gate.settings import GateSettings
from retinagrade.grader.distributed import grade_on_engine
from retinagrade.grader.runtime import BATCH, Grader
from tests.grader.graders import write_grader


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grader(tmp_path_factory.mktemp("grader") / "grader.onnx")


def grade(*words: object) -> str:
    done = CliRunner().invoke(app, ["grade", *map(str, words)])
    assert done.exit_code == 1, done.output  # one of the photographs is cut off
    return done.stdout


def rows(path: Path) -> pd.DataFrame:
    differing = ["path", "error", "study", "graded_at", "check"]
    return pd.read_csv(path).drop(columns=differing).sort_values("image_id", ignore_index=True)


@pytest.fixture(scope="module")
def expected(damaged_source: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("expected")
    grade(damaged_source / "photographs", "--model", model, "--out", out / "r.csv", "--saliency", out / "saliency")
    return out


def without_one(
    work: Callable[[WorkItem], WorkResult],
    items: Iterable[WorkItem],
    workers: int | None,
    crashed: Callable[[WorkItem], WorkResult],
) -> Iterator[WorkResult]:
    """An engine in this process whose workers crash on one photograph."""
    for item in items:
        yield crashed(item) if "00003_right" in repr(item) else work(item)


def test_a_photograph_that_kills_its_worker_gets_a_row_with_an_error(damaged_source: Path, model: Path) -> None:
    paths = sorted((damaged_source / "photographs").iterdir())[: 2 * BATCH]
    ids = [path.stem for path in paths]
    results = {
        graded.grading.image_id: graded.grading
        for graded in grade_on_engine(
            map(str, paths),
            ids,
            engine=without_one,
            workers=None,
            model=model,
            fast=False,
            saliency=False,
            gate=GateSettings(),
        )
    }
    assert sorted(results) == ids
    assert (results["00003_right"].error or "").endswith("decoding it killed the process")
    for each in Grader.load(model).grade(paths, ids):
        if each.image_id != "00003_right":
            grading = results[each.image_id]
            assert grading.probabilities == pytest.approx(each.probabilities, abs=1e-4)  # a different batch
            assert (grading.predicted_grade, grading.error) == (each.predicted_grade, each.error)


@pytest.mark.usefixtures("ray_cluster")
def test_ray_gives_the_local_results(damaged_source: Path, model: Path, expected: Path, tmp_path: Path) -> None:
    printed = grade(
        damaged_source / "photographs", "--model", model, "--out", tmp_path / "r.csv",
        "--saliency", tmp_path / "saliency", "--engine", "ray",
    )  # fmt: skip
    assert "24 photographs" in printed
    pd.testing.assert_frame_equal(rows(tmp_path / "r.csv"), rows(expected / "r.csv"), check_exact=True)
    overlays = {path.name: path.read_bytes() for path in (expected / "saliency").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "saliency").iterdir()} == overlays


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_object_store_gives_the_local_results(
    stored_source: str, bucket: str, model: Path, expected: Path, tmp_path: Path, suffix: str
) -> None:
    url = f"{bucket}/results{suffix}"
    call = partial(
        grade, f"{stored_source}/photographs", "--model", model, "--out", url, "--saliency", f"{bucket}/saliency"
    )
    assert "24 photographs" in call()
    assert "24 photographs, 23 taken over" in call()
    s3fs.S3FileSystem().get(url, str(tmp_path / f"r{suffix}"))
    if suffix == ".csv":
        ours, local = (rows(path / "r.csv").drop(columns="digest") for path in (tmp_path, expected))
        pd.testing.assert_frame_equal(ours, local, check_exact=True)
    else:
        assert set(pd.read_parquet(tmp_path / "r.parquet")["image_id"]) == set(rows(expected / "r.csv")["image_id"])
    names = {name.rpartition("/")[2] for name in s3fs.S3FileSystem().ls(bucket, refresh=True)}
    assert not any(name.startswith(f"results{suffix}.") for name in names)  # no journal is left
