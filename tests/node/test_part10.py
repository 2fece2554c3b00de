"""Headers of DICOM files, also of damaged ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from retinagrade.node.part10 import FileHeader, read_header
from tests.node.nodes import write_eye


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_eye(tmp_path_factory.mktemp("part10"), "L", "L", "1")


def test_the_header_ends_where_the_data_set_begins(photograph: Path) -> None:
    instance, data = dcmread(photograph), photograph.read_bytes()
    header = read_header(data)
    assert header is not None
    assert (header.sop_class, header.uid) == (instance.SOPClassUID, instance.SOPInstanceUID)
    assert header.syntax == instance.file_meta.TransferSyntaxUID
    assert data[header.size : header.size + 4] == b"\x08\x00\x05\x00"  # the first element
    assert read_header(data[: header.size + 20]) == header


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(100, 420), st.binary(min_size=1, max_size=4)), max_size=3), st.integers(0, 2000))
def test_a_damaged_header_is_none_or_plain(photograph: Path, changes: list[tuple[int, bytes]], size: int) -> None:
    data = bytearray(photograph.read_bytes()[: size + 100])
    for place, change in changes:
        data[place : place + len(change)] = change
    header = read_header(bytes(data))
    assert header is None or isinstance(header, FileHeader)
    assert header is None or 0 < header.size <= len(data)
