"""A guarded process survives its items: one that takes too much has no result, and the next one has its own."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from retinagrade.execution.guarded import GuardedError, GuardedProcess

MEMORY = 256 << 20


def work(item: str) -> tuple[str, int]:
    if item == "slow":
        time.sleep(3600)
    if item == "greedy":
        bytearray(2 * MEMORY)
    if item == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "odd":
        raise ValueError("odd")
    return item, os.getpid()


@pytest.fixture(scope="module")
def process() -> GuardedProcess[str, tuple[str, int]]:
    return GuardedProcess(work, seconds=1.0, memory=MEMORY, patience=0.0)


@pytest.mark.parametrize(
    ("item", "error"), [("slow", GuardedError), ("deadly", GuardedError), ("greedy", MemoryError), ("odd", ValueError)]
)
def test_an_item_beyond_its_limits_costs_only_itself(
    process: GuardedProcess[str, tuple[str, int]], item: str, error: type[Exception]
) -> None:
    assert process("first")[0] == "first"
    with pytest.raises(error):
        process(item)
    assert process("next")[0] == "next"


def test_a_process_that_was_killed_between_items_is_replaced(process: GuardedProcess[str, tuple[str, int]]) -> None:
    _, first = process("first")
    os.kill(first, signal.SIGKILL)
    while process._process.is_alive():
        time.sleep(0.01)
    _, second = process("second")
    assert second != first


def test_an_item_that_nobody_wants_is_given_up() -> None:
    patient = GuardedProcess(work, seconds=3600.0, memory=None, patience=0.0)
    gone = threading.Event()
    threading.Timer(0.2, gone.set).start()
    with pytest.raises(GuardedError):
        patient("slow", lambda: not gone.is_set())
    assert patient("next", lambda: True)[0] == "next"
    patient.close()


def test_a_closed_process_is_gone(process: GuardedProcess[str, tuple[str, int]]) -> None:
    _, number = process("last")
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
