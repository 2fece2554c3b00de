"""The command: what it refuses before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import retinagrade
from retinagrade.errors import UsageError
from retinagrade.storage.locking import locked


@pytest.mark.parametrize(
    "arguments",
    [
        {"send_to": "ORTHANC"},
        {"send_to": "ORTHANC@host:0"},
        {"send_to": "A" * 17 + "@host:4242"},
        {"aet": "a\\b"},
        {"send_to": "https://"},
        {"send_to": "https://host:0/dicom-web"},
        {"send_to": "https://host/dicom-web?a=b"},
        {"send_to": "ftp://host/dicom-web"},
        {"send_to": "https://user:password@host/dicom-web"},
        {"send_to": "https://host/dicom-web", "send_tls": True},
        {"send_to": "https://host/dicom-web", "send_credentials": "none"},
        {"send_to": "http://host/dicom-web", "send_credentials": __file__},
        {"send_credentials": __file__},
        {"callers": ["A@B"]},
        {"host": "0.0.0.0"},
        {"http_host": "0.0.0.0"},
        {"token": ""},
        {"token": "a", "token_file": __file__},
        {"tls_key": "node.key"},
        {"tls_certificate": "none.pem", "tls_key": "none.key"},
        {"wait": -1},
    ],
)
def test_wrong_settings_are_refused_before_anything_starts(
    tmp_path: Path, grader_file: Path, arguments: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        retinagrade.listen(grader_file, **{"send_to": "A@host:1", "queue": tmp_path / "queue", **arguments})


def test_a_queue_has_one_node(tmp_path: Path, grader_file: Path) -> None:
    with locked(tmp_path / "queue.sqlite"), pytest.raises(UsageError, match="another node uses this folder"):
        retinagrade.listen(grader_file, send_to="A@host:1", queue=tmp_path)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no system folder that takes no files")
def test_a_folder_that_takes_no_files_is_no_queue(grader_file: Path) -> None:
    with pytest.raises(UsageError, match="nothing can be written"):
        retinagrade.listen(grader_file, send_to="A@host:1", queue="/proc/queue")
