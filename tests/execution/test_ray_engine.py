"""Ray gives the same results as local processes, and loses nothing when workers or nodes die."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
from typer.testing import CliRunner

from retinagrade.cli import app
from retinagrade.datasets import prepare as preparation
from retinagrade.datasets.prepare_file import PreparedFile, prepare_file
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.errors import UsageError
from retinagrade.execution import ray_engine as engine
from retinagrade.execution.ray_engine import RayEngine
from retinagrade.images.prepare import PreparationSettings
from tests.folder_contents import file_digests, without_paths
from tests.ray_cluster import fetch_digests
from tests.watched_network import refused, watched_environment


def square(item: int) -> int:
    return item * item


def die_at_seven(item: int, tries: Path) -> int:
    if item == 7:
        with tries.open("a") as stream:
            stream.write("x")
        os.kill(os.getpid(), signal.SIGSEGV)
    return item * item


def die_once(item: int, marks: Path) -> int:
    """Kills its worker at the first try of every sixth item, as a machine that runs out of memory may."""
    mark = marks / str(item)
    if item % 6 == 0 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def die_of_one(item: tuple[str, str, Path], settings: PreparationSettings, out: Path) -> PreparedFile:
    if item[0] == "00003_right":
        os.kill(os.getpid(), signal.SIGKILL)
    return prepare_file(item, settings, out)


def refuse(item: int) -> int:
    raise ValueError(f"not {item}")


def never(item: int) -> int:
    raise AssertionError(f"{item} was given up")


def where(item: int) -> str:
    return f"{Path.cwd()} {item}"


@pytest.mark.usefixtures("ray_cluster")
class TestOnRay:
    @pytest.mark.parametrize("workers", [None, 1, pytest.param(5, marks=pytest.mark.slow)])
    def test_every_item_once(self, workers: int | None) -> None:
        assert sorted(RayEngine()(square, range(40), workers, never)) == [item**2 for item in range(40)]
        assert list(RayEngine()(square, [], workers, never)) == []

    def test_an_item_that_kills_its_worker_is_tried_twice_and_costs_no_other_item(self, tmp_path: Path) -> None:
        work = partial(die_at_seven, tries=tmp_path / "tries")
        results = sorted(RayEngine()(work, range(20), None, lambda item: -item))
        assert results == sorted([-7, *(item**2 for item in range(20) if item != 7)])
        assert (tmp_path / "tries").read_text() == "xx"

    def test_killed_workers_cost_time_and_no_item(self, tmp_path: Path) -> None:
        results = sorted(RayEngine()(partial(die_once, marks=tmp_path), range(12), None, never))
        assert results == [item**2 for item in range(12)]
        assert len(list(tmp_path.iterdir())) == 2

    def test_exceptions_come_through(self) -> None:
        with pytest.raises(ValueError, match=r"^not [0-2]$"):
            list(RayEngine()(refuse, range(3), None, never))

    def test_items_are_taken_as_they_are_needed(self) -> None:
        taken = 0

        def items() -> Iterator[int]:
            nonlocal taken
            for item in range(200):
                taken += 1
                yield item

        results = RayEngine()(square, items(), None, never)
        for _ in range(20):
            next(results)
        assert taken <= 20 + 2 * 2 * engine._AHEAD  # items at work, and items of the last results
        results.close()  # type: ignore[attr-defined]

    def test_workers_run_in_the_same_folder_and_must_see_shared_folders(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "here").mkdir()
        assert list(RayEngine(folders=(Path("here"),))(where, [1], None, never)) == [f"{tmp_path} 1"]
        with pytest.raises(UsageError, match=rf"can't find {tmp_path}/gone: share the folder"):
            list(RayEngine(folders=(Path("gone"),))(square, [1], None, never))

    def test_a_worker_of_another_version_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "_versions", lambda: {"retinagrade": "0.0"})
        with pytest.raises(UsageError, match=r"retinagrade.*install the same on all machines"):
            list(RayEngine()(square, [1], None, never))

    def test_prepared_bytes_are_those_of_the_local_engine(self, damaged_source: Path, tmp_path: Path) -> None:
        local, distributed = tmp_path / "local", tmp_path / "ray"
        options = ["--size", "64", "--clahe"]
        assert CliRunner().invoke(app, ["prepare", str(damaged_source), "--out", str(local), *options]).exit_code == 1
        done = CliRunner().invoke(
            app, ["prepare", str(damaged_source), "--out", str(distributed), *options, "--engine", "ray"]
        )
        assert done.exit_code == 1, done.output
        assert "00004_left" in done.output
        assert file_digests(local) == file_digests(distributed)
        again = CliRunner().invoke(
            app, ["prepare", str(damaged_source), "--out", str(distributed), *options, "--engine", "ray"]
        )
        assert "23 of 24" in again.output
        assert "(23 from before)" in again.output

    def test_a_check_finds_the_same_as_the_local_engine(self, damaged_source: Path) -> None:
        found = [
            CliRunner().invoke(app, ["data", "check", str(damaged_source), "--json", *options]).stdout
            for options in ([], ["--engine", "ray"])
        ]
        assert json.loads(found[0]) == json.loads(found[1])
        assert json.loads(found[0])["counts"]["unusable"] == 1

    def test_a_prepared_set_in_an_object_store(
        self, stored_source: str, bucket: str, prepared_locally: Path, tmp_path: Path
    ) -> None:
        done = CliRunner().invoke(
            app, ["prepare", stored_source, "--out", f"{bucket}/by-ray", "--size", "64", "--engine", "ray"]
        )
        assert done.exit_code == 1, done.output
        assert without_paths(fetch_digests(f"{bucket}/by-ray", tmp_path / "set")) == without_paths(
            file_digests(prepared_locally)
        )

    @pytest.mark.slow
    def test_a_photograph_that_kills_its_worker_is_a_row(
        self, damaged_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(preparation, "prepare_file", die_of_one)
        result = preparation.prepare(damaged_source, tmp_path / "set", size=64, engine=RayEngine())
        assert result.prepared == 22
        reasons = {outcome.image_id: outcome.reason for outcome in result.failed}
        assert (reasons["00003_right"] or "").endswith("decoding it killed the process")


def describe_private_ray(marker: str) -> tuple[str, str, list[str]]:
    """Returns the home folder of a worker, the folder of its Ray, and the addresses at which that Ray listens."""
    node: Any = ray._private.worker._global_node
    session = Path(node.get_session_dir_path())
    deadline = time.monotonic() + 60
    while "Usage reporting is disabled" not in "".join(log.read_text() for log in session.glob("logs/dashboard*.log")):
        assert time.monotonic() < deadline
        time.sleep(0.1)  # before it says so, it would ask clouds where it runs
    sockets = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if marker.encode() in (process / "environ").read_bytes():
                sockets |= {str(each.readlink()).strip("socket:[]") for each in (process / "fd").iterdir()}
    addresses = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in sockets:
                addresses.append(fields[1].partition(":")[0])
    return str(Path.home()), str(session), addresses


LISTENING = "0A"
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1, the same in IPv6, and ::1, in the notation of /proc/net."""


def test_a_private_ray_keeps_to_this_machine_and_a_temporary_folder(tmp_path: Path) -> None:
    marker = secrets.token_hex(16)
    script = tmp_path / "script.py"
    script.write_text(
        "import json\n"
        "from retinagrade.execution.ray_engine import RayEngine\n"
        "from tests.execution.test_ray_engine import describe_private_ray, never\n"
        f"print(json.dumps(list(RayEngine()(describe_private_ray, [{marker!r}], 1, never))[0]))\n"
    )
    environment = {**watched_environment(tmp_path), "RETINAGRADE_TEST_MARKER": marker}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    home, session, addresses = json.loads(done.stdout.splitlines()[-1])
    assert len(addresses) >= 3
    assert set(addresses) <= LOOPBACK
    assert refused(tmp_path) == []
    assert home == environment["HOME"]
    assert list(Path(home).iterdir()) == []
    assert not Path(session).exists()


def test_an_address_without_a_cluster_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with (
        pytest.raises(UsageError, match=r"no Ray at 127.0.0.1:\d+ .*start it"),
        engine._connected(f"127.0.0.1:{_free_port()}", None),
    ):
        pass
    with (
        pytest.raises(UsageError, match="no Ray at ray://somewhere:else"),
        engine._connected("ray://somewhere:else", None),
    ):
        pass


def test_an_address_needs_the_engine_ray(damaged_source: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["prepare", str(damaged_source), "--out", str(tmp_path / "set"), "--address", "auto"]
    )
    assert isinstance(done.exception, UsageError)
    assert "--engine ray" in str(done.exception)


def _node(*options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", *options]
    return subprocess.Popen(
        [*command, "--object-store-memory=100000000"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.mark.slow
def test_one_of_two_nodes_is_killed_and_nothing_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    source, local, distributed = tmp_path / "source", tmp_path / "local", tmp_path / "ray"
    synthesize(source, count=400, size=400, seed=4)
    preparation.prepare(source, local, size=128)
    port, client = _free_port(), _free_port()
    address = f"127.0.0.1:{port}"
    head = _node("--head", f"--port={port}", f"--ray-client-server-port={client}", "--include-dashboard=false")
    nodes = [head]
    try:
        _wait_for(1, address)
        nodes.append(_node(f"--address={address}"))
        _wait_for(2, address)
        command = [
            sys.executable,
            "-m",
            "retinagrade",
            "prepare",
            str(source),
            "--out",
            str(distributed),
            "--size",
            "128",
        ]
        process = subprocess.Popen([*command, "--engine", "ray", "--address", address])
        deadline = time.monotonic() + 120
        while len(list(distributed.glob("photographs/*.jpg"))) < 100 and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(nodes[1].pid, signal.SIGKILL)
        assert len(list(distributed.glob("photographs/*.jpg"))) < 300, "the kill came too late to test anything"
        assert process.wait(timeout=240) == 0
    finally:
        for node in nodes:
            if node.poll() is None:
                os.killpg(node.pid, signal.SIGKILL)
            node.wait()
    assert file_digests(local) == file_digests(distributed)


def _wait_for(nodes: int, address: str) -> None:
    """Waits until a cluster has so many nodes, asking from a process of its own: a process connects to one only."""
    code = f"import ray; ray.init({address!r}, log_to_driver=False); print(len([n for n in ray.nodes() if n['Alive']]))"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        if done.stdout.strip() == str(nodes):
            return
    raise TimeoutError(f"no {nodes} nodes at {address}: {done.stderr}")


@pytest.mark.slow
def test_ray_is_started_and_stopped_where_none_runs(damaged_source: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "retinagrade",
        "prepare",
        str(damaged_source),
        "--out",
        str(tmp_path / "set"),
        "--size",
        "64",
    ]
    done = subprocess.run(
        [*command, "--engine", "ray", "--workers", "1"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert "23 of 24 photographs" in done.stdout
