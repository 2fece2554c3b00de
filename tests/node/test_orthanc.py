"""The node beside Orthanc, by the recipe of the documentation."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from pydicom import dcmread

from retinagrade import Grader
from retinagrade.node.node import Node
from retinagrade.node.settings import NodeSettings, Peer, WebPeer
from retinagrade.node.web_app import WebAccess
from tests.node.here import decode_here
from tests.node.nodes import free_port, wait_until, write_eye
from tests.node.web import served
from tests.programs import require_program

PAGE = Path(__file__).parents[2] / "docs" / "node.md"
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
USER: Final = ("node", "secret")


class Orthanc:
    """A running Orthanc."""

    def __init__(self, http: int, dicom: int) -> None:
        self.http, self.dicom = http, dicom

    def call(self, path: str, body: dict[str, Any] | bytes | None = None) -> Any:
        """Calls its interface."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        credentials = base64.b64encode(":".join(USER).encode()).decode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data)
        request.add_header("Authorization", f"Basic {credentials}")
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def is_up(self) -> bool:
        with suppress(OSError):
            return bool(self.call("/system"))
        return False

    def modalities(self) -> list[str]:
        """Returns the modality of each instance."""
        return sorted(self.call(f"/instances/{each}/simplified-tags")["Modality"] for each in self.call("/instances"))


def script(number: int) -> str:
    """Returns a Lua script of the documentation."""
    pattern = re.compile(r"^( +)function OnStoredInstance.*?^\1end$", re.MULTILINE | re.DOTALL)
    scripts = [found[0] for found in pattern.finditer(PAGE.read_text("utf-8"))]
    return scripts[number]


@contextmanager
def orthanc(folder: Path, script: str, http: int = 0, **settings: Any) -> Iterator[Orthanc]:
    """Runs Orthanc with a script and settings while the block lasts."""
    program = require_program("Orthanc", "orthanc")
    running = Orthanc(http or free_port(), free_port())
    folder.mkdir()
    (folder / "retinagrade.lua").write_text(script)
    configuration = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": running.http,
        "DicomPort": running.dicom,
        "DicomAet": "ORTHANC",
        "AuthenticationEnabled": True,
        "RegisteredUsers": dict([USER]),
        "LuaScripts": ["retinagrade.lua"],
        "Plugins": [],
        **settings,
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with subprocess.Popen([program, "orthanc.json"], cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(running.is_up)
            yield running
        finally:
            process.terminate()


@pytest.mark.slow
def test_orthanc_sends_photographs_and_keeps_the_results(
    tmp_path: Path, lesion_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_here(monkeypatch)
    port, files = free_port(), [write_eye(tmp_path, side, side, "1", StudyDate="20261128") for side in "LR"]
    modalities = {"retinagrade": ["RETINAGRADE", "127.0.0.1", port]}
    query = re.search(r"tools/find -d '(.*?)'", PAGE.read_text("utf-8"))
    assert query is not None
    with orthanc(tmp_path / "orthanc", script(0), DicomModalities=modalities) as archive:
        address = Peer("ORTHANC", "127.0.0.1", archive.dicom)
        settings = NodeSettings(address, wait=2, callers={"ORTHANC": address})
        archive.call("/instances", files[0].read_bytes())
        wait_until(lambda: {job["State"] for job in archive.call("/jobs?expand")} == {"Failure"})
        node = Node(Grader.load(lesion_file), settings, tmp_path / "queue")
        node.start("127.0.0.1", port)
        archive.call("/instances", files[1].read_bytes())
        series = archive.call("/tools/find", query[1].encode())
        archive.call("/modalities/retinagrade/store", json.dumps(series).encode())  # both; the node has one already
        expected = ["DOC", "OP", "OP", "OT", "OT", "OT", "SEG", "SEG", "SR"]
        wait_until(lambda: archive.modalities() == expected)
        instances = [dcmread(file, stop_before_pixels=True) for file in files]
        asked = archive.call(
            "/modalities/retinagrade/storage-commitment",
            {"DicomInstances": [[each.SOPClassUID, each.SOPInstanceUID] for each in instances]},
        )
        wait_until(lambda: archive.call(asked["Path"])["Status"] == "Success")
        assert archive.modalities() == expected  # the results that came back made no further ones
        node.stop()


@pytest.mark.slow
def test_orthanc_sends_and_gets_by_dicomweb(tmp_path: Path, lesion_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path(PLUGIN).exists():
        require_program(PLUGIN, "orthanc-dicomweb")
    decode_here(monkeypatch)
    (tmp_path / "credentials").write_text(":".join(USER))
    web = free_port()
    settings = NodeSettings(WebPeer(f"http://127.0.0.1:{web}/dicom-web", tmp_path / "credentials"), wait=2)
    node = Node(Grader.load(lesion_file), settings, tmp_path / "queue")
    node.start("127.0.0.1", 0)
    with served(node, settings, WebAccess(token="a token")) as url:
        servers = {"retinagrade": {"Url": url, "HttpHeaders": {"Authorization": "Bearer a token"}}}
        dicomweb = {"Enable": True, "Servers": servers}
        with orthanc(tmp_path / "orthanc", script(1), web, Plugins=[PLUGIN], DicomWeb=dicomweb) as archive:
            for side in "LR":
                archive.call("/instances", write_eye(tmp_path, side, side, "1").read_bytes())
            expected = ["DOC", "OP", "OP", "OT", "OT", "OT", "SEG", "SEG", "SR"]
            wait_until(lambda: archive.modalities() == expected)
            wait_until(lambda: {job["State"] for job in archive.call("/jobs?expand")} == {"Success"})
