"""The node beside Orthanc, by the recipe of the documentation."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from retinagrade import Grader
from retinagrade.node.node import Node
from retinagrade.node.settings import NodeSettings, Peer
from tests.node.here import decode_here
from tests.node.nodes import free_port, wait_until, write_eye
from tests.programs import require_program

PAGE = Path(__file__).parents[2] / "docs" / "node.md"


class Orthanc:
    """A running Orthanc."""

    def __init__(self, http: int, dicom: int) -> None:
        self.http, self.dicom = http, dicom

    def call(self, path: str, body: dict[str, Any] | bytes | None = None) -> Any:
        """Calls its interface."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", data) as answer:
            return json.load(answer)

    def is_up(self) -> bool:
        with suppress(OSError):
            return bool(self.call("/system"))
        return False

    def modalities(self) -> list[str]:
        """Returns the modality of each instance."""
        return sorted(self.call(f"/instances/{each}/simplified-tags")["Modality"] for each in self.call("/instances"))


@contextmanager
def orthanc(folder: Path, node_port: int) -> Iterator[Orthanc]:
    """Runs Orthanc with the script of the documentation while the block lasts."""
    program = require_program("Orthanc", "orthanc")
    running = Orthanc(free_port(), free_port())
    script = re.search(r"^    function OnStoredInstance.*?^    end$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert script is not None
    (folder / "retinagrade.lua").write_text(script[0])
    configuration = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": running.http,
        "DicomPort": running.dicom,
        "DicomAet": "ORTHANC",
        "DicomModalities": {"retinagrade": ["RETINAGRADE", "127.0.0.1", node_port]},
        "LuaScripts": ["retinagrade.lua"],
        "Plugins": [],
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
    port, files = free_port(), [write_eye(tmp_path, side, side, "1") for side in "LR"]
    (tmp_path / "orthanc").mkdir()
    with orthanc(tmp_path / "orthanc", port) as archive:
        address = Peer("ORTHANC", "127.0.0.1", archive.dicom)
        settings = NodeSettings(address, wait=2, callers={"ORTHANC": address})
        node = Node(Grader.load(lesion_file), settings, tmp_path / "queue")
        node.start("127.0.0.1", port)
        for file in files:
            archive.call("/instances", file.read_bytes())
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
