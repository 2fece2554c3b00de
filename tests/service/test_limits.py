"""Request limits are never exceeded, and every request is counted out again."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.service.limits import CapacityError, RequestLimits


@given(st.lists(st.integers(0, 30), max_size=20), st.integers(1, 5), st.integers(0, 50))
def test_requests_and_bytes_are_limited(sizes: list[int], requests: int, most: int) -> None:
    limits = RequestLimits(requests, most)
    admitted: list[int] = []
    with ExitStack() as stack:
        for size in sizes:
            fits = len(admitted) < requests and sum(admitted) + size <= most
            try:
                stack.enter_context(limits.admit(size))
            except CapacityError:
                assert not fits
            else:
                assert fits
                admitted.append(size)
            assert (limits.requests, limits.bytes) == (len(admitted), sum(admitted))
            assert limits.is_full == (len(admitted) == requests)
    assert (limits.requests, limits.bytes) == (0, 0)


def test_a_failed_request_is_counted_out() -> None:
    limits = RequestLimits(1, 10)
    with pytest.raises(ZeroDivisionError), limits.admit(10):
        raise ZeroDivisionError
    assert (limits.requests, limits.bytes) == (0, 0)
