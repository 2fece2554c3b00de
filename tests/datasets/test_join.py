"""Joined sets: ids, patients and splits of each data set, and no photograph on two sides."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import pandas as pd
import pytest

from retinagrade.datasets.join import join
from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.prepared_set import PreparedSet, require_prepared_bytes
from retinagrade.datasets.split import split
from retinagrade.datasets.stratification import photograph_groups
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.errors import LayoutError, UsageError
from retinagrade.manifest import Manifest
from tests.cli.command_line import run as command


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two sets of 12 photographs. Four photographs of the first are in the second as well, encoded anew."""
    folder = tmp_path_factory.mktemp("sets")
    for seed, name in enumerate(("north", "south")):
        synthesize(folder / name / "source", count=12, size=96, seed=seed + 3)
    labels = folder / "south" / "source" / "labels.csv"
    table, other = pd.read_csv(labels), pd.read_csv(folder / "north" / "source" / "labels.csv")
    for row in range(4):
        photograph = cv2.imread(str(folder / "north" / "source" / other["path"][row]))
        assert photograph is not None
        assert cv2.imwrite(
            str(folder / "south" / "source" / table["path"][row]), photograph, [cv2.IMWRITE_JPEG_QUALITY, 80]
        )
    for name in ("north", "south"):
        prepare(folder / name / "source", folder / name / "set", size=64, workers=1)
    split(folder / "north" / "set", val=0.3, test=0.3, seed=1)
    split(folder / "south" / "set", val=0.3, seed=2)
    return {name: folder / name / "set" for name in ("north", "south")}


def test_ids_patients_and_splits_come_from_the_sets(sets: dict[str, Path], tmp_path: Path) -> None:
    joined = join(sets, tmp_path / "joined", workers=1)
    parts = {name: PreparedSet(folder).manifest.table for name, folder in sets.items()}
    table = joined.manifest.table.set_index("image_id")
    assert len(joined) == 24
    for name, part in parts.items():
        own = table[table["dataset"] == name]
        assert list(own.index) == [f"{name}/{image_id}" for image_id in part["image_id"]]
        assert own["patient_id"].tolist() == [f"{name}/{patient}" for patient in part["patient_id"]]
        for column in ("grade", "laterality", "sha256"):
            assert own[column].tolist() == part[column].tolist()
        kept = own["split"].ne("excluded").to_numpy()
        assert own["split"][kept].tolist() == part["split"][kept].tolist()
    require_prepared_bytes(joined.folder, joined.manifest.table["image_id"])
    for image_id, path in zip(joined.manifest.table["image_id"], joined.manifest.table["path"], strict=True):
        name, _, own_id = str(image_id).partition("/")
        original = sets[name] / "photographs" / f"{own_id}.jpg"
        assert joined.manifest.file(str(path)).read_bytes() == original.read_bytes()
        assert original.stat().st_mode == joined.manifest.file(str(path)).stat().st_mode


def test_copies_in_two_sets_are_on_one_side(sets: dict[str, Path], tmp_path: Path) -> None:
    table = join(sets, tmp_path / "joined", workers=1).manifest.table
    copies = table[table["same_eye"].notna()].groupby("same_eye")["dataset"].nunique()
    assert (copies == 2).sum() >= 4
    used = table[table["split"].isin(["train", "val", "test"])].reset_index(drop=True)
    sides = used.groupby(photograph_groups(used))["split"].nunique()
    assert (sides == 1).all()
    assert table["split"].eq("excluded").any()
    again = split(tmp_path / "joined", val=0.3, seed=5).manifest.table
    assert (again.groupby(photograph_groups(again))["split"].nunique() == 1).all()


def test_the_stricter_side_keeps_a_photograph(sets: dict[str, Path], tmp_path: Path) -> None:
    folders = {name: shutil.copytree(folder, tmp_path / name) for name, folder in sets.items()}
    for name, side in (("north", "test"), ("south", "train")):
        manifest = Manifest.read(folders[name] / "manifest.csv")
        Manifest(manifest.table.assign(split=side), manifest.root).write(folders[name] / "manifest.csv")
    table = join(folders, tmp_path / "joined", workers=1).manifest.table
    assert table[table["dataset"] == "north"]["split"].eq("test").all()
    south = table[table["dataset"] == "south"]
    assert set(south["split"]) == {"train", "excluded"}
    assert south[south["split"] == "train"]["same_eye"].isna().all()


def test_a_joined_set_is_made_again_after_a_change_and_never_overwrites(sets: dict[str, Path], tmp_path: Path) -> None:
    folders = {name: shutil.copytree(folder, tmp_path / name) for name, folder in sets.items()}
    before = join(folders, tmp_path / "joined", workers=1).manifest.table
    split(folders["south"], val=0.5, seed=9)
    after = join(folders, tmp_path / "joined", workers=1).manifest.table
    assert before["split"].tolist() != after["split"].tolist()
    with pytest.raises(UsageError, match="no earlier result"):
        join({"north": folders["north"], "south": sets["south"]}, tmp_path / "joined", workers=1)
    with pytest.raises(UsageError):
        join(folders, folders["north"], workers=1)


def test_a_joined_set_keeps_its_names(sets: dict[str, Path], tmp_path: Path) -> None:
    joined = join(sets, tmp_path / "joined", workers=1)
    before = joined.manifest.table["image_id"].tolist()
    for names in (["nord", "south"], ["south", "north"]):
        renamed = dict(zip(names, sets.values(), strict=True))
        with pytest.raises(UsageError, match="north, south"):
            join(renamed, joined.folder, workers=1)
        assert PreparedSet(joined.folder).manifest.table["image_id"].tolist() == before
    after = join({"a": sets["north"], "b": sets["south"]}, joined.folder, workers=1, overwrite=True)
    assert after.manifest.table["dataset"].unique().tolist() == ["a", "b"]


def test_sets_that_do_not_fit_are_refused(sets: dict[str, Path], prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least two"):
        join([sets["north"]], tmp_path / "joined")
    with pytest.raises(UsageError, match="both have the name synthetic"):
        join(list(sets.values()), tmp_path / "joined")
    with pytest.raises(UsageError, match="can't name a data set"):
        join({"a/b": sets["north"], "c": sets["south"]}, tmp_path / "joined")
    with pytest.raises(LayoutError):
        join({"a": sets["north"], "b": tmp_path / "nothing"}, tmp_path / "joined")
    prepare(sets["south"].parent / "source", tmp_path / "small", size=48, workers=1)
    with pytest.raises(UsageError, match="same settings"):
        join({"a": sets["north"], "b": tmp_path / "small"}, tmp_path / "joined")
    prepare(sets["south"].parent / "source", tmp_path / "unsplit", size=64, workers=1)
    with pytest.raises(UsageError, match=r"retinagrade split .*unsplit"):
        join({"a": sets["north"], "b": tmp_path / "unsplit"}, tmp_path / "joined")


def test_the_command_joins_named_sets(sets: dict[str, Path], tmp_path: Path) -> None:
    named = [f"{name}={folder}" for name, folder in sets.items()]
    printed = command("data", "join", *named, "--out", tmp_path / "joined", "--workers", 1)
    assert "north" in printed
    assert "excluded" in printed
    origin = json.loads((tmp_path / "joined" / "prepare.json").read_text())["origin"]
    assert origin["command"] == "data join"
    assert "both have the name synthetic" in command("data", "join", *sets.values(), "--out", tmp_path / "x", code=2)
    twice = [f"one={folder}" for folder in sets.values()]
    assert "two sets have one name" in command("data", "join", *twice, "--out", tmp_path / "x", code=2)
    assert "for all sets, or for none" in command(
        "data", "join", named[0], sets["south"], "--out", tmp_path / "x", code=2
    )
