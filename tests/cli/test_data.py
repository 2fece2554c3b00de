"""``retinagrade data``, ``prepare`` and ``split``, in processes of their own."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tests.cli.command_line import run
from tests.datasets.layouts import write_folders, write_photograph


def test_prepare_names_unusable_photographs_and_exits_with_1(tmp_path: Path) -> None:
    write_folders(tmp_path / "source", ["No_DR", "Mild"])
    (tmp_path / "source" / "Mild" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    printed = run("prepare", tmp_path / "source", "--out", tmp_path / "prepared", code=1)
    assert "4 of 5 photographs" in printed
    assert "broken" in printed
    answer = json.loads(run("prepare", tmp_path / "source", "--out", tmp_path / "prepared", "--json", code=1))
    assert answer["reused"] == 4
    assert [failure["image_id"] for failure in answer["failed"]] == ["broken"]


def write_difficult_files(folder: Path) -> int:
    """Writes labelled files with every kind of damage and odd names; returns their number."""
    good = write_photograph(folder / "good.jpg", size=200).read_bytes()
    photograph = Image.open(io.BytesIO(good))
    exif = Image.Exif()
    exif[0x0112] = 8
    buffers = {name: io.BytesIO() for name in ("png.jpg", "cmyk.jpg", "turned.jpg", "deep.png", "one.png")}
    photograph.save(buffers["png.jpg"], "PNG")
    photograph.convert("CMYK").save(buffers["cmyk.jpg"], "JPEG")
    photograph.save(buffers["turned.jpg"], "JPEG", exif=exif)
    Image.fromarray(np.asarray(photograph.convert("L")).astype(np.uint16) * 257).save(buffers["deep.png"], "PNG")
    Image.new("RGB", (1, 1)).save(buffers["one.png"], "PNG")
    files = {name: buffer.getvalue() for name, buffer in buffers.items()}
    files |= {f"cut {share}.jpg": good[: len(good) * share // 100] for share in (1, 5, 20, 50, 80, 95, 99)}
    files |= {"zeros.jpg": bytes(4000), "empty.jpg": b"", "text.jpg": b"not a photograph"}
    files |= {"pointer.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"}
    bomb = good.index(b"\xff\xc0")
    files |= {"bomb.jpg": good[: bomb + 5] + b"\xff\x00\xff\x00" + good[bomb + 9 :]}
    files |= dict.fromkeys(("a space.jpg", "a 'quote'.jpg", "new\nline.jpg", "глаз.jpg", "眼底.jpg"), good)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    table = pd.DataFrame({"path": sorted(["good.jpg", *files])}).assign(grade=0)
    table["image_id"] = [f"photograph {index}" for index in range(len(table))]
    table.to_csv(folder / "labels.csv", index=False)
    return len(table)


def test_every_difficult_file_gets_an_outcome(tmp_path: Path) -> None:
    count = write_difficult_files(tmp_path / "source")
    answer = json.loads(run("prepare", tmp_path / "source", "--out", tmp_path / "set", "--size", 64, "--json", code=1))
    assert answer["prepared"] + len(answer["failed"]) == count
    assert len(answer["failed"]) == 13
    assert all(failure["reason"] for failure in answer["failed"])
    check = json.loads(run("data", "check", tmp_path / "source", "--out", tmp_path / "check", "--json", code=1))
    assert check["files"] == count
    assert check["counts"]["unusable"] == 13
    assert len(pd.read_csv(tmp_path / "check" / "files.csv")) == count
    assert "bomb.jpg" in run("data", "check", tmp_path / "source", "--out", tmp_path / "check", "--fix", code=1)
    left_out = pd.read_csv(tmp_path / "check" / "left_out.csv")
    assert (left_out["kind"] == "unusable").sum() == 13


def test_check_explains_wrong_usage(tmp_path: Path) -> None:
    write_folders(tmp_path / "source", ["0", "1"])
    assert "--out" in run("data", "check", tmp_path / "source", "--fix", code=2)
    assert "quality='bad'" in run("data", "check", tmp_path / "source", "--quality", "bad", code=2)
    assert "no such file" in run("data", "check", tmp_path / "absent", code=2)
    (tmp_path / "plain").mkdir()
    write_photograph(tmp_path / "plain" / "a.jpg", size=200)
    assert "no known layout" in run("data", "check", tmp_path / "plain", "--quality", 0)


def test_a_file_in_the_place_of_a_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    printed = run("data", "synthesize", "--out", tmp_path / "file" / "folder", "--count", 2, "--size", 64, code=2)
    assert str(tmp_path / "file") in printed
    assert "choose another" in printed


def test_split_refuses_a_fold_without_folds(tmp_path: Path) -> None:
    assert "--folds" in run("split", tmp_path, "--fold", 1, code=2)


def test_split_names_the_grades_that_a_split_lacks(tmp_path: Path) -> None:
    run("data", "synthesize", "--out", tmp_path / "source", "--count", 12, "--size", 64)
    run("prepare", tmp_path / "source", "--out", tmp_path / "set", "--size", 32)
    assert "has no photograph of grade" in run("split", tmp_path / "set", "--val", 0.3, code=1)


def test_split_makes_folds(tmp_path: Path) -> None:
    run("data", "synthesize", "--out", tmp_path / "source", "--count", 40, "--size", 64)
    run("prepare", tmp_path / "source", "--out", tmp_path / "set", "--size", 64, "--graham", "--square", "crop")
    printed = run("split", tmp_path / "set", "--folds", 4, "--fold", 3)
    assert {"train", "val"} <= set(printed.replace("│", " ").split())
    table = pd.read_csv(tmp_path / "set" / "manifest.csv")
    assert set(table["fold"]) == {0, 1, 2, 3}
    assert ((table["split"] == "val") == (table["fold"] == 3)).all()
    assert "--clahe and --graham" in run(
        "prepare", tmp_path / "source", "--out", tmp_path / "s", "--graham", "--clahe", code=2
    )


def test_grades_of_folder_names_can_be_given(tmp_path: Path) -> None:
    write_folders(tmp_path / "source", ["healthy", "bad"])
    assert "its name is no known grade" in run(
        "prepare", tmp_path / "source", "--out", tmp_path / "p", "--layout", "folders", code=2
    )
    run("prepare", tmp_path / "source", "--out", tmp_path / "p", "--grade-names", "healthy=0, BAD=4")
    assert "--grade-names 'bad=9'" in run(
        "prepare", tmp_path / "source", "--out", tmp_path / "q", "--grade-names", "healthy=0,bad=9", code=2
    )
