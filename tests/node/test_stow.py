"""The parts of a STOW-RS request, and the response to it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from retinagrade.node.reception import Answer, Status
from retinagrade.node.stow import Part, PartReader, RequestError, store_response
from tests.node.web import encode_parts

TYPE = 'multipart/related; type="application/dicom"; boundary="limit"'
STORED, FULL = Answer(Status.SUCCESS, "stored"), Answer(Status.OUT_OF_RESOURCES, "full")


def read(chunks: Iterable[bytes], content_type: str = TYPE, limit: int = 1000) -> list[Part]:
    reader = PartReader(content_type, limit)
    parts = [part for chunk in chunks for part in reader.feed(chunk)]
    reader.require_end()
    return parts


@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([b"\r\n--limi", b"\r\n--", b"--limit\r\n"]), min_size=1),
    st.integers(1, 60),
)
def test_parts_are_the_same_however_they_arrive(files: list[bytes], size: int) -> None:
    body = encode_parts(files)
    parts = read(body[start : start + size] for start in range(0, len(body), size))
    assert parts == [Part(file, True) for file in files]


def test_no_more_than_the_limit_is_kept_of_a_part() -> None:
    body = encode_parts([b"a" * 25, b"b" * 10])
    parts = read((body[start : start + 7] for start in range(0, len(body), 7)), limit=10)
    assert parts == [Part(b"a" * 10, False), Part(b"b" * 10, True)]


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"", 415),
        ("", b"", 415),
        ('multipart/related; type="application/dicom+json"; boundary=limit', b"", 415),
        ("multipart/related", b"", 400),
        (f"multipart/related; boundary={'x' * 3000}", b"", 400),
        (TYPE, b"", 400),
        (TYPE, b"nonsense", 400),
        (TYPE, encode_parts([]), 400),
        (TYPE, encode_parts([b"cut off"])[:-12], 400),
        (TYPE, encode_parts([b""] * 1001), 413),
    ],
)
def test_requests_that_cannot_be_used_are_refused(content_type: str, body: bytes, status: int) -> None:
    with pytest.raises(RequestError) as error:
        read([body], content_type)
    assert error.value.status == status


@pytest.mark.parametrize(("answers", "status"), [([STORED], 200), ([STORED, FULL], 202), ([FULL, FULL], 409)])
def test_each_instance_has_its_status(answers: list[Answer], status: int) -> None:
    instances = [("1.2.840.10008.5.1.4.1.1.7", f"1.2.{number}", each) for number, each in enumerate(answers)]
    actual, body = store_response(instances)
    response = Dataset.from_json(body)
    assert actual == status
    assert len(response.get("ReferencedSOPSequence", [])) == answers.count(STORED)
    failed = response.get("FailedSOPSequence", [])
    assert [each.FailureReason for each in failed] == [0xA700] * answers.count(FULL)
    assert "OtherFailuresSequence" not in response


def test_a_file_without_a_uid_is_another_failure() -> None:
    _, body = store_response([("", "", Answer(Status.CANNOT_UNDERSTAND, "quarantined"))])
    response = Dataset.from_json(body)
    assert response.OtherFailuresSequence[0].FailureReason == 0xC000
    assert "FailedSOPSequence" not in response
