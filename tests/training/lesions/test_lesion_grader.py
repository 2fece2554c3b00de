"""From a cross-validation of lesion networks to a grader file, and the outlines that it draws."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import retinagrade
from retinagrade.cli import app
from retinagrade.errors import ExperimentError, GraderFileError, JoinError, UsageError
from retinagrade.evaluation.lesion_counts import encode_counts, read_counts
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.grader.lesion_files import OutlinesRecord
from retinagrade.images.own_pictures import is_own_picture
from retinagrade.images.read import read_photograph
from retinagrade.lesion_maps.grade_model import GradeModel
from retinagrade.manifest import OEDEMA_RISK, Manifest
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.fit_grades import find_limits, fit_grades, load_grade_model
from retinagrade.runs.lesion_maps import LesionMaps
from retinagrade.runs.run import Run
from retinagrade.storage.locking import locked
from retinagrade.training.cross_validate import cross_validate
from retinagrade.training.lesions.outline import outline
from retinagrade.training.train import train
from tests.folder_contents import file_digests
from tests.grader.graders import write_grader
from tests.schemas import require_schema
from tests.training.lesions.lesion_sets import SIDE, tiny_lesions, write_lesion_set

QUICK = ("training.epochs=1", "crops.an_epoch=8", "training.keep=last")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with a risk of oedema that follows the grade, and without a split."""
    folder = write_lesion_set(tmp_path_factory.mktemp("lesions"), 30)
    file = folder / "manifest.csv"
    table = pd.read_csv(file, dtype=str)
    table[OEDEMA_RISK] = (table["grade"].astype(int) // 2).clip(upper=2).astype(str)
    table["split"] = "train"
    table.to_csv(file, index=False)
    return folder


@pytest.fixture(scope="module")
def folds(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    return cross_validate(prepared, tiny_lesions(*QUICK), tmp_path_factory.mktemp("folds") / "folds", 2, workers=0)


@pytest.fixture(scope="module")
def maps(prepared: Path, folds: CrossValidation, tmp_path_factory: pytest.TempPathFactory) -> LesionMaps:
    return outline(prepared, folds, tmp_path_factory.mktemp("maps") / "maps", workers=0)


@pytest.fixture(scope="module")
def changed(prepared: Path, folds: CrossValidation, tmp_path_factory: pytest.TempPathFactory) -> LesionMaps:
    out = tmp_path_factory.mktemp("changed") / "maps"
    return outline(prepared, folds.folder, out, camera=["colour", "light"], workers=0)


@pytest.fixture(scope="module")
def grades(maps: LesionMaps, changed: LesionMaps, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit_grades([maps, changed], tmp_path_factory.mktemp("grades") / "grades", workers=1)


@pytest.fixture(scope="module")
def grader_file(prepared: Path, grades: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grader")
    run = train(prepared, tiny_lesions(*QUICK), folder / "run", workers=0)
    retinagrade.calibrate(grades, referral="retinopathy-or-oedema")
    return retinagrade.export(run, folder / "lesions.onnx", cross_validation=grades.folder).file


def test_each_photograph_is_outlined_by_the_fold_that_did_not_see_it(
    maps: LesionMaps, folds: CrossValidation, prepared: Path
) -> None:
    record = maps.finished_record()
    assert set(record.photographs) == set(Manifest.read(prepared / "manifest.csv").table["image_id"])
    for number, run in enumerate(folds.runs()):
        trained_on = set(Manifest.read(run.manifest_file).split("train").table["image_id"])
        assert not trained_on & {image_id for image_id, fold in record.photographs.items() if fold == number}
    image_id = next(iter(record.photographs))
    of_photograph = maps.read(image_id, record.kinds)
    assert of_photograph.shape == (4, SIDE, SIDE)
    outside = read_photograph(prepared / "photographs" / f"{image_id}.jpg").max(axis=2) == 0
    assert outside.any()
    assert "30 photographs" in repr(maps)


def test_an_interrupted_call_continues_to_the_same_maps(
    maps: LesionMaps, prepared: Path, folds: CrossValidation, tmp_path: Path
) -> None:
    def interrupt(stage: str, done: int, total: int | None) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outline(prepared, folds, tmp_path / "maps", workers=0, progress=interrupt)
    with pytest.raises(ExperimentError, match="not finished"):
        fit_grades(tmp_path / "maps", tmp_path / "grades")
    result = CliRunner().invoke(app, ["outline", str(prepared), str(folds.folder), "--out", str(tmp_path / "maps")])
    assert result.exit_code == 0, result.output
    kinds = maps.record().kinds
    for image_id in maps.record().photographs:
        np.testing.assert_array_equal(LesionMaps(tmp_path / "maps").read(image_id, kinds), maps.read(image_id, kinds))
    with pytest.raises(UsageError, match="other photographs, networks or cameras"):
        outline(prepared, folds, tmp_path / "maps", camera="cut")


def test_predictions_are_out_of_fold(grades: Run, maps: LesionMaps, prepared: Path, tmp_path: Path) -> None:
    """The predictions of a fold don't depend on its own grades."""
    assert set(grades.grade_model_record().predictions) == {"val", "val-camera-colour-light"}
    table = read_predictions(grades.predictions_file("val"))
    manifest = Manifest.read(prepared / "manifest.csv").table.set_index("image_id")
    assert (manifest["grade"].loc[table["image_id"]].to_numpy() == table["grade"].to_numpy()).all()
    fold = maps.record().photographs
    file = prepared / "manifest.csv"
    before = file.read_text()
    try:
        other = pd.read_csv(file, dtype=str)
        own = other["image_id"].map(fold) == 0
        other.loc[own, "grade"] = other.loc[own, "grade"].map(lambda grade: str(4 - int(grade)))
        other.to_csv(file, index=False)
        both = [maps, LesionMaps(grades.folder / grades.grade_model_record().maps[1])]
        again = read_predictions(fit_grades(both, tmp_path / "again", workers=1).predictions_file("val"))
    finally:
        file.write_text(before)
    probabilities = [f"p{grade}" for grade in range(5)]
    own_rows = table["image_id"].map(fold) == 0
    np.testing.assert_allclose(again.loc[own_rows, probabilities], table.loc[own_rows, probabilities])
    assert not np.allclose(again.loc[~own_rows, probabilities], table.loc[~own_rows, probabilities])


def test_grades_are_fitted_with_and_without_the_dust_of_a_camera(maps: LesionMaps, tmp_path: Path) -> None:
    dusty = LesionMaps(shutil.copytree(maps.folder, maps.folder.parent / "dusty"))
    record = dusty.record()
    place = (slice(SIDE // 2, SIDE // 2 + 4), slice(SIDE // 3, SIDE // 3 + 4))
    for image_id in record.photographs:
        of_photograph = maps.read(image_id, record.kinds).copy()
        of_photograph[record.kinds.index("haemorrhages")][place] = 250
        dusty.write(image_id, of_photograph, record.kinds)
    arguments = ["fit-grades", str(dusty.folder), "--out", str(tmp_path / "grades"), "--workers", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    run = Run(tmp_path / "grades")
    assert run.grade_model_record().marks == 1
    assert "1 mark of the camera" in result.output
    marks = cv2.imread(str(run.marks_file), cv2.IMREAD_GRAYSCALE)
    assert marks is not None
    assert (marks[place] == 255).all()
    assert (marks > 0).mean() < 0.01
    numbers = pd.read_csv(run.folder / "lesion_numbers.csv")
    with_dust = numbers[numbers["predictions"] == "val"].set_index("image_id")
    without = numbers[numbers["predictions"] == "val-without-marks"].set_index("image_id")
    area = "haemorrhages_area_above_0.8"
    assert (with_dust[area] > without[area]).all()
    other = [str(name) for name in numbers if str(name).startswith(("hard_", "soft_"))]
    pd.testing.assert_frame_equal(with_dust[other], without[other])
    assert len(read_predictions(run.predictions_file("val-without-marks"))) == 30
    for image_id in record.photographs:
        dusty.write(image_id, maps.read(image_id, record.kinds), record.kinds)
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert run.grade_model_record().marks == 0
    assert not run.marks_file.exists()
    assert not run.predictions_file("val-without-marks").exists()


def test_a_grade_model_is_evaluated_and_calibrated_like_a_run(grades: Run) -> None:
    evaluation = retinagrade.evaluate(grades.predictions_file("val"), resamples=20)
    assert evaluation.photographs == 30
    assert not [finding for finding in evaluation.findings if "copy" in finding.message]
    text = pd.read_csv(grades.predictions_file("val"))
    assert text["oedema_probability"].between(0, 1).all()
    assert load_grade_model(grades).oedema is not None
    calibration = retinagrade.calibrate(grades)
    assert calibration.oedema is not None
    manifest = Manifest.read(grades.prepared / "manifest.csv").graded().table
    assert calibration.oedema.positives == (pd.to_numeric(manifest[OEDEMA_RISK]) >= 1).sum()
    result = CliRunner().invoke(app, ["evaluate", str(grades.predictions_file("val-camera-colour-light"))])
    assert result.exit_code in (0, 1), result.output


def test_maps_that_do_not_belong_together_are_refused(
    maps: LesionMaps, prepared: Path, folds: CrossValidation, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="same changes of the camera"):
        fit_grades([maps, maps.folder], tmp_path / "a")
    single = outline(prepared, folds.fold(0), tmp_path / "single", workers=0)
    with pytest.raises(ExperimentError, match="single run"):
        fit_grades(single, tmp_path / "b")
    with pytest.raises(ExperimentError, match="no lesion maps"):
        fit_grades(tmp_path / "nothing", tmp_path / "c")


def test_one_call_writes_a_folder_at_a_time(
    maps: LesionMaps, grades: Run, prepared: Path, folds: CrossValidation, tmp_path: Path
) -> None:
    for result, record, write in (
        (maps.folder, "maps.json", lambda out: outline(prepared, folds, out, workers=0)),
        (grades.folder, "run.json", lambda out: fit_grades(maps, out, workers=1, overwrite=True)),
    ):
        for folder in (shutil.copytree(result, result.with_name("copy")), tmp_path / "new"):
            before = file_digests(folder)
            with locked(folder / record), pytest.raises(UsageError, match="another command"):
                write(folder)
            assert file_digests(folder) == before


def test_photographs_that_nobody_knows_are_refused(
    maps: LesionMaps, prepared: Path, folds: CrossValidation, tmp_path: Path
) -> None:
    strange = shutil.copytree(folds.folder, tmp_path / "folds")
    file = CrossValidation(strange).lesion_counts_file
    counts = read_counts(file)
    file.write_bytes(encode_counts(counts | {"stranger": next(iter(counts.values()))}))
    content = file.read_bytes()
    for refuse in (lambda: retinagrade.evaluate_lesions(file), lambda: outline(prepared, strange, tmp_path / "maps")):
        with pytest.raises(JoinError, match="stranger"):
            refuse()
    assert file.read_bytes() == content
    assert not (tmp_path / "maps").exists()


def test_maps_of_photographs_that_the_set_lacks_are_refused(maps: LesionMaps, tmp_path: Path) -> None:
    other = LesionMaps(shutil.copytree(maps.folder, maps.folder.parent / "other"))
    record = other.record()
    other.write_record(record.model_copy(update={"photographs": {**record.photographs, "stranger": 0}}))
    with pytest.raises(ExperimentError, match="stranger"):
        fit_grades(other, tmp_path / "grades", workers=1)
    assert not (tmp_path / "grades").exists()


def test_the_same_maps_give_the_same_model(maps: LesionMaps, changed: LesionMaps, grades: Run, tmp_path: Path) -> None:
    arguments = ["fit-grades", str(maps.folder), str(changed.folder), "--out", str(tmp_path / "g"), "--workers", "1"]
    for _ in range(2):  # the second call replaces its own result
        assert CliRunner().invoke(app, arguments).exit_code == 0
    assert (tmp_path / "g" / "grade_model.json").read_bytes() == grades.grade_model_file.read_bytes()
    different = CliRunner().invoke(app, [*arguments[:2], "--out", str(tmp_path / "g")])
    assert isinstance(different.exception, UsageError)


def test_limits_allow_few_lesions_in_healthy_photographs() -> None:
    rng = np.random.default_rng(0)
    healthy = [{"haemorrhages": rng.random(6).tolist()} for _ in range(100)]
    limit = find_limits(healthy)["haemorrhages"]
    assert sum(max(each["haemorrhages"]) >= limit for each in healthy) <= 10
    worst = [*healthy[:-1], {"haemorrhages": [0.999] * 500}]
    assert find_limits(worst)["haemorrhages"] == pytest.approx(limit, abs=0.01)
    assert find_limits([{"haemorrhages": [0.2]}] * 9)["haemorrhages"] == 0.5


def test_the_grader_file_grades_as_its_parts_do(grader_file: Path, prepared: Path) -> None:
    grader = retinagrade.Grader.load(grader_file)
    lesions = grader.metadata.lesions
    assert lesions is not None
    assert grader.metadata.verification.max_map_difference is not None
    assert GradeModel.model_validate_json(lesions.model.model_dump_json()) == lesions.model
    photographs = sorted((prepared.parent / "source" / "photographs").glob("*.jpg"))[:4]
    for graded in grader.stream(photographs):
        grading = graded.grading
        assert graded.lesions is not None
        if not grading.gradable:
            continue
        assert grading.predicted_grade == np.argmax(grading.probabilities or ())
        assert grading.haemorrhages == sum(grading.haemorrhages_quadrants or ())
        assert grading.rule_grade == graded.lesions.rule.grade
        assert grading.oedema_probability is not None
        oedema = grader.metadata.oedema
        assert oedema is not None
        assert grading.oedema == (grading.oedema_probability >= oedema.threshold)
        assert grading.referable == bool(grading.referral_reasons)
        assert grading.oedema == ("macular oedema" in grading.referral_reasons)
        assert "too small to show microaneurysms" in " ".join(grading.review_reasons)


def test_outlines_are_files_beside_the_table(grader_file: Path, prepared: Path, tmp_path: Path) -> None:
    photographs = prepared.parent / "source" / "photographs"
    arguments = ["grade", str(photographs), "--model", str(grader_file), "--lesions", str(tmp_path / "outlines")]
    for _ in range(2):
        assert CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "r.csv")]).exit_code in (0, 1)
    table = pd.read_csv(tmp_path / "r.csv")
    pictures = sorted((tmp_path / "outlines").glob("*.png"))
    assert [each.stem for each in pictures] == sorted(table["image_id"])
    for picture in pictures:
        assert is_own_picture(picture)
        assert read_photograph(picture).shape == (SIDE, SIDE, 3)
        document = json.loads(picture.with_suffix(".json").read_text())
        require_schema(OutlinesRecord, document)
        row = table.set_index("image_id").loc[picture.stem]
        assert document["digest"] == row["digest"]
        kinds = [each["kind"] for each in document["lesions"]]
        assert kinds.count("haemorrhages") >= row["haemorrhages"]
        width = max(read_photograph(photographs / f"{picture.stem}.jpg").shape[:2])
        points = [point for each in document["lesions"] for point in each["polygon"]]
        assert all(-1 <= value <= width for point in points for value in point)
    (tmp_path / "r.csv").unlink()
    (tmp_path / "outlines" / pictures[0].name).write_bytes(b"somebody's picture")
    refused = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "r.csv")])
    assert isinstance(refused.exception, UsageError)
    assert (tmp_path / "outlines" / pictures[0].name).read_bytes() == b"somebody's picture"


def test_pictures_that_a_file_does_not_make_are_refused(grader_file: Path, prepared: Path, tmp_path: Path) -> None:
    photographs = prepared.parent / "source" / "photographs"
    with pytest.raises(UsageError, match="makes no saliency maps"):
        retinagrade.grade(photographs, model=grader_file, saliency=tmp_path / "maps")
    with pytest.raises(UsageError, match="outlines no lesions"):
        retinagrade.grade(photographs, model=write_grader(tmp_path / "g.onnx"), lesions=tmp_path / "outlines")


def test_such_files_are_in_float32_only(prepared: Path, grades: Run, grader_file: Path, tmp_path: Path) -> None:
    with pytest.raises(GraderFileError, match="--precision"):
        retinagrade.export(
            grader_file.parent / "run", tmp_path / "half.onnx", precision="float16", cross_validation=grades.folder
        )


def test_a_network_that_outlines_lesions_needs_its_grade_model(
    folds: CrossValidation, grades: Run, prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExperimentError, match="grades nothing by itself"):
        retinagrade.export(folds.fold(0), tmp_path / "g.onnx")
    other = train(prepared, tiny_lesions(*QUICK, "training.seed=1"), tmp_path / "other", workers=0)
    with pytest.raises(ExperimentError, match="another experiment"):
        retinagrade.export(other, tmp_path / "g.onnx", cross_validation=grades.folder)
    with pytest.raises(GraderFileError, match="--tta"):
        retinagrade.export(folds.fold(0), tmp_path / "g.onnx", cross_validation=grades.folder, tta=True)


def test_a_network_with_a_fine_stem_grades_like_any_other(prepared: Path, tmp_path: Path) -> None:
    fine = tiny_lesions(*QUICK, "network.fine_stem={stride: 4}")
    folds = cross_validate(prepared, fine, tmp_path / "folds", 2, workers=0)
    maps = outline(prepared, folds, tmp_path / "maps", workers=0)
    grades = fit_grades(maps, tmp_path / "grades", workers=1)
    run = train(prepared, fine, tmp_path / "run", workers=0)
    retinagrade.calibrate(grades)
    file = retinagrade.export(run, tmp_path / "fine.onnx", cross_validation=grades.folder).file
    grader = retinagrade.Grader.load(file)
    photographs = sorted((prepared.parent / "source" / "photographs").glob("*.jpg"))[:3]
    for graded in grader.stream(photographs):
        assert graded.grading.error is None
        assert graded.photograph is not None
        assert graded.photograph.shape == (SIDE, SIDE, 3)
        assert graded.lesions is not None
        assert graded.lesions.mask("haemorrhages").shape == (SIDE, SIDE)
    black = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    assert grader.network(black)["lesions"].shape == (1, 4, SIDE // 2, SIDE // 2)
