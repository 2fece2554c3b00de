"""Request limits are never exceeded, no address takes all of them, and every request is counted out again."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.service.limits import AdmittedRequest, CapacityError, RequestLimits
from retinagrade.service.settings import share_of

ADDRESSES = st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3"])
CHUNKS = st.lists(st.integers(0, 30), max_size=4)


@dataclass
class FixedUpload:
    """An upload that has been silent for some seconds."""

    silence: float
    is_given_up: bool = False

    def give_up(self) -> None:
        self.is_given_up = True


@given(st.lists(st.tuples(ADDRESSES, CHUNKS), max_size=20), st.integers(1, 9), st.integers(0, 90))
def test_requests_and_bytes_are_limited(sent: list[tuple[str, list[int]]], requests: int, most: int) -> None:
    limits = RequestLimits(requests, most)
    admitted: list[AdmittedRequest] = []

    def fits(address: str, more: int, size: int) -> bool:
        of_address = [each for each in admitted if each.address == address]
        return (
            len(admitted) + more <= requests
            and len(of_address) + more <= share_of(requests)
            and sum(each.size for each in admitted) + size <= most
            and sum(each.size for each in of_address) + size <= share_of(most)
        )

    with ExitStack() as stack:
        for address, chunks in sent:
            assert limits.has_room(address, 7) == fits(address, 1, 7)
            expected = fits(address, 1, 0)
            try:
                request = stack.enter_context(limits.admit(address))
            except CapacityError:
                assert not expected
                continue
            assert expected
            admitted.append(request)
            for size in chunks:
                expected = fits(address, 0, size)
                try:
                    request.hold(size)
                except CapacityError:
                    assert not expected
                else:
                    assert expected
            assert (limits.requests, limits.bytes) == (len(admitted), sum(each.size for each in admitted))
    assert (limits.requests, limits.bytes) == (0, 0)


@given(st.integers(8, 1000))
def test_no_address_takes_everything(most: int) -> None:
    limits = RequestLimits(most, 10**9)
    with ExitStack() as stack:
        with suppress(CapacityError):
            while True:
                stack.enter_context(limits.admit("192.0.2.1"))
        assert limits.requests == share_of(most)
        assert not limits.has_room("192.0.2.1", 1)
        assert limits.has_room("192.0.2.2", 1)
        stack.enter_context(limits.admit("192.0.2.2"))


@given(st.lists(st.floats(0, 10), min_size=8, max_size=8))
def test_the_upload_that_has_been_silent_longest_makes_room(silences: list[float]) -> None:
    limits = RequestLimits(8, 800)
    uploads = [FixedUpload(silence) for silence in silences]
    with ExitStack() as stack:
        for number, upload in enumerate(uploads):
            request = stack.enter_context(limits.admit(f"192.0.2.{number}"))
            request.upload = upload
            request.hold(100)
        assert limits.has_room("192.0.2.9", 100) == (max(silences) >= 1)
        if max(silences) >= 1:
            stack.enter_context(limits.admit("192.0.2.9")).hold(100)
            assert [each for each in uploads if each.is_given_up] == [max(uploads, key=lambda each: each.silence)]
        else:
            with pytest.raises(CapacityError):
                stack.enter_context(limits.admit("192.0.2.9"))
            assert not any(each.is_given_up for each in uploads)
        assert (limits.requests, limits.bytes) == (8, 800)
    assert (limits.requests, limits.bytes) == (0, 0)


def test_a_failed_request_is_counted_out() -> None:
    limits = RequestLimits(1, 10)

    def fail() -> None:
        with limits.admit("192.0.2.1") as request:
            request.hold(8)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (limits.requests, limits.bytes) == (0, 0)
