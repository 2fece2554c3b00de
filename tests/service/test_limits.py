"""Never more inside than there is room for, and nobody is forgotten there."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.service.limits import CapacityError, RequestLimits


@given(st.lists(st.integers(0, 30), max_size=20), st.integers(1, 5), st.integers(0, 50))
def test_room_is_bounded_in_requests_and_in_bytes(sizes: list[int], requests: int, most: int) -> None:
    admission = RequestLimits(requests, most)
    inside: list[int] = []
    with ExitStack() as stack:
        for size in sizes:
            fits = len(inside) < requests and sum(inside) + size <= most
            try:
                stack.enter_context(admission.admit(size))
            except CapacityError:
                assert not fits
            else:
                assert fits
                inside.append(size)
            assert (admission.requests, admission.bytes) == (len(inside), sum(inside))
            assert admission.is_full == (len(inside) == requests)
    assert (admission.requests, admission.bytes) == (0, 0)


def test_who_fails_leaves_too() -> None:
    admission = RequestLimits(1, 10)
    with pytest.raises(ZeroDivisionError), admission.admit(10):
        raise ZeroDivisionError
    assert (admission.requests, admission.bytes) == (0, 0)
