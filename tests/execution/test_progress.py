"""Progress is reported from the beginning of a stage to its last step."""

from __future__ import annotations

from retinagrade.execution.progress import begin_stage


def test_each_step_is_reported() -> None:
    reports: list[tuple[str, int, int | None]] = []
    step = begin_stage(lambda *report: reports.append(report), "drawing", 3)
    for _ in range(3):
        step()
    assert reports == [("drawing", done, 3) for done in range(4)]


def test_a_stage_without_steps_is_announced() -> None:
    reports: list[tuple[str, int, int | None]] = []
    begin_stage(lambda *report: reports.append(report), "reading the manifest")
    assert reports == [("reading the manifest", 0, None)]


def test_nothing_is_reported_to_nobody() -> None:
    begin_stage(None, "drawing", 3)()
