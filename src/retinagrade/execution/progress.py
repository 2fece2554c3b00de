"""Progress of long work: the callback that receives reports. This module prints nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """A callback that receives reports on the progress of work."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Receives a report.

        Args:
            stage: The work, as a short noun phrase such as ``preparing photographs``.
            done: Finished steps; 0 when the stage begins.
            total: Steps of the stage; ``None`` where it has none to count.
        """
        ...


def begin_stage(progress: Progress | None, stage: str, total: int | None = None) -> Callable[[], None]:
    """Reports the beginning of a stage.

    Args:
        progress: The callback; with ``None``, nothing is reported.
        stage: The work, as a short noun phrase.
        total: Steps of the stage; ``None`` where it has none to count.

    Returns:
        A function to call after every finished step.

    Example:
        >>> step = begin_stage(lambda *report: print(*report), "preparing photographs", 2)
        preparing photographs 0 2
        >>> step()
        preparing photographs 1 2
    """
    if progress is None:
        return lambda: None
    report, done = progress, 0
    report(stage, 0, total)

    def step() -> None:
        nonlocal done
        done += 1
        report(stage, done, total)

    return step


def prefix_stages(progress: Progress | None, prefix: str) -> Progress | None:
    """Returns a callback that reports to another one, with a prefix before each stage.

    Args:
        progress: The callback that receives the reports; ``None`` reports to nobody.
        prefix: The larger piece of work that the stages belong to, such as ``fold 2 of 5``.

    Example:
        >>> prefixed = prefix_stages(lambda *report: print(*report), "fold 2 of 5")
        >>> step = begin_stage(prefixed, "training", 3)
        fold 2 of 5: training 0 3
    """
    if progress is None:
        return None
    report = progress
    return lambda stage, done, total: report(f"{prefix}: {stage}", done, total)
