"""Subgroups are what an evaluation of each by itself gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from retinagrade.errors import UsageError
from retinagrade.evaluation.evaluate import evaluate_predictions
from retinagrade.evaluation.subgroups import (
    MISSING_VALUE,
    SUBGROUP_METRICS,
    default_subgroup_columns,
    evaluate_subgroups,
)
from tests.evaluation.tables import predictions, some_grades


@pytest.fixture
def table() -> pd.DataFrame:
    return predictions(some_grades(240), skill=1)


def test_each_is_an_evaluation_of_its_own(table: pd.DataFrame) -> None:
    table["laterality"] = ["L", "R", "R"] * 80
    left, right = evaluate_subgroups(table, "laterality", resamples=50)
    assert (left.value, left.photographs, right.photographs) == ("L", 80, 160)
    alone = evaluate_predictions(table[table["laterality"] == "R"], resamples=50)
    for name in SUBGROUP_METRICS:
        assert right.metrics[name] == alone.metrics[name]
        assert right.intervals[name] == alone.intervals[name]


def test_few_photographs_of_a_kind_are_said(table: pd.DataFrame) -> None:
    rare = np.flatnonzero(table["grade"] >= 2)[:3]
    table["site"] = "a"
    table.loc[rare, "site"] = "b"
    a, b = evaluate_subgroups(table, "site", resamples=20)
    assert (a.small, b.small) == (False, True)
    assert b.metrics["referable_auc"] is None


def test_numbers_are_cut_into_quarters_and_nothing_is_lost(table: pd.DataFrame) -> None:
    table["age"] = [str(20 + row % 60) if row else "" for row in range(len(table))]
    found = evaluate_subgroups(table, "age", resamples=0)
    assert [group.value for group in found] == ["20 to 35", "35 to 50", "50 to 64.5", "64.5 to 79", MISSING_VALUE]
    assert sum(group.photographs for group in found) == len(table)
    few = evaluate_subgroups(table.assign(age=[str(row % 11) for row in range(len(table))]), "age", resamples=0)
    assert [group.value for group in few] == [str(number) for number in range(11)]  # 2 before 10


def test_what_makes_no_subgroups(table: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="240 different texts"):
        evaluate_subgroups(table.assign(name=table["image_id"]), "name")
    with pytest.raises(UsageError, match="no such column"):
        evaluate_subgroups(table, "camera")


def test_customary_columns_are_those_that_tell_photographs_apart(table: pd.DataFrame) -> None:
    assert default_subgroup_columns(table) == []
    assert default_subgroup_columns(table.assign(dataset="idrid", laterality=["L", ""] * 120)) == []
    assert default_subgroup_columns(table.assign(dataset=["idrid", "ddr"] * 120)) == ["dataset"]
