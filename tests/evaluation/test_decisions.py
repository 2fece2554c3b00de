"""The decisions of a grader, as used: every cell agrees with a computation by pandas, and nothing vanishes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinagrade.errors import ManifestError
from retinagrade.evaluation.decided_photographs import DecidedPhotographs, decided_photographs
from retinagrade.evaluation.decisions import POLICIES, DecisionResults, Outcome, Unit, evaluate_decisions
from retinagrade.evaluation.resampling import patient_weights

COLUMNS = {"referable": "referable", "referable_or_review": "referable", "vision_threatening": "vision_threatening"}
LOWEST = {"referable": 2, "vision_threatening": 3}
PHOTOGRAPH = st.fixed_dictionaries(
    {
        "patient_id": st.sampled_from(["a", "b", "c", "d", "e", pd.NA]),
        "grade": st.sampled_from([0, 1, 2, 3, 4, pd.NA]),
        "referable": st.booleans(),
        "vision_threatening": st.booleans(),
        "needs_review": st.booleans(),
        "no_grade": st.sampled_from([pd.NA, pd.NA, "dark", "error"]),
        "quality_level": st.sampled_from(["good", "usable"]),
    }
)


def rows_of(photographs: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows of a table of results, as they are read: text, with missing decisions of refused photographs."""
    table = pd.DataFrame(photographs)
    table.insert(0, "image_id", [f"i{number:04d}" for number in range(len(table))])
    refused = table["no_grade"].notna()
    for column in ("referable", "vision_threatening", "needs_review"):
        table[column] = table[column].map(str).mask(refused & (column != "needs_review"))
    error = table["no_grade"].where(table["no_grade"] == "error", pd.NA)
    return table.assign(grade=table["grade"].astype("Int64"), error=error, line=np.arange(len(table)) + 2)


def simulated(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Photographs of patients with two eyes each, by a fair grader that refuses some of them."""
    rng = np.random.default_rng(seed)
    grades = rng.choice(5, count, p=[0.6, 0.1, 0.2, 0.06, 0.04])
    seen = grades + rng.normal(0, 1, count)
    refused = rng.random(count) < 0.1
    return [
        {
            "patient_id": f"p{number // 2}",
            "grade": int(grade),
            "referable": bool(score > 1.5),
            "vision_threatening": bool(score > 2.5),
            "needs_review": bool(abs(score - 1.5) < 0.3),
            "no_grade": "dark" if out else pd.NA,
            "quality_level": "reject" if out else ("good" if number % 3 else "usable"),
            "camera": "old" if number % 4 == 0 else "new",
        }
        for number, (grade, score, out) in enumerate(zip(grades, seen, refused, strict=True))
    ]


def by_pandas(rows: pd.DataFrame, decision: str, unit: str, policy: str) -> pd.DataFrame:
    """Truths and decisions of the units that count, computed in another way."""
    known = rows[rows["grade"].notna()].copy()
    known["truth"] = known["grade"] >= LOWEST[COLUMNS[decision]]
    known["refers"] = known[COLUMNS[decision]] == "True"
    if decision == "referable_or_review":
        known["refers"] |= known["needs_review"] == "True"
    refused = known["no_grade"].notna()
    known.loc[refused, "refers"] = policy == "referred"
    if policy == "left out":
        known = known[~refused]
    if unit == "photograph":
        return known[["truth", "refers"]].astype(bool)
    return known.groupby(known["patient_id"].fillna(known["image_id"]))[["truth", "refers"]].any().astype(bool)


def expected_metrics(units: pd.DataFrame, prevalence: float | None) -> dict[str, float]:
    """Metrics of units by their definitions; without those that would divide by 0."""
    truth, refers = units["truth"], units["refers"]
    found = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity, specificity = refers[truth].mean(), 1 - refers[~truth].mean()
        share = truth.mean() if prevalence is None else prevalence
        hits, alarms = share * sensitivity, (1 - share) * (1 - specificity)
        found = {"sensitivity": sensitivity, "specificity": specificity}
        if prevalence is None:
            found |= {"ppv": truth[refers].mean(), "npv": 1 - truth[~refers].mean()}
            found |= {"referrals_per_1000": 1000 * refers.mean(), "misses_per_1000": 1000 * (truth & ~refers).mean()}
        else:
            correct = (1 - share) * specificity
            found["ppv"] = np.divide(hits, hits + alarms)
            found["npv"] = np.divide(correct, correct + share * (1 - sensitivity))
            found |= {"referrals_per_1000": 1000 * (hits + alarms)}
            found |= {"misses_per_1000": 1000 * share * (1 - sensitivity)}
    return {name: float(value) for name, value in found.items() if not np.isnan(value)}


def decided(rows: pd.DataFrame, grades: pd.DataFrame | None = None) -> DecidedPhotographs:
    found = decided_photographs(rows, grades)
    assert found is not None
    return found


def of_all(results: DecisionResults, decision: str, unit: Unit = "photograph", refused: Any = "referred") -> Outcome:
    found = results.outcome(decision, unit, refused)
    assert found is not None
    return found


@settings(max_examples=8)
@given(st.lists(PHOTOGRAPH, min_size=1, max_size=12), st.sampled_from([None, 0.1]))
def test_every_metric_is_that_of_its_definition_and_every_null_has_a_reason(
    photographs: list[dict[str, Any]], prevalence: float | None
) -> None:
    rows = rows_of(photographs)
    found = decided_photographs(rows, None)
    if rows["grade"].isna().all():
        assert found is None
        return
    assert found is not None
    results = evaluate_decisions(found, prevalence=prevalence, resamples=8)
    labelled = rows[rows["grade"].notna()]
    assert results.photographs + results.unlabelled == len(rows)
    assert results.refused == labelled["no_grade"].notna().sum()
    assert results.errors == (labelled["no_grade"] == "error").sum()
    for outcome in results.outcomes:
        if outcome.column is None:
            units = by_pandas(rows, outcome.decision, outcome.unit, outcome.refused)
        else:
            part = rows[rows[outcome.column] == outcome.value]
            units = by_pandas(part, outcome.decision, outcome.unit, outcome.refused)
        expected = expected_metrics(units, None if outcome.decision == "vision_threatening" else prevalence)
        assert outcome.number == len(units)
        assert {name: value for name, value in outcome.metrics.items() if value is not None} == pytest.approx(expected)
        nulls = {name for name, value in outcome.metrics.items() if value is None}
        nulls |= {f"{name}, interval" for name in expected if outcome.intervals[name] is None}
        assert nulls == set(outcome.undefined)
        assert all(outcome.undefined.values())
    whole = [one for one in results.outcomes if one.column is None and one.unit == "photograph"]
    assert all(one.number + one.left_out == results.photographs for one in whole)


def test_intervals_resample_patients_with_all_their_photographs() -> None:
    rows = rows_of(simulated(200))
    results = evaluate_decisions(decided(rows), resamples=12, seed=3)
    numbers = rows["patient_id"].factorize()[0]
    drawn = []
    for resample in range(12):
        weights = patient_weights(numbers.max() + 1, resample, seed=3).astype(int)
        parts = [rows[numbers == patient].assign(patient_id=f"{patient}, {copy}")
                 for patient, weight in enumerate(weights) for copy in range(weight)]  # fmt: skip
        drawn.append(pd.concat(parts))
    units: tuple[Unit, ...] = ("photograph", "patient")
    for unit in units:
        outcome = of_all(results, "referable_or_review", unit)
        resampled = [expected_metrics(by_pandas(part, outcome.decision, unit, "referred"), None) for part in drawn]
        for name in ("sensitivity", "npv", "referrals_per_1000"):
            interval = outcome.intervals[name]
            assert interval is not None
            ends = np.quantile([one[name] for one in resampled], [0.025, 0.975])
            assert [interval.low, interval.high] == pytest.approx(ends.tolist())


def test_a_decision_curve_has_the_net_benefit_of_its_decision() -> None:
    rows = rows_of(simulated(240))
    results = evaluate_decisions(decided(rows), resamples=40)
    (curve,) = [one for one in results.curves if (one.decision, one.unit) == ("referable", "patient")]
    units = by_pandas(rows, "referable", "patient", "referred")
    true, false = (units["truth"] & units["refers"]).sum(), (~units["truth"] & units["refers"]).sum()
    for threshold, value, interval, of_all_referred in zip(
        curve.thresholds, curve.grader, curve.intervals, curve.refer_all, strict=True
    ):
        odds = threshold / (1 - threshold)
        assert value == pytest.approx((true - false * odds) / len(units))
        share = units["truth"].mean()
        assert of_all_referred == pytest.approx(share - (1 - share) * odds)
        assert interval is not None
        assert interval.low < value < interval.high
    prevalence = float(units["truth"].mean())
    (same,) = [
        one
        for one in evaluate_decisions(decided(rows), prevalence=prevalence, resamples=0).curves
        if (one.decision, one.unit) == ("referable", "patient")
    ]
    assert same.grader == pytest.approx(curve.grader)
    assert same.refer_all == pytest.approx(curve.refer_all)


def test_no_miss_at_a_prevalence_keeps_an_interval() -> None:
    photographs = [{**each, "referable": each["grade"] >= 2, "no_grade": pd.NA} for each in simulated(200)]
    outcome = of_all(evaluate_decisions(decided(rows_of(photographs)), prevalence=0.1, resamples=40), "referable")
    misses, sensitivity = outcome.intervals["misses_per_1000"], outcome.intervals["sensitivity"]
    assert outcome.metrics["misses_per_1000"] == 0
    assert misses is not None
    assert sensitivity is not None
    assert (misses.low, misses.high) == pytest.approx((0, 100 * (1 - sensitivity.low)))


def test_cameras_and_quality_levels_have_metrics_of_their_own() -> None:
    rows = rows_of(simulated(120))
    results = evaluate_decisions(decided(rows), by=["camera"], resamples=0)
    values = {(one.column, one.value) for one in results.outcomes if one.column is not None}
    assert values == {
        ("camera", "old"),
        ("camera", "new"),
        *(("quality_level", v) for v in ("good", "usable", "reject")),
    }
    refused = [one for one in results.outcomes if one.value == "reject" and one.decision == "referable"]
    assert [one.refused for one in refused] == list(POLICIES)
    assert [one.metrics["sensitivity"] for one in refused] == [1, 0, None]


def test_oedema_counts_where_the_results_refer_for_it_and_it_is_labelled() -> None:
    photographs = [{**each, "no_grade": pd.NA, "referral": "retinopathy-or-oedema"} for each in simulated(4)]
    rows = rows_of(photographs)
    labels = rows[["image_id"]].assign(grade=pd.array([0, 0, 2, 2], dtype="Int64"), oedema_risk=["1", "0", "2", ""])
    found = decided(rows, labels)
    assert found.oedema_labelled
    assert found.truths["referable"].tolist() == [True, False, True]
    assert found.truths["vision_threatening"].tolist() == [False, False, False]
    assert found.unlabelled == 1
    without = decided(rows, labels.drop(columns="oedema_risk"))
    assert without.oedema
    assert not without.oedema_labelled
    assert without.truths["referable"].tolist() == [False, False, True, True]
    alone = decided(rows.assign(referral="retinopathy"), labels)
    assert not alone.oedema
    assert alone.truths["referable"].tolist() == [False, False, True, True]


def test_decisions_that_the_results_lack_are_named_and_unknown_ones_counted() -> None:
    rows = rows_of([{**each, "no_grade": pd.NA} for each in simulated(40)])
    rows["vision_threatening"] = pd.Series(pd.NA, index=rows.index, dtype="string")
    rows.loc[:4, "referable"] = pd.NA
    results = evaluate_decisions(decided(rows), resamples=0)
    assert set(results.missing) == {"vision_threatening"}
    assert results.undecided["referable"] == 5
    assert of_all(results, "referable").number == 35
    rows.loc[8, "referable"] = "maybe"
    with pytest.raises(ManifestError, match="line 10, column referable"):
        decided_photographs(rows, None, "r.csv")
    assert decided_photographs(rows.drop(columns="no_grade"), None) is None  # no table of results
