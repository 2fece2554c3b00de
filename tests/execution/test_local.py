import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retinagrade.execution.local import map_unordered, processors


def square(item: int) -> int:
    return item * item


def square_unless_seven(item: int) -> int:
    if item == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def refuse(item: int) -> int:
    raise ValueError(f"not {item}")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_item_once(workers: int) -> None:
    assert sorted(map_unordered(square, range(40), workers, lambda item: -1)) == [item**2 for item in range(40)]


def test_an_item_that_kills_its_process_costs_nobody_else() -> None:
    for count in (8, 20, 60):  # the pool breaks while items wait, and while others are handed to it
        results = sorted(map_unordered(square_unless_seven, range(count), 2, lambda item: -item))
        assert results == sorted([-7, *(item**2 for item in range(count) if item != 7)])


def test_items_that_a_broken_pool_refuses_are_not_lost() -> None:
    def slowly() -> Iterator[int]:
        for item in range(12):
            if item > 7:
                time.sleep(0.3)  # by now the pool knows that item 7 has killed a process
            yield item

    results = sorted(map_unordered(square_unless_seven, slowly(), 2, lambda item: -item))
    assert results == sorted([-7, *(item**2 for item in range(12) if item != 7)])


def test_exceptions_come_through() -> None:
    with pytest.raises(ValueError, match=r"not [0-2]"):
        list(map_unordered(refuse, range(3), 2, lambda item: 0))


def test_no_items_and_processors() -> None:
    assert list(map_unordered(square, [], 2, lambda item: 0)) == []
    assert 1 <= processors() <= (os.cpu_count() or 1)


def test_a_script_in_which_no_process_can_start_is_told_what_to_do(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from retinagrade.execution.local import map_unordered\nlist(map_unordered(abs, range(9), 2, abs))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("needs `if __name__ == '__main__':`")
