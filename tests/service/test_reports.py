"""Pictures at their own resolution, patients and dates, and reports with a reader's decisions."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from highdicom.sr import EnhancedSR, srread
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.sr.codedict import codes

from retinagrade import Grader
from retinagrade.grader import dicom_codes
from retinagrade.images.read import read_photograph
from retinagrade.service.app import create_app
from retinagrade.service.settings import ServiceSettings
from tests.grader.ophthalmic import write_ophthalmic
from tests.images.encoded_files import encoded, gradient

Files = list[tuple[str, tuple[str, bytes]]]


@pytest.fixture(scope="module")
def client(grader: Grader) -> Iterator[TestClient]:
    with TestClient(create_app(grader, ServiceSettings(max_megapixels=1)), base_url="http://localhost") as running:
        yield running


@pytest.fixture(scope="module")
def study(eyes: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Both eyes of one study, and an eye of another one."""
    folder = tmp_path_factory.mktemp("studies")
    pixels = [read_photograph(path) for path in eyes[:3]]
    return [
        write_ophthalmic(folder / f"{index}.dcm", each, side, study, InstanceNumber=index + 1).read_bytes()
        for index, (each, side, study) in enumerate(zip(pixels, "RLR", "112", strict=True))
    ]


def files(*named: tuple[str, bytes]) -> Files:
    return [("photographs", each) for each in named]


def post_report(client: TestClient, sent: Files, reader: object = None) -> tuple[int, bytes]:
    data = {} if reader is None else {"reader": reader if isinstance(reader, str) else json.dumps(reader)}
    answer = client.post("/v1/report", files=sent, data=data)
    return answer.status_code, answer.content


def test_a_person_sees_patient_and_date(client: TestClient, study: list[bytes], eyes: list[Path]) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[36867] = "2025:03:09 10:00:00"
    dated = io.BytesIO()
    Image.open(eyes[0]).save(dated, "JPEG", exif=exif)
    sent = files(("a.dcm", study[0]), ("7_left.jpg", dated.getvalue()), ("eye.png", encoded(gradient(64, 64), "PNG")))
    results = client.post("/v1/grade", files=sent).json()["photographs"]
    assert [(each["patient_id"], each["examined_on"]) for each in results] == [
        ("SECRET-7", "2026-01-05"),
        ("7", "2025-03-09"),
        (None, None),
    ]
    assert results[0]["grading"]["study"] != "SECRET-7"  # tables have no ids of patients


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_picture_has_its_own_resolution_and_is_upright(client: TestClient, orientation: int) -> None:
    pixels = gradient(120, 200)
    exif = Image.Exif()
    exif[274] = orientation
    sent = encoded(pixels, "TIFF", exif=exif)
    answer = client.post("/v1/picture", files=files(("eye.tif", sent)))
    assert answer.headers["content-type"] == "image/jpeg"
    upright: NDArray[np.uint8] = pixels if orientation == 1 else np.rot90(pixels, -1)
    assert np.abs(np.asarray(Image.open(io.BytesIO(answer.content)), int) - upright).mean() < 3
    (result,) = client.post("/v1/grade?pictures=true", files=files(("eye.tif", sent))).json()["photographs"]
    assert (result["pictures"]["height"], result["pictures"]["width"]) == upright.shape[:2]


def test_what_is_no_picture_is_refused(client: TestClient, study: list[bytes]) -> None:
    large = encoded(np.zeros((1001, 1000, 3), np.uint8), "PNG")
    eye = ("a.dcm", study[0])
    for sent, status in ((files(("a", b"no")), 422), (files(("a.png", large)), 413), (files(eye, eye), 422)):
        answer = client.post("/v1/picture", files=sent)
        assert answer.status_code == status
        assert answer.json()["errors"]


def test_a_report_says_what_the_reader_decided(client: TestClient, study: list[bytes]) -> None:
    sent = files(("a.dcm", study[0]), ("b.dcm", study[1]))
    before = _counted(client)
    readings = [{"decision": "other grade", "grade": 1, "note": "one microaneurysm"}, {"decision": "not gradable"}]
    status, body = post_report(client, sent, {"name": "Rossi^Anna", "readings": readings})
    assert status == 200
    report = srread(io.BytesIO(body))
    assert isinstance(report, EnhancedSR)
    assert report.PatientID == "SECRET-7"
    groups = [group for group in _groups(report) if _value(group, codes.DCM.PersonObserverName) is not None]
    assert [_value(each, codes.DCM.PersonObserverName) for each in groups] == ["Rossi^Anna"] * 2
    assert [_value(each, codes.DCM.ObserverType) for each in groups] == [codes.DCM.Person.value] * 2
    assert [_value(each, dicom_codes.ICDR) for each in groups] == ["312903003", "UNGRADABLE"]
    assert _value(groups[0], codes.DCM.Comment) == "one microaneurysm"
    # The metrics have counted no photograph: whoever wants a report has graded its photographs before.
    assert _counted(client) == before
    # The same decisions make the same report, others another one, and none has no person.
    equal = {"name": "Rossi^Anna", "readings": readings}
    same, other, none = (
        post_report(client, sent, each)[1] for each in (equal, {"name": "B", "readings": [None, None]}, None)
    )
    uids = [srread(io.BytesIO(each)).SOPInstanceUID for each in (body, same, other, none)]
    assert uids[0] == uids[1]
    assert len(set(uids)) == 3
    assert b"Rossi" not in none


@pytest.mark.parametrize(
    ("reader", "field"),
    [
        ("no JSON", "reader"),
        ({"name": " ", "readings": [None]}, "reader.name"),
        ({"name": "A", "readings": []}, "reader.readings"),
        ({"name": "A", "readings": [{"decision": "agree", "grade": 2}]}, "reader.readings.0"),
        ({"name": "A", "readings": [{"decision": "other grade"}]}, "reader.readings.0"),
        ({"name": "A", "readings": [{"decision": "other grade", "grade": 5}]}, "reader.readings.0.grade"),
    ],
)
def test_an_invalid_decision_is_named(client: TestClient, study: list[bytes], reader: object, field: str) -> None:
    status, body = post_report(client, files(("a.dcm", study[0])), reader)
    assert status == 422
    assert [each["field"] for each in json.loads(body)["errors"]] == [field]


def test_photographs_of_no_common_study_make_no_report(
    client: TestClient, study: list[bytes], eyes: list[Path]
) -> None:
    first = ("a.dcm", study[0])
    for second in (("b.dcm", study[2]), ("eye.jpg", eyes[0].read_bytes()), ("x.dcm", b"no"), ("a.dcm", study[1])):
        status, body = post_report(client, files(first, second))
        assert status == 422
        assert [each["field"] for each in json.loads(body)["errors"]] == ["photographs[1]"]


def _groups(report: EnhancedSR) -> list[Dataset]:
    measurements = [item for item in report.ContentSequence if item.name == codes.DCM.ImagingMeasurements]
    return list(measurements[0].ContentSequence)


def _value(group: Dataset, name: object) -> str | None:
    for item in group.ContentSequence:
        if item.name == name:
            value = item.value
            return str(getattr(value, "value", value))
    return None


def _counted(client: TestClient) -> list[str]:
    return [
        line for line in client.get("/metrics").text.splitlines() if line.startswith("retinagrade_photographs_total")
    ]
