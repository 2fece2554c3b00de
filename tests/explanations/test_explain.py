"""Explanations from end to end: files and ids, several runs, photographs that fail, and the files that are written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from retinagrade.datasets.split import split
from retinagrade.errors import ExperimentError, ImageError, UsageError
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.explanations.explain import explain
from retinagrade.explanations.inputs import RunInputs, list_photographs, unique_names
from retinagrade.explanations.runs import name_runs
from retinagrade.explanations.saliency import saliency_maps
from retinagrade.explanations.saliency_record import ExplanationRecord
from retinagrade.explanations.scores import TARGETS
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.images.read import read_photograph
from retinagrade.manifest import Manifest
from retinagrade.runs.run import Run
from retinagrade.training.checkpoints import load_network
from retinagrade.training.predict import predict
from retinagrade.training.train import train
from tests.schemas import require_schema
from tests.training.tiny_experiments import tiny

NAMES = ("grade-0", "grade-1", "grade-2", "grade-3", "grade-4", "referable")
FILES = {f"{name}{suffix}" for name in NAMES for suffix in (".jpg", ".png", ".npy")}


@pytest.fixture(scope="module")
def runs(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("runs")
    made = [("softmax", "one"), ("ordinal", "two")]
    return [train(prepared, tiny("training.epochs=1", f"network.output={o}"), folder / name) for o, name in made]


@pytest.fixture(scope="module")
def ids(prepared: Path) -> list[str]:
    return Manifest.read(prepared / "manifest.csv").split("test").table["image_id"].tolist()[:2]


def source_file(prepared: Path, image_id: str) -> Path:
    return prepared.parent / "source" / "photographs" / f"{image_id}.jpg"


def test_a_file_and_its_id_give_the_network_the_same_input(
    runs: list[Run], prepared: Path, ids: list[str], tmp_path: Path
) -> None:
    file = source_file(prepared, ids[0])
    shutil.copy(file, tmp_path / "camera.jpg")
    inputs = RunInputs(runs[0], tmp_path / "scratch")
    by_file, by_id = inputs.prepare("camera", str(tmp_path / "camera.jpg")), inputs.prepare(ids[0], ids[0])
    assert torch.equal(by_file.input(48), by_id.input(48))
    assert (by_file.grade, by_file.split) == (by_id.grade, by_id.split)  # known by its bytes
    assert by_id.split == "test"
    assert read_photograph(by_file.file).shape == (96, 144, 3)
    assert read_photograph(by_id.file).shape == (64, 64, 3)


def test_a_split_that_changed_since_training_is_unknown(
    runs: list[Run], prepared: Path, ids: list[str], tmp_path: Path
) -> None:
    shutil.copytree(prepared, tmp_path / "set")
    split(tmp_path / "set", val=0.3, test=0.2, seed=4)
    inputs = RunInputs(Run(runs[0].folder, moved_set=tmp_path / "set"), tmp_path / "scratch")
    known = inputs.prepare(ids[0], ids[0])
    assert known.split is None
    assert known.grade is not None


def test_page_record_overlays_and_maps_are_written(
    runs: list[Run], prepared: Path, ids: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    file = source_file(prepared, ids[1])
    made = explain([ids[0], file, tmp_path / "broken.jpg", "absent"], runs, out)
    assert made.photographs == [ids[0], file.stem]
    assert list(made.failures) == [str(tmp_path / "broken.jpg"), "absent"]
    page = made.page.read_text(encoding="utf-8")
    assert "no evidence" in page
    assert repr(made) == f"Explanation({str(made.page)!r}: gradcam of 2 photographs by 2 runs, 2 failed)"
    assert "broken.jpg" in made._repr_html_()
    assert "not a medical device" in page
    assert "neither a file nor an image_id" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert (out / "networks.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((out / "explanation.json").read_text())
    require_schema(ExplanationRecord, record)
    predictions = read_predictions(predict(prepared, runs[1], split="test").file).set_index("image_id")
    networks = record["photographs"][ids[1]]["networks"]
    expected = predictions.loc[ids[1], list(PROBABILITY_COLUMNS)].astype(float)
    np.testing.assert_allclose(networks["two"]["probabilities"], expected, atol=1e-5)
    for name, size in ((ids[0], (64, 64)), (file.stem, (96, 144))):
        for run in ("one", "two"):
            folder = out / name / run
            assert {path.name for path in folder.iterdir()} == FILES
            overlay = read_photograph(folder / "grade-2.jpg")
            assert overlay.shape[1] == size[1]
            assert overlay.shape[0] > size[0]  # with the colour scale below
            assert read_photograph(folder / "grade-2.png").shape[:2] == size
    pixels = RunInputs(runs[0], tmp_path).prepare("x", ids[0]).input(48)
    saliency = saliency_maps(load_network(runs[0]), pixels, "gradcam", TARGETS)
    np.testing.assert_allclose(np.load(out / ids[0] / "one" / "referable.npy"), saliency[0, 5], rtol=1e-4, atol=1e-7)


def test_every_method_and_a_named_layer(runs: list[Run], ids: list[str], tmp_path: Path) -> None:
    for method in ("gradcam++", "hirescam", "layercam", "integrated-gradients", "occlusion"):
        explain(ids[:1], runs[:1], tmp_path / method, method=method)
        assert np.load(tmp_path / method / ids[0] / "one" / "grade-0.npy").ndim == 2
    explain(ids[:1], runs[0], tmp_path / "layer", layer="blocks.0")
    assert np.load(tmp_path / "layer" / ids[0] / "one" / "grade-0.npy").shape == (46, 46)


def test_figures_for_papers(runs: list[Run], ids: list[str], tmp_path: Path) -> None:
    plain = explain(ids[:1], runs, tmp_path / "plain", plain=True, dpi=300)
    folder = tmp_path / "plain" / ids[0] / "one"
    with Image.open(folder / "grade-2.jpg") as overlay:
        assert overlay.size == (64, 64)  # without the colour scale
        assert overlay.info["dpi"] == (300, 300)
    with Image.open(tmp_path / "plain" / "networks.png") as figure:
        assert round(figure.info["dpi"][0]) == 300
    magma = explain(ids[:1], runs, tmp_path / "magma", format="pdf", cmap="magma", plain=True)
    names = {path.name for path in (tmp_path / "magma" / ids[0] / "one").iterdir()}
    assert names == {name.replace(".jpg", ".pdf") for name in FILES}
    assert (tmp_path / "magma" / "networks.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "magma" / ids[0] / "one" / "grade-2.pdf").read_bytes().startswith(b"%PDF")
    assert magma.page.read_bytes() != plain.page.read_bytes()
    style = json.loads((tmp_path / "magma" / "explanation.json").read_text())["style"]
    assert style == {"cmap": "magma", "plain": True, "format": "pdf", "dpi": 120}


def test_wrong_arguments_are_refused(runs: list[Run], ids: list[str], tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no photograph could be used; the first: absent: neither"):
        explain("absent", runs, tmp_path)
    with pytest.raises(ExperimentError, match=r"no layer 'blocks.9': one of blocks.0, blocks.1"):
        explain(ids, runs[:1], tmp_path, layer="blocks.9")
    with pytest.raises(UsageError, match="one run at a time"):
        explain(ids, runs, tmp_path, layer="blocks.0")
    with pytest.raises(UsageError, match="leave out the layer"):
        explain(ids, runs[0], tmp_path, method="activations", layer="blocks.0")
    with pytest.raises(UsageError, match="draws no overlays"):
        explain(ids, runs[0], tmp_path, method="activations", cmap="magma")
    with pytest.raises(UsageError, match="no colour map 'jett'"):
        explain(ids, runs, tmp_path, cmap="jett")
    with pytest.raises(UsageError, match="no file matches"):
        explain(str(tmp_path / "*.jpg"), runs, tmp_path)
    with pytest.raises(ExperimentError, match="not a run"):
        explain(ids, Run(tmp_path), tmp_path)


def test_a_run_without_its_prepared_set_explains_files(
    runs: list[Run], prepared: Path, ids: list[str], tmp_path: Path
) -> None:
    run = Run(shutil.copytree(runs[0].folder, tmp_path / "moved"))
    record = json.loads(run.record_file.read_text())
    record["data"]["prepared"] = str(tmp_path / "gone")
    run.record_file.write_text(json.dumps(record))
    made = explain([source_file(prepared, ids[0]), ids[1]], run, tmp_path / "out")
    assert made.photographs == [ids[0]]
    assert list(made.failures) == [ids[1]]
    shutil.copytree(prepared, tmp_path / "gone")
    (tmp_path / "gone" / "photographs" / f"{ids[1]}.jpg").unlink()
    assert list(explain(ids, run, tmp_path / "again").failures) == [ids[1]]
    record["data"]["preparation"]["recipe"] = 0
    run.record_file.write_text(json.dumps(record))
    with pytest.raises(ExperimentError, match="recipe 0, and this is 1"):
        explain(source_file(prepared, ids[0]), run, tmp_path / "third")


def test_a_photograph_that_changed_since_it_was_prepared_is_not_explained(
    runs: list[Run], prepared: Path, ids: list[str], tmp_path: Path
) -> None:
    run = Run(shutil.copytree(runs[0].folder, tmp_path / "one" / "two" / "run"))
    folder = shutil.copytree(prepared, run.prepared)
    first, second = (folder / "photographs" / f"{image_id}.jpg" for image_id in ids)
    first.write_bytes(second.read_bytes())
    with pytest.raises(ImageError, match=rf"{first.name} differs"):
        RunInputs(run, tmp_path / "scratch").prepare(ids[0], ids[0])


def test_activations_are_one_page_and_one_picture_per_layer(runs: list[Run], ids: list[str], tmp_path: Path) -> None:
    made = explain(",".join(ids), runs, tmp_path, method="activations")
    page = made.page.read_text(encoding="utf-8")
    assert "not a medical device" in page
    assert page.count("data:image/png") == 2 * 2 * 4
    pictures = sorted(path.name for path in (tmp_path / ids[0] / "one").iterdir())
    assert pictures == ["001-blocks.0.png", "002-blocks.1.png", "003-blocks.3.png", "004-blocks.4.png"]


def test_files_with_the_same_name_get_different_names(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "left.jpg").touch()
    left, right = str(tmp_path / "a" / "left.jpg"), str(tmp_path / "b" / "left.jpg")
    assert unique_names([left, right, left, "an-id"]) == {"left": left, "left-2": right, "an-id": "an-id"}


def test_photographs_are_files_folders_patterns_and_ids(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "notes.txt", "c,d.jpg"):
        (tmp_path / name).touch()
    a, b, comma = (str(tmp_path / name) for name in ("a.png", "b.jpg", "c,d.jpg"))
    assert list_photographs(tmp_path)[0] == [a, b, comma]
    assert list_photographs(str(tmp_path / "*.jpg"))[0] == [b, comma]
    assert list_photographs(comma)[0] == [comma]
    assert list_photographs("1_left, 1_right")[0] == ["1_left", "1_right"]
    assert list_photographs([a, "1_left"])[0] == [a, "1_left"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="without photographs"):
        list_photographs(tmp_path / "empty")


def test_members_and_folds_are_named_once(runs: list[Run]) -> None:
    assert name_runs([runs[0], runs[1].folder, str(runs[0].folder)]) == {"one": runs[0], "two": runs[1]}
    assert name_runs(runs[0]) == {"one": runs[0]}


def test_other_files_of_a_folder_are_named(runs: list[Run], prepared: Path, ids: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "nested").mkdir(parents=True)
    shutil.copy(source_file(prepared, ids[0]), folder / "nested" / "a.jfif")
    (folder / "notes.txt").write_bytes(b"text")
    made = explain(folder, runs[:1], tmp_path / "out")
    assert made.photographs == ["a"]
    assert [Path(each.file).name for each in made.left_out] == ["notes.txt"]
    assert not made.needs_attention
    (folder / "b.dcm.gz").write_bytes(b"\x1f\x8b")
    assert explain(folder, runs[:1], tmp_path / "out").needs_attention
