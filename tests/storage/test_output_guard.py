"""The guard of outputs: no output among the inputs, and no result replaced by another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retinagrade.errors import UsageError
from retinagrade.storage.files import write_json, write_text
from retinagrade.storage.output_guard import (
    Output,
    describe_origin,
    file_output,
    folder_output,
    guard_outputs,
    write_origin,
)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    write_text(tmp_path / "p" / "deep" / "7_left.jpg", "photograph")
    return tmp_path / "p"


def refusal(output: Output, *inputs: Path, overwrite: bool = True) -> str:
    with pytest.raises(UsageError) as refused:
        guard_outputs([output], inputs, overwrite)
    return str(refused.value)


def folder(path: Path) -> Output:
    return Output(path, True)


def file(path: Path) -> Output:
    return Output(path, False)


def test_an_output_is_apart_from_the_inputs(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photograph = photographs / "deep" / "7_left.jpg"
    beside = photographs.parent / "results"
    guard_outputs([folder(beside), file(photographs.parent / "r.csv")], [photographs, photograph])
    guard_outputs([file(photographs / "deep" / "r.csv")], [photograph])
    assert "is an input" in refusal(file(photograph), photograph)
    assert "holds" in refusal(folder(photographs), photograph)
    assert "holds" in refusal(folder(photographs.parent), photographs)
    assert "lies in" in refusal(file(photographs / "new" / "r.csv"), photographs)
    monkeypatch.chdir(photographs / "deep")
    assert "holds" in refusal(folder(Path()), Path("7_left.jpg"))
    assert "lies in" in refusal(file(Path("r.csv")), Path("..", "..", "p"))


def test_links_hide_nothing(photographs: Path) -> None:
    photograph, root = photographs / "deep" / "7_left.jpg", photographs.parent
    (root / "linked").symlink_to(photographs)
    (root / "linked.jpg").symlink_to(photograph)
    (root / "hard.jpg").hardlink_to(photograph)
    assert "is an input" in refusal(file(root / "linked.jpg"), photograph)
    assert "is an input" in refusal(file(root / "hard.jpg"), photograph)
    assert "is an input" in refusal(folder(root / "linked"), photographs)
    assert "lies in" in refusal(file(root / "linked" / "r.csv"), photographs)
    assert "holds" in refusal(folder(root / "linked"), photograph)
    assert "holds" in refusal(folder(photographs), root / "linked" / "deep" / "7_left.jpg")


def test_a_usual_place_in_an_input_is_allowed(tmp_path: Path) -> None:
    write_text(tmp_path / "run" / "experiment.yaml", "")
    place = tmp_path / "run" / "predictions"
    guard_outputs([Output(place / "test.csv", False, inside=place)], [tmp_path / "run"])
    assert "lies in" in refusal(Output(tmp_path / "run" / "test.csv", False, inside=place), tmp_path / "run")


def test_only_an_earlier_result_of_the_same_inputs_is_replaced(tmp_path: Path) -> None:
    one, other, out = tmp_path / "one.csv", tmp_path / "other.csv", tmp_path / "out"
    for path in (one, other):
        write_text(path, "table")
    write_json(out / "run.json", describe_origin("evaluate", [one], out))
    guard_outputs([folder_output(out, "evaluate", [one])], [one])
    assert "not empty" in refusal(folder_output(out, "evaluate", [other]), other, overwrite=False)
    assert "not empty" in refusal(folder_output(out, "evaluate", [one, other]), other, overwrite=False)
    assert "not empty" in refusal(folder_output(out, "lesions", [one]), one, overwrite=False)
    guard_outputs([folder_output(out, "evaluate", [other])], [other], overwrite=True)
    result = tmp_path / "result.csv"
    write_text(result, "somebody's table")
    assert "exists" in refusal(file_output(result, "predict", [one]), one, overwrite=False)
    write_origin(result, "predict", [one])
    guard_outputs([file_output(result, "predict", [one])], [one])


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"origin": 3}', '{"origin": {"command": "evaluate"}}', "[" * 9999])
def test_a_damaged_record_is_no_origin(tmp_path: Path, record: str) -> None:
    write_text(tmp_path / "out" / "run.json", record)
    assert "not empty" in refusal(folder_output(tmp_path / "out", "evaluate", [tmp_path]), overwrite=False)


def test_an_origin_moves_with_its_inputs(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "table.csv", "table")
    out = tmp_path / "a" / "out"
    write_json(out / "run.json", describe_origin("evaluate", [tmp_path / "a" / "table.csv"], out))
    (tmp_path / "a").rename(tmp_path / "b")
    table, moved = tmp_path / "b" / "table.csv", tmp_path / "b" / "out"
    guard_outputs([folder_output(moved, "evaluate", [table])], [table])


def test_the_kind_of_a_place_is_found_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert "is a folder" in refusal(file(tmp_path / "folder"))
    assert "is a file" in refusal(folder(tmp_path / "file"))
    assert "is a file" in refusal(folder(tmp_path / "file" / "below" / "it"))
    assert "is a file" in refusal(file(tmp_path / "file" / "r.csv"))
    assert "no regular file" in refusal(file(Path(os.devnull)))
    assert "two outputs" in _both(tmp_path)


def _both(tmp_path: Path) -> str:
    with pytest.raises(UsageError) as refused:
        guard_outputs([file(tmp_path / "r.csv"), file(tmp_path / "x" / ".." / "r.csv")], [])
    return str(refused.value)
