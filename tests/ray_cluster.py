"""Fixtures: Ray and an S3-compatible object store on this machine, each started once, and photographs in the store."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.synthetic.patients import synthesize
from tests.folder_contents import file_digests


@pytest.fixture(scope="session")
def worker_environment() -> Iterator[pytest.MonkeyPatch]:
    """Environment variables for the processes that are started later."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="session")
def ray_cluster(worker_environment: pytest.MonkeyPatch, bucket: str) -> Iterator[None]:
    """Starts Ray with two processors, which every engine then uses. Its workers know the object store's address."""
    import ray

    root = str(Path(__file__).parents[1])
    worker_environment.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])))
    worker_environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        "local",
        num_cpus=2,
        object_store_memory=100 << 20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=40,
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def bucket(worker_environment: pytest.MonkeyPatch) -> Iterator[str]:
    """Starts an object store; returns the URL of an empty bucket."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    host, port = server.get_host_and_port()
    worker_environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    worker_environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        worker_environment.setenv(name, "testing")
    s3fs.S3FileSystem().mkdir("bucket")
    yield "s3://bucket"
    server.stop()


@pytest.fixture(scope="session")
def damaged_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 synthetic photographs of 12 patients, one of them cut off."""
    folder = tmp_path_factory.mktemp("many") / "source"
    synthesize(folder, count=24, size=120, seed=3, workers=1)
    cut = folder / "photographs" / "00004_left.jpg"
    cut.write_bytes(cut.read_bytes()[:700])
    return folder


@pytest.fixture(scope="session")
def stored_source(bucket: str, damaged_source: Path) -> str:
    """Uploads the photographs; returns their URL."""
    import s3fs

    s3fs.S3FileSystem().put(f"{damaged_source}/", f"{bucket}/source", recursive=True)
    return f"{bucket}/source"


@pytest.fixture(scope="session")
def prepared_locally(damaged_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepares the photographs from the local folder, at 64 px."""
    folder = tmp_path_factory.mktemp("local") / "set"
    prepare(damaged_source, folder, size=64, workers=1)
    return folder


def fetch_digests(url: str, folder: Path) -> dict[str, str]:
    """Downloads a folder of the object store to ``folder``, and returns the digests of its files."""
    import s3fs

    s3fs.S3FileSystem().get(url, str(folder), recursive=True)
    return file_digests(folder)
