"""Everything that a validation found: the verdict, the figures behind it, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from retinagrade.evaluation.decisions import DecisionResults, Outcome
from retinagrade.evaluation.evaluate import Evaluation
from retinagrade.evaluation.fitting.calibration import Calibration
from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.report.decision_tables import as_used
from retinagrade.grader.metadata import Metadata
from retinagrade.images.listing import LeftOutFile
from retinagrade.messages import counted
from retinagrade.sites.adaptation_proposal import AdaptationProposal
from retinagrade.sites.card_comparison import SENSITIVITY, ComparedFigure, card_metrics
from retinagrade.sites.gate_counts import GateCounts
from retinagrade.sites.local_decisions import LocalDecisions
from retinagrade.sites.verdict import Evidence, Verdict

VALIDATION_SCHEMA_VERSION: Final = 1
"""Version of ``validation.json``, which ``docs/validation.schema.json`` describes."""
RESULTS: Final = "results.csv"
CALIBRATION: Final = "calibration.json"
NUMBERS: Final = "lesion_numbers.jsonl"
VALIDATION: Final = "validation.json"
_TOLD_ELSEWHERE: Final = "without-grade"
"""Code of the finding that photographs have no grade, which the counts of the gate tell in full."""


@dataclass(frozen=True)
class NextStep:
    """Something to do after a validation.

    Attributes:
        text: Advice, for people.
        commands: The commands to give, one line each; none for a step without a command.
    """

    text: str
    commands: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns the step for ``validation.json``."""
        return {"text": self.text, "commands": list(self.commands)}


@dataclass(frozen=True, repr=False)
class Validation:
    """Whether a grader works at a site.

    Attributes:
        folder: The report: ``index.html``, ``validation.json``, ``results.csv`` and ``calibration.json``.
        model: The grader file, as the user named it.
        labels: The table of labels.
        metadata: The metadata of the grader file.
        verdict: The verdict.
        figures: The figures here beside those on the card.
        evidence: The evidence that the decision works nearly as on the card.
        evaluation: All metrics, with the decisions as used and the findings of the integrity checks.
        calibration: The calibration that was fitted on all photographs.
        local: Its temperature and thresholds, with their doubt.
        gate: The judgements of the gate.
        adaptation: What adapting the grader to these photographs would give.
        left_out: Files in the named folders that were not graded, with reasons.
        dust: Warning where many photographs have a red lesion at the same place; ``None`` where nothing was seen.
    """

    folder: Path
    model: str
    labels: Path
    metadata: Metadata
    verdict: Verdict
    figures: list[ComparedFigure]
    evidence: list[Evidence]
    evaluation: Evaluation = field(repr=False)
    calibration: Calibration = field(repr=False)
    local: LocalDecisions = field(repr=False)
    gate: GateCounts
    adaptation: AdaptationProposal
    left_out: Sequence[LeftOutFile] = ()
    dust: str | None = None

    @property
    def page(self) -> Path:
        """The page for people."""
        return self.folder / "index.html"

    @property
    def findings(self) -> list[Finding]:
        """Findings of the integrity checks, less those that :attr:`gate` tells in full."""
        return [finding for finding in self.evaluation.findings if finding.code != _TOLD_ELSEWHERE]

    @property
    def decisions(self) -> DecisionResults | None:
        """The decisions as a programme uses them; ``None`` where the grader file decides nothing."""
        return self.evaluation.decisions

    @property
    def used(self) -> Outcome | None:
        """The referral as used: by patient where patients have several photographs, refused photographs referred."""
        return None if self.decisions is None else as_used(self.decisions)

    @property
    def attention(self) -> list[str]:
        """Reasons why a person should look; none where the grader works here as on its card, without a doubt."""
        reasons = [] if self.verdict.outcome == "as on its card" else [self.verdict.sentence]
        reasons += [finding.text for finding in self.findings]
        if self.gate.errors:
            reasons.append(f"{counted(self.gate.errors, 'photograph')} could not be used.")
        reasons += [] if self.gate.doubt is None else [self.gate.doubt]
        reasons += [] if self.dust is None else [self.dust]
        if unread := sum(each.may_be_photograph for each in self.left_out):
            reasons.append(f"{counted(unread, 'file')} that may be photographs were left out.")
        return reasons

    @property
    def needs_attention(self) -> bool:
        """True where a person should look."""
        return bool(self.attention)

    @property
    def next_steps(self) -> list[NextStep]:
        """What to do next, with the exact commands."""
        steps = []
        results, calibration = (shlex.quote(str(self.folder / name)) for name in (RESULTS, CALIBRATION))
        model, labels = shlex.quote(self.model), shlex.quote(str(self.labels))
        local = "local.onnx" if Path(self.model).name != "local.onnx" else "local-2.onnx"
        if self.verdict.outcome == "not to be trusted":
            return [NextStep(self.verdict.detail)]
        if self.verdict.outcome == "too few photographs":
            steps.append(NextStep(f"Label more photographs, and give the same command again. {self.verdict.detail}"))
        if self.gate.doubt is not None:
            steps.append(
                NextStep(
                    "Look at some of the refused photographs. If they are good, judge a few dozen as good, usable or "
                    "reject (columns image_id and quality), and set the gate:",
                    (
                        f"retinagrade grade PHOTOGRAPHS --model {model} --gate off --out ungated.csv",
                        "retinagrade calibrate ungated.csv --quality judged.csv --out gate.json",
                        f"retinagrade export --model {model} --gate gate.json --out {local}",
                    ),
                )
            )
        if self.adaptation.better:
            size = self.metadata.preparation.size
            steps.append(
                NextStep(
                    "Adapt the grader to your photographs. The table of labels needs a column path with their files:",
                    (
                        f"retinagrade prepare {labels} --size {size} --out prepared",
                        f"retinagrade adapt {model} --data prepared --out adapted.onnx",
                    ),
                )
            )
        chance = [each for each in self.evaluation.findings if each.code in ("no-information", "worse-than-chance")]
        if chance:
            return [*steps, NextStep(f"Look at the labels before you set a threshold: {chance[0].message}")]
        if "referable" not in self.local.thresholds:
            why = self.local.undefined.get("referable", "there are too few of them")
            return [*steps, NextStep(f"Keep the shipped threshold: these photographs give none of their own ({why}).")]
        steps.append(
            NextStep(self._warning_of_misses())
            if self.verdict.outcome == "too few photographs" and self._would_miss_more
            else NextStep(
                self._advice_on_threshold(),
                (
                    f"retinagrade export --model {model} --calibration {calibration} --out {local}",
                    f"retinagrade grade NEW_PHOTOGRAPHS --model {local} --out graded.csv",
                ),
            )
        )
        steps.append(
            NextStep(
                "See all metrics, also by quality and by any column of the labels:",
                (f"retinagrade evaluate {results} --grades {labels} --out evaluation",),
            )
        )
        return steps

    def _advice_on_threshold(self) -> str:
        point = self.local.thresholds["referable"]
        check = "Check the local file on photographs that it was not fitted on."
        if point.interval is None or point.shipped is None:
            return f"If you want the thresholds of your own photographs, write them into a local grader file. {check}"
        if point.interval.low <= point.shipped <= point.interval.high:
            return (
                "The shipped threshold lies within the interval of your own, so a local grader file would hardly "
                f"decide otherwise. If you want your own thresholds all the same: {check}"
            )
        trade = f"{self._describe_trade()} " if self._would_miss_more else ""
        write = f"Write it into a local file. {check}"
        return f"Your photographs ask for another threshold than the shipped one. {trade}{write}"

    @property
    def _sensitivity_as_shipped(self) -> float | None:
        return next((each.here for each in self.figures if each.name == SENSITIVITY), None)

    @property
    def _would_miss_more(self) -> bool:
        """Whether the site's own threshold finds fewer of those with referable retinopathy than the shipped one."""
        point, shipped = self.local.thresholds.get("referable"), self._sensitivity_as_shipped
        if point is None or point.sensitivity is None or shipped is None:
            return False
        return point.sensitivity < shipped

    def _describe_trade(self) -> str:
        point = self.local.thresholds["referable"]
        return (
            f"It refers fewer healthy people, and misses more disease: a sensitivity of about {point.sensitivity:.2f}, "
            f"and {self._sensitivity_as_shipped:.2f} with the shipped threshold."
        )

    def _warning_of_misses(self) -> str:
        point = self.local.thresholds["referable"]
        few = f"{counted(point.positives, 'photograph')} with referable retinopathy are too few to decide that."
        return (
            f"Keep the shipped threshold for now. A threshold of your own would be {point.threshold:.2f}. "
            f"{self._describe_trade()} {few}"
        )

    def __repr__(self) -> str:
        """Returns the verdict, the reasons to look and the page."""
        lines = [self.verdict.sentence, *filter(None, [self.verdict.detail])]
        lines += [f"  attention: {reason}" for reason in self.attention if reason != self.verdict.sentence]
        return "\n".join([*lines, f"  page: {self.page}"])

    def to_json(self) -> dict[str, Any]:
        """Returns the content of ``validation.json``."""
        measured = card_metrics(self.metadata)
        return {
            "schema_version": VALIDATION_SCHEMA_VERSION,
            "grader": {
                "name": self.metadata.name,
                "version": self.metadata.version,
                "digest": self.metadata.digest,
                "history": [change.model_dump(mode="json") for change in self.metadata.history],
                "card": None if measured is None else {"of": measured[0], "photographs": measured[1].photographs},
            },
            "verdict": {
                "outcome": self.verdict.outcome,
                "sentence": self.verdict.sentence,
                "detail": self.verdict.detail,
            },
            "attention": self.attention,
            "figures": [figure.to_json() for figure in self.figures],
            "evidence": [one.to_json() for one in self.evidence],
            "local": self.local.to_json(),
            "gate": self.gate.to_json(),
            "adaptation": self.adaptation.to_json(),
            "dust": self.dust,
            "left_out": [asdict(each) for each in self.left_out],
            "next_steps": [step.to_json() for step in self.next_steps],
            "evaluation": self.evaluation.to_json(),
        }
