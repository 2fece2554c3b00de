"""``retinagrade explain``, in processes of its own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.cli.command_line import TINY, run


def test_explain(prepared: Path, tmp_path: Path) -> None:
    overrides = [word for override in [*TINY, "training.epochs=1"] for word in ("--set", override)]
    run("train", prepared, "scratch-2", "--out", tmp_path / "run", *overrides)
    image_id = pd.read_csv(prepared / "manifest.csv")["image_id"][0]
    out = tmp_path / "out"
    explained = ("explain", image_id, tmp_path / "run", "--out", out)
    assert "1 photograph" in run(*explained)
    assert "not a medical device" in (out / "explanation.html").read_text(encoding="utf-8")
    printed = run(
        "explain", f"{image_id},absent.jpg", tmp_path / "run", "--method", "hirescam", "--out", tmp_path / "b", code=1
    )
    assert "absent.jpg: neither a file nor an image_id" in printed
    run("explain", image_id, tmp_path / "run", "--method", "activations", "--out", tmp_path / "c")
    assert (tmp_path / "c" / "activations.html").is_file()
    assert "no photograph could be used" in run("explain", "absent", tmp_path / "run", "--out", tmp_path / "d", code=2)
    assert "occlusion" in run(*explained, "--method", "saliency", code=2)
    assert "one of blocks.0" in run(*explained, "--layer", "x", code=2)
    (tmp_path / "empty").mkdir()
    assert "is not a run" in run("explain", image_id, tmp_path / "empty", "--out", tmp_path / "e", code=2)
