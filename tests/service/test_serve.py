"""``retinagrade serve``: it writes nothing to disk, and loses no request when it stops."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import httpx2
import numpy as np
import pytest
from typer.testing import CliRunner

from retinagrade.cli import app
from retinagrade.errors import UsageError
from retinagrade.service import server
from retinagrade.service.settings import ServiceSettings
from tests.images.encoded_files import encoded
from tests.service.served import Served, served


def test_large_photographs_are_graded_without_write_access(service: Served) -> None:
    noisy = encoded(np.random.default_rng(0).integers(0, 255, (1200, 1200, 3), dtype=np.uint8), "PNG")
    assert len(noisy) > 4_000_000  # libraries store uploads above 1 MB in files
    response = httpx2.post(f"{service.url}/v1/grade", files={"photographs": ("noise.png", noisy)}, timeout=60)
    assert response.status_code == 200
    assert response.json()["photographs"][0]["grading"]["error"] is None


def test_no_file_is_written(grader_file: Path, eyes: list[Path], tmp_path: Path) -> None:
    folders = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "TMPDIR"), str(tmp_path))
    with served(grader_file, **folders) as running:
        file = {"photographs": ("eye.jpg", eyes[0].read_bytes())}
        assert httpx2.post(f"{running.url}/v1/grade?pictures=true", files=file).status_code == 200
    assert list(tmp_path.iterdir()) == []


def test_no_framework_is_loaded(service: Served) -> None:
    mapped = Path(f"/proc/{service.process.pid}/maps").read_text()
    assert "onnxruntime" in mapped
    assert not re.search(r"/(torch|pandas|scipy|sklearn|matplotlib)/", mapped)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGHUP])
def test_no_signal_under_load_loses_an_accepted_request(
    grader_file: Path, eyes: list[Path], stop: signal.Signals
) -> None:
    photographs = [path.read_bytes() for path in eyes]

    async def client(url: str, statuses: dict[str, int], sent: asyncio.Semaphore) -> None:
        async with httpx2.AsyncClient(timeout=60) as http:
            for turn in range(10_000):
                request_id = str(uuid4())
                file = {"photographs": ("eye.jpg", photographs[turn % len(photographs)])}
                try:
                    response = await http.post(f"{url}/v1/grade", files=file, headers={"X-Request-ID": request_id})
                except httpx2.HTTPError:  # nobody accepted it
                    return
                assert len(response.json()["photographs"]) == 1
                statuses[request_id] = response.status_code
                sent.release()

    async def load(running: Served) -> dict[str, int]:
        statuses: dict[str, int] = {}
        sent = asyncio.Semaphore(0)
        clients = [asyncio.create_task(client(running.url, statuses, sent)) for _ in range(24)]
        for _ in range(40):  # now the service is busy
            await sent.acquire()
        assert running.process.poll() is None
        for each in (*children(running.process.pid), running.process.pid):  # a closed terminal tells all of them
            os.kill(each, stop)
        await asyncio.gather(*clients)
        return statuses

    with served(grader_file) as running:
        statuses = asyncio.run(load(running))
        running.process.wait(60)
        running.reader.join()
    logged = {line["request_id"]: line["status"] for line in running.log if line["event"] == "request"}
    assert logged == statuses
    assert set(statuses.values()) == {200}
    assert running.log[-1]["event"] == "stopped"
    assert running.process.returncode == -signal.SIGTERM


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_errors_at_the_start_are_reported(grader_file: Path, service: Served, tmp_path: Path) -> None:
    def refused(*options: str) -> str:
        command = [sys.executable, "-m", "retinagrade", "serve", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        return done.stderr

    assert "no such file" in refused("--model", str(tmp_path / "absent.onnx"))
    port = service.url.rpartition(":")[2]
    assert "can't listen on 127.0.0.1 port" in refused("--model", str(grader_file), "--port", port)


def test_a_client_that_is_still_sending_gets_the_refusal(grader_file: Path) -> None:
    with served(grader_file, "--max-megabytes", "8") as running:
        for _ in range(3):
            response = httpx2.post(f"{running.url}/v1/grade", files={"photographs": ("a", bytes(12_000_000))})
            assert response.status_code == 413
            assert httpx2.post(f"{running.url}/nothing", content=bytes(6_000_000)).status_code == 404


def test_the_token_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RETINAGRADE_TOKEN", raising=False)
    settings: list[ServiceSettings] = []
    monkeypatch.setattr(server, "run_server", lambda app, *_: settings.append(app.state.service.settings))
    file = tmp_path / "token"
    file.write_text("secret\n")
    server.serve(port=0, token_file=file)
    assert settings[0].token == "secret"
    for content, token in ((b"\n", None), (b"two\nlines\n", None), (b"\xff", None), (b"secret", "other")):
        file.write_bytes(content)
        with pytest.raises(UsageError):
            server.serve(port=0, token_file=file, token=token)
    with pytest.raises(UsageError, match="absent"):
        server.serve(port=0, token_file=tmp_path / "absent")
    assert len(settings) == 1


@pytest.mark.parametrize(
    ("token", "options"),
    [
        ("", ()),
        (" ", ()),
        ("secret\n", ()),
        ("", ("--open",)),
        (None, ("--host", "0.0.0.0")),
        (None, ("--host", "::")),
        ("", ("--host", "0.0.0.0", "--open")),
        (None, ("--allowed-hosts", "http://grading.example")),
        (None, ("--allowed-hosts", "grading.example:8000")),
        (None, ("--allowed-hosts", "grading.example,,")),
    ],
)
def test_a_service_that_would_be_open_unawares_does_not_start(
    monkeypatch: pytest.MonkeyPatch, token: str | None, options: tuple[str, ...]
) -> None:
    monkeypatch.delenv("RETINAGRADE_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("RETINAGRADE_TOKEN", token)
    monkeypatch.setattr(server, "run_server", lambda *_: pytest.fail("it starts"))
    done = CliRunner().invoke(app, ["serve", "--port", "0", *options])
    assert isinstance(done.exception, UsageError)


@pytest.mark.parametrize(
    ("token", "options"),
    [("secret", ("--host", "0.0.0.0")), (None, ("--host", "0.0.0.0", "--open")), (None, ("--host", "localhost"))],
)
def test_a_service_that_is_open_on_purpose_starts(
    monkeypatch: pytest.MonkeyPatch, token: str | None, options: tuple[str, ...]
) -> None:
    monkeypatch.delenv("RETINAGRADE_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("RETINAGRADE_TOKEN", token)
    started: list[object] = []
    monkeypatch.setattr(server, "run_server", lambda *arguments: started.append(arguments))
    done = CliRunner().invoke(app, ["serve", "--port", "0", *options], catch_exceptions=False)
    assert (done.exit_code, len(started)) == (0, 1)
