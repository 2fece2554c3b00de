"""No patient is in two splits, grades are spread evenly, and the numbers are the report's."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinagrade.datasets.grade_counts import count_grades_by_split
from retinagrade.datasets.split import (
    EXCLUDED,
    UNGRADED,
    SplitRecord,
    SplitSettings,
    fold_splits,
    missing_grades,
    split,
    split_manifest,
    split_shares,
)
from retinagrade.datasets.stratification import photograph_groups
from retinagrade.errors import UsageError
from retinagrade.manifest import Manifest
from tests.schemas import require_schema


def manifest(rows: pd.DataFrame) -> Manifest:
    table = rows.assign(path=[f"{index}.jpg" for index in range(len(rows))])
    if "image_id" not in table:
        table["image_id"] = [f"{index:06d}" for index in range(len(table))]
    return Manifest.from_table(table, Path(), "table")


def test_the_report_s_split() -> None:
    counts = [25808, 2443, 5292, 873, 708]
    whole = manifest(pd.DataFrame({"grade": np.repeat(np.arange(5), counts)}))
    for by in ("image", "patient"):
        result = count_grades_by_split(split_manifest(whole, SplitSettings(val=0.1, group_by=by)).table)
        assert [result["val"][str(grade)] for grade in range(5)] == [2580, 244, 529, 87, 70]
        assert sum(result["train"].values()) == sum(counts) - 3510


@st.composite
def groups(draw: st.DrawFn) -> pd.DataFrame:
    """Photographs with patients, copies and missing grades in any mixture."""
    size = draw(st.integers(12, 60))

    def column(values: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(values, min_size=size, max_size=size))

    return pd.DataFrame(
        {
            "grade": column(st.none() | st.integers(0, 4)),
            "patient_id": column(st.none() | st.sampled_from([f"p{index}" for index in range(size // 2)])),
            "sha256": column(st.sampled_from([f"{index:064d}" for index in range(size)])),
            "official_split": column(st.sampled_from(["train", "train", "train", "test", "test-public"])),
        }
    )


@given(groups(), st.integers(0, 5), st.booleans())
def test_patients_and_copies_stay_together(rows: pd.DataFrame, seed: int, official: bool) -> None:
    if not official:
        rows = rows.drop(columns="official_split")
    try:
        result = split_manifest(manifest(rows), SplitSettings(val=0.3, test=0.0 if official else 0.2, seed=seed))
    except UsageError as error:
        assert "too few" in str(error)  # noqa: PT017 - either outcome is right, depending on the groups drawn
        return
    table = result.table
    assert set(table["split"]) <= {"train", "val", "test", EXCLUDED, UNGRADED}
    for key in ("patient_id", "sha256"):
        sides = table[table["split"] != EXCLUDED].groupby(key)["split"].nunique()
        if official:  # nothing of the official test set is in training or validation
            learnt = table[table["split"].isin(["train", "val"])]
            assert not set(learnt[key].dropna()) & set(table[table["split"] == "test"][key].dropna())
            sides = learnt.groupby(key)["split"].nunique()
        assert (sides <= 1).all()
    if official:
        theirs = table[table["official_split"].str.startswith("test")]
        assert (theirs["split"] == ("test" if theirs["grade"].notna().any() else UNGRADED)).all()


@given(st.lists(st.integers(0, 4), min_size=12, max_size=60), st.floats(0.25, 0.6), st.integers(0, 5))
def test_numbers_of_pairs_are_within_one_of_the_share(pairs: list[int], val: float, seed: int) -> None:
    rows = pd.DataFrame(
        {"grade": np.repeat(pairs, 2), "patient_id": np.repeat([f"p{i}" for i in range(len(pairs))], 2)}
    )
    table = split_manifest(manifest(rows), SplitSettings(val=val, seed=seed)).table
    wanted = np.floor(val * np.bincount(table["grade"], minlength=5) + 1e-9)
    got = np.bincount(table["grade"][table["split"] == "val"], minlength=5)
    assert (np.abs(got - wanted) <= 1).all()


def test_small_sets_of_patients_with_two_eyes_still_have_validation_photographs() -> None:
    rows = pd.DataFrame({"grade": np.repeat(np.arange(5), 6), "patient_id": [f"p{index // 2}" for index in range(30)]})
    table = split_manifest(manifest(rows), SplitSettings(val=0.2, test=0.2)).table
    counts = table.pivot_table(index="split", columns="grade", values="image_id", aggfunc="count")
    assert counts.loc[["val", "test"]].to_numpy().tolist() == [[2] * 5] * 2


@given(st.permutations(range(40)), st.integers(0, 3))
def test_the_order_of_rows_does_not_matter(order: list[int], seed: int) -> None:
    rows = pd.DataFrame(
        {
            "image_id": [f"{index:02d}" for index in range(40)],
            "grade": [index % 5 for index in range(40)],
            "patient_id": [f"p{index // 2}" for index in range(40)],
        }
    )
    expected = split_manifest(manifest(rows), SplitSettings(val=0.25, seed=seed)).table.set_index("image_id")["split"]
    shuffled = split_manifest(manifest(rows.iloc[order]), SplitSettings(val=0.25, seed=seed)).table.set_index(
        "image_id"
    )["split"]
    pd.testing.assert_series_equal(shuffled.sort_index(), expected.sort_index())


def test_seeds_differ_and_a_split_by_image_separates_eyes() -> None:
    rows = pd.DataFrame({"grade": [0] * 60, "patient_id": [f"p{index // 2}" for index in range(60)]})
    first, second = (
        split_manifest(manifest(rows), SplitSettings(val=0.3, seed=seed)).table["split"].tolist() for seed in (0, 1)
    )
    assert first != second
    by_image = split_manifest(manifest(rows), SplitSettings(val=0.3, group_by="image")).table
    assert (by_image.groupby("patient_id")["split"].nunique() == 2).any()


def test_equal_patient_ids_in_two_data_sets_are_two_patients() -> None:
    patients = [f"p{index % 20}" for index in range(40)]
    rows = pd.DataFrame({"grade": [0] * 40, "patient_id": patients, "dataset": ["a"] * 20 + ["b"] * 20})
    table = split_manifest(manifest(rows), SplitSettings(val=0.5)).table
    assert (table.groupby("patient_id")["split"].nunique() == 2).any()


def test_a_share_that_whole_groups_can_not_reach_is_far() -> None:
    table = pd.DataFrame({"grade": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], "patient_id": list("aabbccddee")})
    settings_of = SplitSettings(val=0.5)
    share = split_shares(split_manifest(manifest(table), settings_of), settings_of)["val"]
    assert share.asked == 0.5
    assert share.is_far == (abs(share.obtained - 0.5) > 0.1)
    assert share.is_far
    single = manifest(table.drop(columns="patient_id"))
    assert not split_shares(split_manifest(single, settings_of), settings_of)["val"].is_far


@pytest.mark.parametrize(("val", "test"), [(0.0, 0.0), (1.0, 0.0), (0.6, 0.4), (-0.1, 0.0), (0.2, -0.1)])
def test_shares_out_of_range_are_refused(val: float, test: float) -> None:
    with pytest.raises(UsageError, match="together less than 1"):
        split_manifest(manifest(pd.DataFrame({"grade": [0] * 20})), SplitSettings(val=val, test=test))


def test_a_second_test_set_or_too_few_photographs_are_refused() -> None:
    rows = pd.DataFrame({"grade": [0] * 20, "official_split": ["train"] * 10 + ["test"] * 10})
    with pytest.raises(UsageError, match="has an official test set"):
        split_manifest(manifest(rows), SplitSettings(test=0.1))
    with pytest.raises(UsageError, match="too few for a validation share"):
        split_manifest(manifest(pd.DataFrame({"grade": [0, 1, 2]})), SplitSettings())


def test_splits_that_lack_a_grade_are_named() -> None:
    grades, splits = [0, 0, 0, 1, 1, 4, 4], ["train", "val", "test", "train", "val", "test", "test"]
    table = pd.DataFrame({"grade": grades, "split": splits, "official_split": [""] * 6 + ["test"]})
    assert missing_grades(manifest(table)) == {"train": [4], "val": [4], "test": [1]}
    assert missing_grades(manifest(table[:5])) == {"test": [1]}


def test_a_split_is_written_with_its_record(prepared: Path) -> None:
    record = json.loads((prepared / "split.json").read_text())
    require_schema(SplitRecord, record)
    assert record["settings"] == {"val": 0.2, "test": 0.2, "group_by": "patient", "seed": 0, "folds": None, "fold": 0}
    table = Manifest.read(prepared / "manifest.csv").table
    assert (table.groupby("patient_id")["split"].nunique() == 1).all()
    assert sum(record["counts"]["train"].values()) == (table["split"] == "train").sum()
    before = (prepared / "manifest.csv").read_bytes()
    split(prepared, val=0.2, test=0.2, seed=0)
    assert (prepared / "manifest.csv").read_bytes() == before


def separated(table: pd.DataFrame) -> bool:
    """By brute force: whether any two photographs that a chain of patients and copies joins are on different sides."""
    rows = table.to_dict("records")
    reached = {index: {index} for index in range(len(rows))}
    changed = True
    while changed:
        changed = False
        for first, second in itertools.combinations(range(len(rows)), 2):
            if reached[first] is reached[second]:
                continue
            for key in ("patient_id", "sha256"):
                one, other = rows[first][key], rows[second][key]
                if not pd.isna(one) and not pd.isna(other) and one == other:
                    union = reached[first] | reached[second]
                    for member in union:
                        reached[member] = union
                    changed = True
    return any(rows[first]["split"] != rows[second]["split"] for first in reached for second in reached[first])


@settings(deadline=None, max_examples=30)
@given(groups(), st.integers(0, 5), st.integers(2, 4))
def test_folds_separate_no_group(rows: pd.DataFrame, seed: int, folds: int) -> None:
    whole = manifest(rows.drop(columns="official_split"))
    try:
        results = [
            split_manifest(whole, SplitSettings(test=0.2, seed=seed, folds=folds, fold=fold)).table
            for fold in range(folds)
        ]
    except UsageError as error:
        assert "too few" in str(error)  # noqa: PT017 - either outcome is right, depending on the groups drawn
        return
    for fold, table in enumerate(results):
        assert not separated(table)
        pd.testing.assert_series_equal(table["fold"], results[0]["fold"])
        assert ((table["split"] == "val") == (table["fold"] == fold).fillna(False)).all()
        assert (table["fold"].isna() == (table["split"] == "test")).all()
    assert set(results[0]["fold"].dropna()) == set(range(folds))


def test_folds_are_stratified_and_every_photograph_is_validated_once() -> None:
    rows = pd.DataFrame({"grade": np.repeat(np.arange(5), [100, 20, 60, 15, 10])})
    tables = [split_manifest(manifest(rows), SplitSettings(folds=5, fold=fold)).table for fold in range(5)]
    validated = pd.concat([table[table["split"] == "val"] for table in tables])
    assert sorted(validated["image_id"]) == sorted(tables[0]["image_id"])
    for table in tables:
        assert table[table["split"] == "val"]["grade"].value_counts().sort_index().tolist() == [20, 4, 12, 3, 2]
    with pytest.raises(UsageError, match="fold 5 of 5"):
        split_manifest(manifest(rows), SplitSettings(folds=5, fold=5))
    assert "fold" not in split_manifest(Manifest(tables[0], Path()), SplitSettings(val=0.2)).table


def test_each_data_set_is_stratified_by_itself() -> None:
    rows = pd.DataFrame({"grade": [0] * 100 + [1] * 100, "dataset": (["a"] * 50 + ["b"] * 50) * 2})
    counts = split_manifest(manifest(rows), SplitSettings(val=0.2)).table.pivot_table(
        index=["dataset", "grade"], columns="split", values="image_id", aggfunc="count"
    )
    assert counts["val"].tolist() == [10] * 4


def test_an_official_test_set_without_grades_is_set_apart() -> None:
    rows = pd.DataFrame(
        {"grade": [0] * 40 + [None] * 10, "official_split": ["train"] * 40 + ["test"] * 10, "sha256": ["x"] * 50}
    )
    rows.loc[1:39, "sha256"] = [f"{index}" for index in range(39)]
    table = split_manifest(manifest(rows), SplitSettings(val=0.2, test=0.2)).table
    assert table["split"].value_counts().to_dict() == {"train": 24, "val": 8, "test": 8, UNGRADED: 10}
    assert table["split"][40:].eq(UNGRADED).all()


@given(seed=st.integers(0, 1000), folds=st.integers(2, 5), held=st.booleans(), official=st.booleans())
@settings(max_examples=25, deadline=None)
def test_folds_of_a_cross_validation_separate_no_group_and_cover_all(
    seed: int, folds: int, held: bool, official: bool
) -> None:
    rng = np.random.default_rng(seed)
    count = 60
    table = pd.DataFrame(
        {
            "image_id": [f"p{index:03}" for index in range(count)],
            "grade": rng.integers(0, 5, count),
            "patient_id": [f"patient {number}" for number in rng.integers(0, 40, count)],
            "sha256": [f"digest {index if rng.random() < 0.9 else 0}" for index in range(count)],
        }
    )
    if official:
        table["official_split"] = np.where(rng.random(count) < 0.15, "test", "train")
    elif held:
        table["split"] = np.where(rng.random(count) < 0.15, "test", "train")
    whole = manifest(table)
    parts = fold_splits(whole, folds, seed)
    groups = pd.Series(photograph_groups(whole.table))
    validated: list[str] = []
    for number, part in enumerate(parts):
        names = part.table["split"]
        assert part.table["image_id"].equals(whole.table["image_id"])
        assert set(part.table) == {*whole.table, "fold"}
        used = names.isin(["train", "val", "test"])
        assert (names[used].groupby(groups[used]).nunique() == 1).all()
        validated += part.table["image_id"][names == "val"].tolist()
        assert ((names == "val") == (part.table["fold"] == number).fillna(False)).all()
        if official:
            assert names[table["official_split"] == "test"].eq("test").all()
        elif held:
            assert names[table["split"] == "test"].eq("test").all()
    open_ = parts[0].table["split"].isin(["train", "val"])
    assert sorted(validated) == parts[0].table["image_id"][open_].tolist()
    if not (official or held):
        assert len(validated) == count
        expected = split_manifest(whole, SplitSettings(folds=folds, fold=1, seed=seed)).table
        assert expected["split"].equals(parts[1].table["split"])


def test_an_unknown_unit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="patient"):
        split(tmp_path, group_by="eye")  # type: ignore[arg-type]
