"""Tables and sentences on a grader's decisions, as a programme uses them."""

from __future__ import annotations

from typing import Final

from retinagrade.evaluation.decided_photographs import REVIEWED
from retinagrade.evaluation.decisions import METRICS, POLICIES, DecisionResults, Outcome, Unit
from retinagrade.evaluation.intervals import Interval
from retinagrade.evaluation.report.tables import TextTable, with_interval
from retinagrade.evaluation.subgroups import SMALL_SUBGROUP
from retinagrade.messages import counted
from retinagrade.pages.page import format_metric

DECISION_LABELS: Final = {
    "referable": "referable",
    REVIEWED: "referable, or a person should look",
    "vision_threatening": "vision-threatening",
}
"""Names of the decisions for people."""
_LABELS: Final = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "positive predictive value",
    "npv": "negative predictive value",
    "referrals_per_1000": "referrals per 1,000 screened",
    "misses_per_1000": "misses per 1,000 screened",
}


def decisions_tables(decisions: DecisionResults) -> list[TextTable]:
    """Returns the metrics of all decisions: a table by photograph, one by patient, and one of groups."""
    if not decisions.outcomes:
        return []
    tables = [_unit_table(decisions, unit) for unit in decisions.units]
    groups = [one for one in decisions.outcomes if one.column is not None and one.refused == "referred"]
    return [*tables, _groups_table(decisions, groups)] if groups else tables


def decisions_notes(decisions: DecisionResults) -> list[str]:
    """Returns sentences on what the metrics of the decisions count."""
    ungradable = decisions.refused - decisions.errors
    people = (
        f"of {counted(decisions.patients, 'patient')}"
        if decisions.patients < decisions.photographs
        else "each counted as one patient"
    )
    labelled = f"{counted(decisions.photographs, 'labelled photograph')}, {people}"
    notes = [
        f"{labelled}. The grader refused {decisions.refused} of them: {ungradable} ungradable, {decisions.errors} with "
        "an error."
    ]
    if decisions.unlabelled:
        notes.append(f"{counted(decisions.unlabelled, 'photograph')} without a label left out.")
    if decisions.oedema_labelled:
        notes.append("The grader refers for macular oedema, too, and labelled oedema counts as referable.")
    elif decisions.oedema:
        notes.append(
            "The grader refers for macular oedema, too, but nothing labels it (column oedema_risk): a referral for "
            "oedema alone counts as a false one."
        )
    notes += [
        f"{counted(number, 'photograph')} with a grade, but without the decision “{DECISION_LABELS[decision]}”, left "
        "out of its metrics."
        for decision, number in decisions.undecided.items()
        if number
    ]
    notes += [f"No metrics of “{DECISION_LABELS[decision]}”: {why}." for decision, why in decisions.missing.items()]
    stated = decisions.prevalence
    where = "in the data"
    if stated is not None:
        where = f"of {stated:g}, as stated (decisions that are not about referable disease: in the data)"
    return [*notes, f"Predictive values and numbers per 1,000 screened hold at the prevalence {where}."]


def as_used(decisions: DecisionResults) -> Outcome | None:
    """Returns the referral as it is used: by patient where a patient has several photographs, refusals referred."""
    return decisions.outcome("referable", decisions.units[-1])


def as_used_text(decisions: DecisionResults) -> str:
    """Returns sensitivity and specificity of the referral in one line; an empty text where there is none."""
    outcome = as_used(decisions)
    if outcome is None:
        return ""
    sensitivity, specificity = (_cell(outcome, name) for name in ("sensitivity", "specificity"))
    return f"referral as used, by {outcome.unit}: sensitivity {sensitivity}, specificity {specificity}"


def _unit_table(decisions: DecisionResults, unit: Unit) -> TextTable:
    """Returns the metrics of all decisions (rows) with refused photographs treated in each way (columns)."""
    rows = []
    for decision, label in DECISION_LABELS.items():
        outcomes = [one for policy in POLICIES if (one := decisions.outcome(decision, unit, policy)) is not None]
        if outcomes:
            rows.append((f"{label}: {unit}s", *(str(one.number) for one in outcomes)))
            rows += [(f"  {_LABELS[name]}", *(_cell(one, name) for one in outcomes)) for name in METRICS]
            rows.append(("  at a prevalence of", *(format_metric(one.prevalence) for one in outcomes)))
    head = ("refused photographs are", *POLICIES)
    return TextTable(f"Decisions by {unit}", head, rows)


def _groups_table(decisions: DecisionResults, groups: list[Outcome]) -> TextTable:
    """Returns the metrics of the groups for the first decision that the table has; refused photographs are referred."""
    shown = [one for one in groups if one.decision == groups[0].decision]
    graded = {
        (one.column, one.value): one.number
        for one in decisions.outcomes
        if one.decision == groups[0].decision and one.refused == "left out"
    }
    names = ("sensitivity", "specificity", "referrals_per_1000", "misses_per_1000")
    rows = [
        (
            f"{one.column}: {one.value}" + (" ⚠ few" if one.table.sum(axis=1).min() < SMALL_SUBGROUP else ""),
            str(one.number),
            str(one.number - graded[one.column, one.value]),
            *(_cell(one, name) for name in names),
        )
        for one in shown
    ]
    title = f"Decision “{DECISION_LABELS[groups[0].decision]}” by group, refused photographs referred"
    head = ("", "photographs", "refused", *(_LABELS[name] for name in names))
    note = f"⚠ few: fewer than {SMALL_SUBGROUP} photographs with the disease, or fewer without."
    return TextTable(title, head, rows, note if any("⚠" in row[0] for row in rows) else "")


def _cell(outcome: Outcome, name: str) -> str:
    value, interval = outcome.metrics[name], outcome.intervals.get(name)
    return _per_1000(value, interval) if name.endswith("per_1000") else with_interval(value, interval)


def _per_1000(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" + ("" if interval is None else f" ({interval.low:.1f} to {interval.high:.1f})")
