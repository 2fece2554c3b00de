"""The page of a validation: for a medical director, who wants to know whether the grader works here."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from retinagrade.evaluation.curves import reliability, roc
from retinagrade.evaluation.decisions import Outcome
from retinagrade.evaluation.fitting.out_of_fold import out_of_fold
from retinagrade.evaluation.fitting.probability_calibration import calibrate_probabilities, fit_temperature
from retinagrade.evaluation.intervals import Interval
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.report import plots
from retinagrade.evaluation.report.decision_tables import decisions_notes
from retinagrade.evaluation.report.pictures import Picture, evaluation_pictures
from retinagrade.evaluation.report.plots import MarkedPoint
from retinagrade.evaluation.report.tables import DECISION_NAMES, TextTable, with_interval
from retinagrade.messages import counted
from retinagrade.pages.page import format_metric, render_page
from retinagrade.sites.card_comparison import SENSITIVITY, SPECIFICITY, ComparedFigure
from retinagrade.sites.local_decisions import LocalThreshold
from retinagrade.sites.validation import Validation
from retinagrade.sites.verdict import FIGURE_NAMES, MARGIN

_TONES: Final = {"as on its card": "good", "worse": "bad", "not to be trusted": "bad"}
_POLICY_LABELS: Final = {
    "referred": "are referred",
    "not referred": "are not referred",
    "left out": "are left out",
}


def render_validation(validation: Validation) -> str:
    """Renders the page.

    Returns:
        HTML without references to other files or servers.
    """
    return render_page(
        "sites/validation.html.j2",
        title="Does the grader work here?",
        validation=validation,
        tone=_TONES.get(validation.verdict.outcome, "unsure"),
        cards=_cards(validation),
        used=_used_table(validation),
        used_notes=_used_notes(validation),
        groups=_groups_table(validation),
        card=_card_table(validation),
        card_notes=_card_notes(validation),
        local=_local_table(validation),
        local_notes=_local_notes(validation),
        gate=_gate_table(validation),
        pictures=validation_pictures(validation),
        origin=_origin_notes(validation),
    )


def validation_tables(validation: Validation) -> list[TextTable]:
    """Returns the tables of the page, with titles, for the terminal."""
    titled = {
        "If you used it now": _used_table(validation),
        "Here, against its card": _card_table(validation),
        "Thresholds of your own": _local_table(validation),
        "Photographs that it refuses": _gate_table(validation),
    }
    return [replace(table, title=title) for title, table in titled.items() if table is not None]


def validation_pictures(validation: Validation) -> list[Picture]:
    """Returns the pictures of the page: ROC curve, confusion matrix and reliability."""
    graded = validation.evaluation.predictions
    assert graded is not None  # an evaluation of a table has its photographs
    own = evaluation_pictures(validation.evaluation)
    pictures = [own["confusion_matrix"]]
    try:
        curve = roc(graded, "referable")
    except Undefined:
        pass
    else:
        area = with_interval(
            validation.evaluation.metrics["referable_auc"], validation.evaluation.intervals.get("referable_auc")
        )
        draw = partial(plots.roc_plot, {"referable": curve}, {"referable": area}, {"referable": _points(validation)})
        caption = (
            "Sensitivity against false alarms for referable retinopathy on your photographs. The orange marks are the "
            "shipped threshold and the proposed one, which is judged on photographs that it wasn't fitted on. Hollow "
            "marks are published systems on their own patients, for orientation only."
        )
        pictures.insert(0, Picture("roc", caption, draw))
    caption = (
        "Share of right grades by the grader's confidence: on the dotted line, the two are equal. The blue line is the "
        "grader as shipped, the orange one has the temperature of your photographs, cross-validated."
    )
    pictures.append(Picture("reliability", caption, partial(_draw_reliability, graded)))
    return pictures


def _draw_reliability(graded: GradedPredictions) -> Figure:
    bins = {"as shipped": reliability(graded)}
    try:
        calibrated = out_of_fold(graded, _temper)
    except Undefined:
        return plots.reliability_plot(bins)
    bins["with your temperature"] = reliability(replace(graded, probabilities=calibrated))
    return plots.reliability_plot(bins)


def _temper(part: GradedPredictions, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    return calibrate_probabilities(fit_temperature(part), probabilities)


def _points(validation: Validation) -> list[MarkedPoint]:
    points = []
    here = {figure.name: figure.here for figure in validation.figures}
    if (found := here.get(SENSITIVITY)) is not None and (other := here.get(SPECIFICITY)) is not None:
        points.append(MarkedPoint("threshold as shipped", found, other, ours=True))
    local = validation.local.thresholds.get("referable")
    if local is not None and local.sensitivity is not None and local.specificity is not None:
        points.append(MarkedPoint("threshold proposed here", local.sensitivity, local.specificity, ours=True))
    return points


def _cards(validation: Validation) -> list[tuple[str, str, str, str]]:
    """Returns the main numbers of the decision as used: a label, a number, its interval and an explanation each."""
    used = validation.used
    if used is None:
        return []
    unit = used.unit
    numbers = [
        ("Of those with the disease, referred", *_percent(used, "sensitivity"), f"sensitivity, by {unit}"),
        ("Of those without it, not referred", *_percent(used, "specificity"), f"specificity, by {unit}"),
    ]
    missed = (used.metrics["misses_per_1000"], used.intervals.get("misses_per_1000"))
    for label, (value, interval), note in (
        ("Missed, per 1,000 screened", missed, "have the disease and are not referred"),
        ("Referred in vain, per 1,000 screened", _false_referrals(used), "don't have it and are referred"),
    ):
        numbers.append((label, _number(value, None), _limits(interval), note))
    return numbers


def _used_table(validation: Validation) -> TextTable | None:
    decisions, used = validation.decisions, validation.used
    if decisions is None or used is None:
        return None
    outcomes = [
        one
        for policy in (_POLICY_LABELS if decisions.refused else ["referred"])
        if (one := decisions.outcome("referable", used.unit, policy)) is not None  # type: ignore[arg-type]
    ]
    rows = [
        (
            f"refused photographs {_POLICY_LABELS[one.refused]}" if decisions.refused else "no photograph was refused",
            with_interval(one.metrics["sensitivity"], one.intervals.get("sensitivity")),
            with_interval(one.metrics["specificity"], one.intervals.get("specificity")),
            _number(one.metrics["misses_per_1000"], one.intervals.get("misses_per_1000")),
            _number(*_false_referrals(one)),
            _number(one.metrics["referrals_per_1000"], one.intervals.get("referrals_per_1000")),
        )
        for one in outcomes
    ]
    head = ("", "sensitivity", "specificity", "missed", "referred in vain", "referred in all")
    note = f"By {used.unit}, with 95 % intervals by patient. The last three columns are numbers per 1,000 screened."
    return TextTable("", head, rows, note)


def _groups_table(validation: Validation) -> TextTable | None:
    """Returns the referral by camera, where the labels name cameras."""
    decisions = validation.decisions
    groups = (
        []
        if decisions is None
        else [
            one
            for one in decisions.outcomes
            if (one.decision, one.refused, one.column) == ("referable", "referred", "camera")
        ]
    )
    if not groups:
        return None
    rows = [
        (
            str(one.value),
            str(one.number),
            with_interval(one.metrics["sensitivity"], one.intervals.get("sensitivity")),
            with_interval(one.metrics["specificity"], one.intervals.get("specificity")),
        )
        for one in groups
    ]
    note = "By photograph; refused photographs are referred."
    return TextTable("", ("camera", "photographs", "sensitivity", "specificity"), rows, note)


def _used_notes(validation: Validation) -> list[str]:
    decisions = validation.decisions
    if decisions is None or validation.used is None:
        return ["The grader file has no threshold for referable retinopathy, so it decides nothing."]
    return decisions_notes(decisions)


def _card_table(validation: Validation) -> TextTable | None:
    if not validation.figures:
        return None
    rows = [
        (
            FIGURE_NAMES[figure.name],
            with_interval(figure.here, figure.here_interval),
            with_interval(figure.card, figure.card_interval),
            _difference(figure),
            _judgement(figure),
        )
        for figure in validation.figures
    ]
    return TextTable("", ("", "here", "on its card", "difference", ""), rows)


def _card_notes(validation: Validation) -> list[str]:
    """Returns sentences on what the figures of the card are."""
    notes = []
    measured = validation.to_json()["grader"]["card"]
    if measured is not None:
        of = {
            "test": "test photographs, on which nothing was chosen",
            "cross-validation": "photographs of its training, each graded by a network that hadn't seen it",
            "validation": "validation photographs, on which the best epoch was chosen",
        }[measured["of"]]
        notes.append(f"Agreement and rankings on the card: {measured['photographs']} {of}.")
    if any(figure.name == SENSITIVITY for figure in validation.figures):
        notes.append(
            "Sensitivity and specificity on the card are those of its threshold on the photographs that chose it. They "
            "count photographs with a grade, and retinopathy alone."
        )
    notes.append(
        "A warning means a difference by more than chance. All figures of this table are counted: of graders that work "
        "as on their card, at most one in twenty gets any warning. Agreement (QWK) also depends on how frequent each "
        "grade is at a site."
    )
    notes += [
        f"{FIGURE_NAMES[one.name]}: not tested, because {one.reason}." for one in validation.figures if one.reason
    ]
    if any(not one.shown for one in validation.evidence):
        notes.append(
            "Not shown yet: "
            + "; ".join(
                f"that the {one.measure} is at least {one.bar:.2f} ({MARGIN:g} below the card); the lower limit is "
                f"{one.lower:.2f}"
                for one in validation.evidence
                if not one.shown
            )
            + "."
        )
    return notes


def _difference(figure: ComparedFigure) -> str:
    if figure.difference is None:
        return "–"
    interval = figure.difference_interval
    limits = "" if interval is None else f" ({interval.low:+.3f} to {interval.high:+.3f})"
    return f"{figure.difference:+.3f}{limits}"


def _judgement(figure: ComparedFigure) -> str:
    if figure.p_value is None:
        return "not tested"
    if not figure.differs:
        return "no more than chance"
    return "⚠ lower here" if figure.worse else "higher here"


def _local_table(validation: Validation) -> TextTable | None:
    if not validation.local.thresholds:
        return None
    rows = [
        (
            DECISION_NAMES[name],
            format_metric(point.shipped),
            with_interval(point.threshold, point.interval),
            with_interval(point.sensitivity, point.sensitivity_interval),
            with_interval(point.specificity, point.specificity_interval),
            f"{point.positives} of {point.positives + point.negatives}",
        )
        for name, point in validation.local.thresholds.items()
    ]
    head = (
        "",
        "threshold as shipped",
        "threshold for you",
        "sensitivity to expect",
        "specificity to expect",
        "with the disease",
    )
    return TextTable("", head, rows)


def _local_notes(validation: Validation) -> list[str]:
    local = validation.local
    temperature = with_interval(local.temperature, local.temperature_interval)
    interval = local.temperature_interval
    meaning = (
        "the grader is surer of its grades here than it should be"
        if local.temperature > 1
        else ("the grader is less sure of its grades here than it could be")
    )
    if interval is not None and interval.low <= 1 <= interval.high:
        meaning = "no more than chance away from 1, which changes nothing"
    notes = [
        f"The thresholds aim at a sensitivity of {local.target:g}, and apply after the probabilities have your "
        f"temperature, {temperature}: {meaning}.",
        f"The interval of a threshold shows how much it differs between {local.resamples} resamples of your patients. "
        "Sensitivity and specificity to expect were measured on photographs that the threshold wasn't fitted on; their "
        "intervals are those of another sample of this size.",
    ]
    notes += [f"{DECISION_NAMES[name]}: no threshold, because {reason}." for name, reason in local.undefined.items()]
    return [*notes, *_unreachable(local.thresholds.get("referable"), local.target)]


def _unreachable(point: LocalThreshold | None, target: float) -> list[str]:
    if point is None or point.specificity is None or point.specificity > 0.5:
        return []
    return [
        f"Beware: to reach a sensitivity of {target:g} here, the grader refers {1 - point.specificity:.0%} of the "
        "people without the disease."
    ]


def _gate_table(validation: Validation) -> TextTable:
    gate = validation.gate

    def row(label: str, number: int, reasons: dict[str, int]) -> tuple[str, str, str, str]:
        named = ", ".join(f"{reason} ({count})" for reason, count in list(reasons.items())[:4])
        return label, str(number), f"{number / max(gate.photographs, 1):.1%}", named or "–"

    rows = [
        row("good", gate.good, {}),
        row("usable, graded with a warning", gate.usable, gate.warnings),
        row("refused, without a grade", gate.refused, gate.refusals),
        row("not used, by an error", gate.errors, {}),
    ]
    return TextTable("", ("", "photographs", "share", "most frequent reasons"), rows)


def _origin_notes(validation: Validation) -> list[str]:
    """Returns sentences on the photographs that the grader file has learnt from."""
    data = validation.metadata.training_data
    names = ", ".join(data.datasets) or "unnamed data sets"
    notes = [
        f"The grader file was trained on {counted(sum(data.photographs.values()), 'photograph')} ({names}). It holds "
        "no list of them, so nobody can check here whether yours are among them. If they are, this page flatters."
    ]
    notes += [
        f"On {change.date[:10]}, {', '.join(change.changed).replace('_', ' ')} were set on {change.data}. If these are "
        "the same photographs, this page flatters."
        for change in validation.metadata.history
    ]
    return notes


def _false_referrals(outcome: Outcome) -> tuple[float | None, Interval | None]:
    """Returns the false referrals per 1,000 screened, and their interval, which mirrors that of the specificity."""
    specificity, prevalence = outcome.metrics["specificity"], outcome.prevalence
    if specificity is None or prevalence is None:
        return None, None
    scale = 1000 * (1 - prevalence)
    interval = outcome.intervals.get("specificity")
    if interval is not None:
        interval = replace(interval, low=scale * (1 - interval.high), high=scale * (1 - interval.low))
    return scale * (1 - specificity), interval


def _percent(outcome: Outcome, name: str) -> tuple[str, str]:
    """Returns a share of an outcome and its interval as per cent."""
    value, interval = outcome.metrics[name], outcome.intervals.get(name)
    limits = "" if interval is None else f"{interval.low:.0%} to {interval.high:.0%}"
    return "–" if value is None else f"{value:.0%}", limits


def _number(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" + ("" if interval is None else f" ({_limits(interval)})")


def _limits(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.0f} to {interval.high:.0f}"
