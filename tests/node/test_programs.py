"""The node and the programs of dcmtk: echoscu, storescu and dcmsend call it, storescp is its archive."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from pydicom import dcmread, uid
from pydicom.pixels.encoders.base import get_encoder

from retinagrade import Grader
from retinagrade.images.dicom import readable_syntaxes
from retinagrade.node.node import Node
from retinagrade.node.reception import PHOTOGRAPHS
from retinagrade.node.settings import NodeSettings, Peer
from tests.grader.lesion_graders import draw_photograph
from tests.images.dicom_files import lossless_jpeg, write_dicom
from tests.node.here import decode_here
from tests.node.nodes import free_port, wait_until, write_eye
from tests.programs import require_program


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([require_program(name, "dcmtk"), *arguments], capture_output=True, text=True)


@contextmanager
def storescp(folder: Path, port: int) -> Iterator[None]:
    folder.mkdir()
    program = require_program("storescp", "dcmtk")
    with subprocess.Popen([program, "-aet", "ARCHIVE", "-od", str(folder), str(port)]) as process:
        try:
            yield
        finally:
            process.terminate()


def write_photographs(folder: Path) -> None:
    """Writes a study with one photograph in each transfer syntax, and one of each SOP class."""
    pixels, _ = draw_photograph(128, 120)
    size = pixels.shape[:2]
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG2000", irreversible=False)
    lossy = simplejpeg.encode_jpeg(pixels, 95, colorspace="RGB", colorsubsampling="422")
    run_lengths = get_encoder(uid.RLELossless).encode(
        pixels,
        rows=size[0],
        columns=size[1],
        samples_per_pixel=3,
        bits_allocated=8,
        bits_stored=8,
        number_of_frames=1,
        pixel_representation=0,
        photometric_interpretation="RGB",
        planar_configuration=0,
    )
    raw = pixels.tobytes()
    frames: dict[Any, tuple[bytes, str]] = {
        uid.ExplicitVRLittleEndian: (raw, "RGB"),
        uid.ImplicitVRLittleEndian: (raw, "RGB"),
        uid.ExplicitVRBigEndian: (raw, "RGB"),
        uid.JPEGBaseline8Bit: (lossy, "YBR_FULL_422"),
        uid.JPEGExtended12Bit: (lossy, "YBR_FULL_422"),
        uid.JPEGLossless: (lossless_jpeg(pixels), "RGB"),
        uid.JPEGLosslessSV1: (lossless_jpeg(pixels), "RGB"),
        uid.JPEG2000Lossless: (stream.getvalue(), "YBR_RCT"),
        uid.JPEG2000: (stream.getvalue(), "YBR_RCT"),
        uid.RLELossless: (run_lengths, "RGB"),
    }
    plugins = {str(uid.JPEGLSLossless), str(uid.JPEGLSNearLossless)}  # JPEG-LS needs one
    assert {*readable_syntaxes()} - plugins == {str(each) for each in frames}
    for number, (syntax, (data, colours)) in enumerate(frames.items()):
        write(folder / f"syntax-{number}.dcm", data, size, colours=colours, syntax=syntax)
    for number, sop_class in enumerate(PHOTOGRAPHS):
        write(folder / f"class-{number}.dcm", raw, size, SOPClassUID=sop_class)
    deep = (pixels.astype(np.uint16) << 4).tobytes()
    write(folder / "deep.dcm", deep, size, SOPClassUID=PHOTOGRAPHS[1], BitsAllocated=16, BitsStored=12)


def write(path: Path, data: bytes, size: tuple[int, int], **elements: Any) -> None:
    uids = {name: uid.generate_uid(entropy_srcs=[name]) for name in ("StudyInstanceUID", "SeriesInstanceUID")}
    write_dicom(path, data, size, **{"ImageLaterality": "L", **uids, **elements})


def counted(node: Node, metric: str, **labels: str) -> int:
    return int(node.metrics.registry.get_sample_value(f"retinagrade_node_{metric}", labels) or 0)


def test_programs_of_dcmtk_call_the_node_and_are_its_archive(
    tmp_path: Path, grader_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_here(monkeypatch)
    port = free_port()
    settings = NodeSettings(Peer("ARCHIVE", "127.0.0.1", port), wait=1, callers={"ONE": None, "TWO": None})
    (tmp_path / "sent").mkdir()
    write_photographs(tmp_path / "sent")
    first = write_eye(tmp_path, "L", "L", "1")
    node = Node(Grader.load(grader_file), settings, tmp_path / "queue")
    with storescp(tmp_path / "archive", port):
        node.start("127.0.0.1", 0)
        address = ("-aec", "RETINAGRADE", "127.0.0.1", str(node.port))
        assert run("echoscu", "-aet", "ONE", *address).returncode == 0
        assert run("echoscu", "-aet", "STRANGER", *address).returncode != 0
        assert run("echoscu", "-aet", "ONE", "-aec", "OTHER", *address[2:]).returncode != 0
        assert run("storescu", "-aet", "ONE", *address, str(first)).returncode == 0
        sent = run("dcmsend", "-nh", "-aet", "TWO", "+sd", *address, str(tmp_path / "sent"))
        assert sent.returncode == 0, sent.stderr
        photographs = 1 + len([*(tmp_path / "sent").iterdir()])
        assert counted(node, "received_total", outcome="stored") == photographs
        wait_until(lambda: counted(node, "queue", rows="waiting_photographs") == 0)
        wait_until(lambda: counted(node, "queue", rows="waiting_results") == 0)
        assert counted(node, "queue", rows="quarantined") == 0
        node.stop()
    results = [dcmread(path) for path in (tmp_path / "archive").iterdir()]
    assert len({each.StudyInstanceUID for each in results if each.Modality == "SR"}) == 2
    overlays = [each for each in results if each.get("SeriesNumber") == 9002]
    assert len(overlays) == photographs
