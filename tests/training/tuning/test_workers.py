"""Several real workers on one search, one of them killed, with a file and with a PostgreSQL server as storage."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from retinagrade.runs.run import Run
from tests.training.tiny_experiments import TINY

pytestmark = pytest.mark.slow

SETTINGS = [*TINY, "training.epochs=2", "training.logger=none"]
SPACE = "training.learning_rate: {low: 1.0e-4, high: 1.0e-1, log: true}\nnetwork.dense: {choices: [[16], [4]]}\n"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The URL of a server of Debian's package, made for this and gone with it; it refuses to run as root."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("no PostgreSQL here: apt install postgresql")
    as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="retinagrade-postgresql-", dir="/tmp"))
    if as_user:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *words: str) -> None:
        subprocess.run([*as_user, str(found[-1] / program), "-D", str(folder / "data"), *words], check=True, cwd="/")

    try:
        (folder / "password").write_text("se:cret@1")
        (folder / "password").chmod(0o644)
        run("initdb", "-U", "tuner", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://tuner:se%3Acret%401@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def worker(out: Path, prepared: Path, storage: str | None) -> subprocess.Popen[str]:
    (out.parent / "space.yaml").write_text(SPACE)
    command = [
        sys.executable,
        "-m",
        "retinagrade",
        "tune",
        str(prepared),
        "scratch-2",
        "--space",
        str(out.parent / "space.yaml"),
    ]
    command += ["--out", str(out), "--trials", "6", "--metric", "log_loss"]
    command += [word for setting in [*SETTINGS, "training.epochs=15"] for word in ("--set", setting)]
    command += [] if storage is None else ["--storage", storage]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kept_in", ["file", "postgresql"])
def test_two_workers_and_a_kill(kept_in: str, prepared: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    storage = request.getfixturevalue("postgresql") if kept_in == "postgresql" else None
    out = tmp_path / "search"
    victim = worker(out, prepared, storage)
    deadline = time.monotonic() + 120
    while not Run(out / "trial-001").last_checkpoint.is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert Run(out / "trial-001").record().status == "training", "the signal came too late to test anything"
    two = [worker(out, prepared, storage) for _ in range(2)]
    said = [process.communicate(timeout=300) for process in two]
    assert [process.returncode for process in two] == [0, 0], said
    printed, reported = zip(*said, strict=True)
    assert sum("trial-001 continues" in text for text in reported) == 1
    assert all("begins" in text for text in reported), "one of them did nothing"
    table = pd.read_csv(out / "trials.csv")
    assert table["trial"].tolist() == list(range(6))
    assert set(table["state"]) <= {"finished", "stopped early"}
    history = Run(out / "trial-001").history()
    assert history["epoch"].tolist() == list(range(len(history)))
    assert any("wrote" in text for text in printed)
    secret = [path for path in out.rglob("*") if path.is_file() and b"cret" in path.read_bytes()]
    assert not [path for path in secret if path.suffix in (".json", ".html", ".yaml", ".csv")]


def test_a_server_that_is_not_there_or_refuses_is_told(postgresql: str, prepared: Path, tmp_path: Path) -> None:
    for url in (postgresql.replace("se%3A", "wrong"), "postgresql://a:b@127.0.0.1:1/c"):
        process = worker(tmp_path / "search", prepared, url)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 2
        assert "--storage can't be used" in said
        assert "Traceback" not in said
        assert "wrong" not in said
