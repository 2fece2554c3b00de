"""A node under load, killed, and without its archive: every study is answered, and nothing is lost or changed."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.node.nodes import (
    NodeProcess,
    NotingArchive,
    archive,
    free_port,
    send,
    send_by_web,
    start_node,
    wait_until,
    write_eye,
)

SOAK = 400
"""Studies for the test of memory; it was run once with 2,000, see docs/node.md."""
Study = list[Path]
Sender = Callable[[Sequence[Path]], list[int]]
"""Sends files, and returns a status for each; 0 is a success."""


def send_studies(studies: Sequence[Study], send_files: Sender, sent: list[Study]) -> None:
    """Sends studies as a camera does: each photograph again and again until it is answered with success."""
    for study in studies:
        waiting = list(study)
        while waiting:
            statuses = send_files(waiting)
            waiting = [path for path, status in zip(waiting, statuses, strict=True) if status != 0]
            if waiting:
                time.sleep(0.2)
        sent.append(study)


def begin(studies: Sequence[Study], senders: Sequence[Sender], sent: list[Study]) -> list[threading.Thread]:
    threads = [
        threading.Thread(target=send_studies, args=(studies[number :: len(senders)], sender, sent))
        for number, sender in enumerate(senders)
    ]
    for thread in threads:
        thread.start()
    return threads


def count(node: NodeProcess, name: str) -> int:
    """Reads a number of the queue from the metrics over HTTP."""
    with urllib.request.urlopen(f"{node.status}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return int(
        float(next(line.split()[-1] for line in lines if line.startswith(f'retinagrade_node_queue{{rows="{name}"}}')))
    )


def require_all_answered(noting: NotingArchive, studies: Sequence[Study]) -> int:
    """Checks that each study has one report that holds; returns the number of reports that others have replaced."""
    reports = noting.of_modality("SR")
    replaced = {
        item.ReferencedSOPInstanceUID
        for report in reports
        for study in report.get("PredecessorDocumentsSequence", [])
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    holding = [report for report in reports if report.SOPInstanceUID not in replaced]
    sent = [[dcmread(path, stop_before_pixels=True) for path in study] for study in studies]
    assert sorted(each.StudyInstanceUID for each in holding) == sorted(study[0].StudyInstanceUID for study in sent)
    by_study = {report.StudyInstanceUID: report for report in holding}
    for study in sent:
        text = str(by_study[study[0].StudyInstanceUID])
        assert all(each.SOPInstanceUID in text for each in study)
    assert all(len(set(digests)) == 1 for digests in noting.digests.values())
    assert len(noting.objects) == 3 * len(reports) + sum(map(len, sent))  # report, page twice; an overlay each
    return len(replaced)


def run_load(
    folder: Path, grader_file: Path, studies: Sequence[Study], *, senders: int, wait: float, late: bool = False
) -> int:
    """Sends studies to a node that is killed meanwhile.

    Args:
        folder: Folder for queue and log.
        grader_file: The grader file.
        studies: The studies.
        senders: Number of senders; every second one sends by STOW-RS.
        wait: Seconds for which a study must be quiet.
        late: Whether the node is killed again while it sends results, and the archive goes away for 20 s.

    Returns:
        The number of reports that later ones have replaced.
    """
    port, web, sent = free_port(), free_port(), list[Study]()
    options = ("--wait", str(wait), "--max-associations", "32", "--http-port", str(web))
    both = (partial(send, port), partial(send_by_web, f"http://127.0.0.1:{web}"))
    with ExitStack() as stack:
        first = ExitStack()
        stack.callback(first.close)
        noting = first.enter_context(archive())
        node = start_node(grader_file, folder / "queue", noting.port, port, *options)
        stack.callback(lambda: node.process.kill())
        threads = begin(studies, [both[number % 2] for number in range(senders)], sent)
        wait_until(lambda: 2 * len(sent) >= len(studies), 1200)
        node.kill()
        node = start_node(grader_file, folder / "queue", noting.port, port, *options)
        if late:
            wait_until(lambda: len(noting.objects) >= len(studies), 1200)
            node.kill()
            node = start_node(grader_file, folder / "queue", noting.port, port, *options)
            wait_until(lambda: len(noting.objects) >= 2 * len(studies), 1200)
        first.close()  # the archive goes away
        time.sleep(20 if late else 0)
        stack.enter_context(archive(noting.port, noting))
        for thread in threads:
            thread.join()
        wait_until(lambda: count(node, "waiting_studies") == count(node, "waiting_results") == 0, 1800)
        assert count(node, "photographs") == sum(map(len, studies))
        with urllib.request.urlopen(f"{node.status}/healthz") as answer:
            assert json.load(answer) == {"status": "alive"}
        node.process.terminate()
        node.process.wait()
    return require_all_answered(noting, studies)


def make_studies(folder: Path, number: int) -> list[Study]:
    return [
        [write_eye(folder, side, side, str(study)) for side in ("LR" if study % 2 else "L")] for study in range(number)
    ]


def test_a_node_that_is_killed_answers_every_study(tmp_path: Path, grader_file: Path) -> None:
    run_load(tmp_path, grader_file, make_studies(tmp_path, 6), senders=3, wait=0.5)
    log = (tmp_path / "node.log").read_text()
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events.count("listening") == 2
    assert events[-1] == "stopped"
    assert not re.search(r"SECRET|House|CAMERA|1\.2\.8\d\d\.", log)  # no patient, no title, no UID
    assert (tmp_path / "queue").stat().st_mode & 0o077 == 0  # patients' data are nobody else's


@pytest.mark.slow
def test_500_studies_two_kills_and_an_archive_that_goes_away(tmp_path: Path, grader_file: Path) -> None:
    studies = make_studies(tmp_path, 500)
    replaced = run_load(tmp_path, grader_file, studies, senders=8, wait=10, late=True)
    assert replaced <= 8  # the first kill may split a study of each sender; its second report replaces the first


def has_reports(noting: NotingArchive, number: int) -> bool:
    return len(noting.of_modality("SR")) >= number


def resident_megabytes(node: NodeProcess) -> int:
    """Reads the memory of a node, without that of its decoder."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) // 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_memory_stays_flat(tmp_path: Path, grader_file: Path) -> None:
    studies = make_studies(tmp_path, SOAK)
    port, web, sent, megabytes = free_port(), free_port(), list[Study](), dict[int, int]()
    with archive() as noting:
        node = start_node(grader_file, tmp_path / "queue", noting.port, port, "--wait", "2", "--http-port", str(web))
        begin(studies, [partial(send, port), partial(send_by_web, f"http://127.0.0.1:{web}")], sent)
        for reports in range(50, SOAK + 1, 50):
            wait_until(partial(has_reports, noting, reports), 600)
            megabytes[reports] = resident_megabytes(node)
        wait_until(lambda: count(node, "waiting_results") == 0)
        node.process.terminate()
        node.process.wait()
    require_all_answered(noting, studies)
    assert megabytes[SOAK] < 1.05 * megabytes[SOAK // 2], megabytes
