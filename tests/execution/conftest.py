"""A Ray on this machine, and an S3-compatible object store, each started once, and photographs in it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import s3fs
from moto.server import ThreadedMotoServer

from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.synthetic.patients import synthesize
from tests.datasets.test_prepare import bytes_of


@pytest.fixture(scope="session")
def environment() -> Iterator[pytest.MonkeyPatch]:
    """What processes that are started later find in theirs."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="session")
def connected(environment: pytest.MonkeyPatch, bucket: str) -> Iterator[None]:
    """A Ray of two processors, which every engine then uses; its workers know where the object store is."""
    root = str(Path(__file__).parents[2])
    environment.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])))
    environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
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
def bucket(environment: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty bucket of an object store."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    host, port = server.get_host_and_port()
    environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.setenv(name, "testing")
    s3fs.S3FileSystem().mkdir("bucket")
    yield "s3://bucket"
    server.stop()


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 made-up photographs of 12 patients, one of them cut off."""
    folder = tmp_path_factory.mktemp("many") / "source"
    synthesize(folder, count=24, size=120, seed=3, workers=1)
    cut = folder / "photographs" / "00004_left.jpg"
    cut.write_bytes(cut.read_bytes()[:700])
    return folder


@pytest.fixture(scope="session")
def stored(bucket: str, source: Path) -> str:
    s3fs.S3FileSystem().put(f"{source}/", f"{bucket}/source", recursive=True)
    return f"{bucket}/source"


@pytest.fixture(scope="session")
def local(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local") / "set"
    prepare(source, folder, size=64, workers=1)
    return folder


def fetch(url: str, folder: Path) -> dict[str, str]:
    """Digests of the files in a folder of the store, fetched to ``folder``."""
    s3fs.S3FileSystem().get(url, str(folder), recursive=True)
    return bytes_of(folder)


def at_home(record: dict[str, str]) -> dict[str, str]:
    """Without the one file that names places, in what is said of photographs that could not be used."""
    return {name: digest for name, digest in record.items() if name != "prepare.json"}
