"""The structure of a JPEG stream: its scans, which cost time, and its restart intervals, which show that it is whole.

Source: ITU T.81, annex B (markers and segments) and E.2.4 (restart intervals).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import simplejpeg

_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_SEQUENTIAL: Final = frozenset({0xC0, 0xC1})
_LOSSLESS, _SCAN, _RESTART_INTERVAL, _END = 0xC3, 0xDA, 0xDD, 0xD9
_NEXT_MARKER: Final = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_END_OF_SCAN: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_RESTART: Final = re.compile(rb"\xff+([\xd0-\xd7])", re.DOTALL)
_LONGEST_SIDE: Final = 65500
_STRAY: Final = "extraneous bytes"
_STRAY_AT_THE_END: Final = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_FEW: Final = 16
"""Stray bytes after a restart interval, up to which they are harmless: an interval that is damaged leaves more."""


@dataclass(frozen=True)
class _Segment:
    """A marker and its parameters; for a scan, with its compressed data."""

    marker: int
    parameters: bytes
    scan: bytes = b""

    def encode(self) -> bytes:
        return struct.pack(">BBH", 0xFF, self.marker, len(self.parameters) + 2) + self.parameters + self.scan


def count_scans(jpeg: bytes, most: int) -> int:
    """Counts the scans of a JPEG, and stops after ``most`` of them. Corrupt markers end the count."""
    frame = b""
    for segment in _segments(jpeg, up_to_scan=True):
        if segment.marker in _SEQUENTIAL:
            frame = segment.parameters
        elif segment.marker == _SCAN and frame[5:6] == segment.parameters[:1] != b"":
            return 1  # all components are in the first scan, where the decoder stops
    count = 0
    for segment in _segments(jpeg):
        count += segment.marker == _SCAN
        if count >= most:
            break
    return count


def is_lossless(jpeg: bytes) -> bool:
    """Whether a JPEG uses the lossless process (ITU T.81 B.1.1.3). Also true where its markers are corrupt."""
    for segment in _segments(jpeg, up_to_scan=True):
        if segment.marker in _FRAME_HEADERS:
            return segment.marker == _LOSSLESS
    return True


def is_whole(jpeg: bytes, warning: str) -> bool:
    """Whether all pixels of a JPEG are intact although the decoder warns.

    The only harmless warning is about stray bytes after the pixels or after a restart interval: some cameras write
    them. The decoder stops at its first warning, so the restart intervals are examined here, one by one.

    Args:
        jpeg: Content of the file.
        warning: The decoder's first warning.
    """
    if _STRAY_AT_THE_END.search(warning):
        return True  # all pixels come before the end
    if _STRAY not in warning:
        return False
    segments = list(_segments(jpeg))
    if not segments or segments[-1].marker != _END:
        return False
    return _has_whole_intervals(segments[:-1])


def _segments(jpeg: bytes, up_to_scan: bool = False) -> Iterator[_Segment]:
    """Yields the segments between a JPEG's first and last marker, and the last marker, without stray bytes.

    Args:
        jpeg: Content of the file.
        up_to_scan: True to end with the first scan, without its data.
    """
    position = 2
    while found := _NEXT_MARKER.search(jpeg, position):
        marker, position = jpeg[found.start() + 1], found.end()
        if marker == _END:
            yield _Segment(marker, b"")
            return
        if marker in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(jpeg[position : position + 2], "big")
        if length < 2 or position + length > len(jpeg):
            return
        parameters, position = jpeg[position + 2 : position + length], position + length
        scan = b""
        if marker == _SCAN and up_to_scan:
            yield _Segment(marker, parameters)
            return
        if marker == _SCAN:
            end = _END_OF_SCAN.search(jpeg, position)
            scan = jpeg[position : end.start() if end else len(jpeg)]
            position += len(scan)
        yield _Segment(marker, parameters, scan)


def _has_whole_intervals(segments: list[_Segment]) -> bool:
    """Whether a sequential JPEG of one scan has all its restart intervals, each with all its blocks."""
    frames = [each for each in segments if each.marker in _FRAME_HEADERS]
    scans = [each for each in segments if each.marker == _SCAN]
    lengths = [each.parameters for each in segments if each.marker == _RESTART_INTERVAL]
    if len(frames) != 1 or len(scans) != 1 or not lengths or frames[0].marker not in _SEQUENTIAL:
        return False
    per_interval = int.from_bytes(lengths[-1][:2], "big")
    height, width = struct.unpack_from(">HH", frames[0].parameters, 1)
    sampling = frames[0].parameters[7::3]
    several = len(sampling) > 1
    unit_width = 8 * (max(each >> 4 for each in sampling) if several else 1)
    unit_height = 8 * (max(each & 15 for each in sampling) if several else 1)
    units = -(-width // unit_width) * -(-height // unit_height)
    pieces = _RESTART.split(scans[0].scan)
    intervals, marks = pieces[::2], pieces[1::2]
    if per_interval == 0 or len(intervals) != -(-units // per_interval):
        return False
    if any(mark[0] != 0xD0 + index % 8 for index, mark in enumerate(marks)):
        return False
    columns = next(
        (n for n in range(per_interval, 0, -1) if per_interval % n == 0 and n * unit_width <= _LONGEST_SIDE), 1
    )
    rows = per_interval // columns
    at_once = max(1, _LONGEST_SIDE // (rows * unit_height))
    shape = _Shape(segments, columns * unit_width, rows * unit_height)
    whole = intervals[:-1]
    groups = [whole[start : start + at_once] for start in range(0, len(whole), at_once)]
    rest = units - per_interval * len(whole)
    last = _Shape(segments, rest * unit_width, unit_height)
    return rest * unit_width <= _LONGEST_SIDE and all(map(shape.holds, groups)) and last.holds(intervals[-1:])


@dataclass(frozen=True)
class _Shape:
    """Makes small JPEGs of restart intervals, which don't depend on each other, one above the other."""

    segments: list[_Segment]
    width: int
    height: int

    def holds(self, intervals: list[bytes]) -> bool:
        """Whether intervals decode without a warning, apart from stray bytes at the end of each."""
        warning = _first_warning(self._jpeg(intervals))
        if warning is None:
            return True
        if len(intervals) == 1:
            stray = _STRAY_AT_THE_END.search(warning)
            return stray is not None and int(stray[1]) <= _FEW
        middle = len(intervals) // 2
        return _STRAY in warning and self.holds(intervals[:middle]) and self.holds(intervals[middle:])

    def _jpeg(self, intervals: list[bytes]) -> bytes:
        parts = [b"\xff\xd8"]
        for each in self.segments:
            if each.marker in _FRAME_HEADERS:
                size = struct.pack(">HH", self.height * len(intervals), self.width)
                parts.append(_Segment(each.marker, each.parameters[:1] + size + each.parameters[5:]).encode())
            elif each.marker == _SCAN:
                marks = [bytes([0xFF, 0xD0 + index % 8]) for index in range(len(intervals) - 1)]
                scan = b"".join(part for pair in zip(intervals, [*marks, b""], strict=True) for part in pair)
                parts.append(_Segment(_SCAN, each.parameters, scan).encode())
            elif each.marker < 0xE0:  # tables; comments and the data of applications make the small JPEGs large
                parts.append(each.encode())
        return b"".join([*parts, b"\xff\xd9"])


def _first_warning(jpeg: bytes) -> str | None:
    try:
        simplejpeg.decode_jpeg(jpeg, "GRAY")
    except ValueError as error:
        return str(error)
    return None
