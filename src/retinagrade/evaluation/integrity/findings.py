"""Findings of the integrity checks, written for the person who reads the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

Verdict = Literal["impossible", "misaligned", "chance", "incomplete"]
VERDICT_WORDS: Final[dict[Verdict, str]] = {
    "impossible": "impossible",
    "misaligned": "almost certainly misaligned",
    "chance": "cannot be told from chance",
    "incomplete": "incomplete",
}
"""Verdicts in plain words, the gravest first. Of *impossible* tables a fact is certain, such as a photograph on both
sides of a split; *incomplete* ones lack something that a person should know."""
MISALIGNED_ALPHA: Final = 0.001
"""False-alarm rate of each test for a misalignment, over all orders or numberings that it tries."""
CHANCE_ALPHA: Final = 0.01
"""Probability that predictions without information are told from chance; also the largest probability that photographs
that suffice don't tell useful predictions from chance."""
_KINDS: Final[dict[str, tuple[Verdict, float]]] = {
    **dict.fromkeys(("sums", "repeated", "other-grades", "changed-grades", "fitted-on-evaluated"), ("impossible", 0.0)),
    **dict.fromkeys(("leaked-photographs", "leaked-copies", "leaked-patients"), ("impossible", 0.0)),
    **dict.fromkeys(("misaligned", "class-order", "worse-than-chance"), ("misaligned", MISALIGNED_ALPHA)),
    "no-information": ("chance", CHANCE_ALPHA),
    **dict.fromkeys(("weak-grades", "few-photographs", "few-cases", "one-grade", "one-prediction"), ("chance", 0.0)),
    **dict.fromkeys(("without-grade", "set-missing", "run-missing", "split-changed"), ("incomplete", 0.0)),
    **dict.fromkeys(("several-graders", "gate-off", "reader-saw-result"), ("incomplete", 0.0)),
}
"""Verdict and false-alarm rate of each code. What is counted, and not tested, has no false alarms;
neither has the statement that something can't be told."""


@dataclass(frozen=True)
class Finding:
    """A reason not to trust the metrics before a person has looked at it.

    Attributes:
        code: A short name, for programs.
        message: The problem and its remedy, for people.
    """

    code: str
    message: str

    @property
    def verdict(self) -> Verdict:
        """The class of the finding."""
        return _KINDS[self.code][0]

    @property
    def false_alarms(self) -> float:
        """Share of honest tables (0 to 1) that get such a finding at most; 0 for facts."""
        return _KINDS[self.code][1]

    @property
    def text(self) -> str:
        """The message after the verdict in plain words."""
        return f"{VERDICT_WORDS[self.verdict]}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """Returns code, verdict, false-alarm rate and message by name."""
        return {
            "code": self.code,
            "verdict": self.verdict,
            "false_alarms": self.false_alarms,
            "message": self.message,
        }
