"""Damaged files and files that are no photographs: the service refuses them and continues."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retinagrade import Grader
from retinagrade.service.app import create_app
from retinagrade.service.settings import ServiceSettings
from tests.images.damaged_files import DAMAGE, NAMES, damaged, no_photographs, whole_files


def test_the_service_survives_every_file(grader: Grader, eyes: list[Path], tmp_path: Path) -> None:
    whole = whole_files(tmp_path)
    good = eyes[0].read_bytes()
    # The test client raises internal errors instead of returning status 500.
    with TestClient(create_app(grader, ServiceSettings(max_megapixels=1))) as client, warnings.catch_warnings():
        warnings.simplefilter("ignore")

        def send(name: str, data: bytes) -> int:
            response = client.post("/v1/grade?pictures=true", files=[("photographs", (name, data))])
            assert "traceback" not in response.text.lower()
            assert response.status_code == 200 or response.json()["errors"][0]["field"] == "photographs[0]"
            return response.status_code

        for name, data in no_photographs().items():
            assert send(name, data) in (413, 422), name
        for name in NAMES:
            assert send(name, b"text") == 422
            assert send(name, good) == 200
        for name, data in whole.items():
            for share in np.linspace(0.01, 0.9, 8):
                # A file that ends in tables instead of pixels may lose them and is still a photograph.
                assert send(name, data[: int(len(data) * share)]) in (200, 422), (name, share)

        @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
        @given(st.sampled_from(sorted(whole.items())), st.lists(DAMAGE, min_size=1, max_size=4), st.booleans())
        def damage(file: tuple[str, bytes], hurt: list[tuple[str, float, int]], early: bool) -> None:
            assert send(file[0], damaged(file[1], hurt, early)) in (200, 413, 422)

        damage()
        assert send("eye.jpg", good) == 200
        text = client.get("/metrics").text
    assert 'status="500"' not in text
    assert "retinagrade_requests_in_progress 0.0" in text
    assert "retinagrade_held_bytes 0.0" in text
