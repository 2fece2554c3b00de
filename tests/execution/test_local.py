import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from retinagrade.execution.local import _AHEAD, map_unordered, processors


def square(item: int) -> int:
    return item * item


def square_unless_seven(item: int) -> int:
    if item == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def die_once_while_sending(item: int, mark: Path) -> tuple[int, bytes]:
    """Returns more than a pipe holds, and is killed half a second later, while it waits for a reader."""
    if item == 3 and not mark.exists():
        mark.touch()
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()
    return item, bytes(20_000_000)


def name_of_process(item: int) -> int:
    return os.getpid()


class UnpicklableError(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def raise_unpicklable(item: int) -> int:
    raise UnpicklableError("not", str(item))


def refuse(item: int) -> int:
    raise ValueError(f"not {item}")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_item_once(workers: int) -> None:
    assert sorted(map_unordered(square, range(40), workers, lambda item: -1)) == [item**2 for item in range(40)]


def test_an_item_that_kills_its_process_costs_nobody_else() -> None:
    for count in (8, 20, 60):
        results = sorted(map_unordered(square_unless_seven, range(count), 2, lambda item: -item))
        assert results == sorted([-7, *(item**2 for item in range(count) if item != 7)])


def test_items_that_come_after_a_process_has_died_are_not_lost() -> None:
    def slowly() -> Iterator[int]:
        for item in range(12):
            if item > 7:
                time.sleep(0.3)  # by now item 7 has killed its process
            yield item

    results = sorted(map_unordered(square_unless_seven, slowly(), 2, lambda item: -item))
    assert results == sorted([-7, *(item**2 for item in range(12) if item != 7)])


def test_a_process_that_dies_while_it_sends_costs_no_item(tmp_path: Path) -> None:
    results: list[int] = []
    work = partial(die_once_while_sending, mark=tmp_path / "mark")
    for item, data in map_unordered(work, range(8), 2, lambda item: (item, b"")):
        if not results:
            time.sleep(1.5)
        assert len(data) == 20_000_000
        results.append(item)
    assert sorted(results) == list(range(8))


def test_processes_that_are_killed_between_items_cost_no_item() -> None:
    numbers = set()
    for count, process in enumerate(map_unordered(name_of_process, range(60), 2, refuse)):
        numbers.add(process)
        if count in (5, 25):
            os.kill(process, signal.SIGKILL)
    assert count == 59
    assert len(numbers) > 2


def test_exceptions_come_through() -> None:
    with pytest.raises(ValueError, match=r"not [0-2]"):
        list(map_unordered(refuse, range(3), 2, lambda item: 0))
    with pytest.raises(RuntimeError, match=r"UnpicklableError: not[0-2]"):
        list(map_unordered(raise_unpicklable, range(3), 2, lambda item: 0))


def test_items_are_taken_as_they_are_needed() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(200):
            taken += 1
            yield item

    results = map_unordered(square, items(), 2, lambda item: 0)
    for _ in range(20):
        next(results)
    assert taken <= 20 + 2 * 2 * _AHEAD
    results.close()  # type: ignore[attr-defined]


def test_items_that_do_not_fit_into_a_pipe() -> None:
    items = [bytes(1_000_000 + number) for number in range(12)]
    assert sorted(map(len, map_unordered(bytes.upper, items, 2, bytes.lower))) == [len(item) for item in items]


def test_ctrl_c_ends_all_processes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from retinagrade.execution.local import map_unordered\n"
        "if __name__ == '__main__':\n"
        "    for item in map_unordered(abs, range(100000), 2, abs):\n"
        "        print(item, flush=True)\n"
        "        time.sleep(0.01)\n"
    )
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)  # returns when the last process has closed its output
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors


def test_workers_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from retinagrade.execution.local import map_unordered\n"
        "from tests.execution.test_local import mark_and_sleep\n"
        f"list(map_unordered(mark_and_sleep, [{str(tmp_path)!r}] * 9, 2, abs))\n"
    )
    folders = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)})
    while len(marks := list(tmp_path.glob("*.pid"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    for mark in marks:
        while is_running(int(mark.stem)):  # the items would take an hour
            time.sleep(0.05)


def mark_and_sleep(folder: str) -> None:
    (Path(folder) / f"{os.getpid()}.pid").touch()
    time.sleep(3600)


def is_running(process: int) -> bool:
    """Whether a process runs; a dead one that nobody has waited for does not."""
    try:
        return "(zombie)" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


def test_no_items_and_processors() -> None:
    assert list(map_unordered(square, [], 2, lambda item: 0)) == []
    assert 1 <= processors() <= (os.cpu_count() or 1)


def test_a_script_needs_no_guard_for_functions_of_a_module(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from retinagrade.execution.local import map_unordered\nprint(sum(map_unordered(abs, range(9), 2, abs)))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "36\n"


def test_a_script_with_a_function_of_its_own_and_no_guard_is_told_what_to_do(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from retinagrade.execution.local import map_unordered\n"
        "def half(number): return number / 2\n"
        "list(map_unordered(half, range(9), 2, half))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "__main__" in done.stderr.splitlines()[-1]
