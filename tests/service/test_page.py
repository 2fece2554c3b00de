"""The page in a browser: words, viewers, decisions, exports and paper; by keyboard, and accessible (axe-core)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from highdicom.sr import srread
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from retinagrade import Grader
from retinagrade.evaluation.predictions import read_grades
from retinagrade.gate.names import ADVICE
from retinagrade.gradings.grading import Grading
from retinagrade.images.read import read_photograph
from tests.grader.lesion_graders import draw_photograph, write_lesion_grader
from tests.grader.ophthalmic import write_ophthalmic
from tests.images.encoded_files import encoded
from tests.service.browser import DESKTOP, PHONE, launch, opened, upload
from tests.service.served import Served, served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = launch(playwright)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, service: Served) -> Iterator[Page]:
    with opened(browser, service.url) as shown:
        yield shown


@pytest.fixture(scope="module")
def lesion_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(write_lesion_grader(tmp_path_factory.mktemp("grader") / "lesions.onnx", 320)) as running:
        yield running


def draw_eye(path: Path, seed: int = 0) -> Path:
    """Draws a photograph with a haemorrhage and a hard exudate, too noisy for a drawing."""
    picture, _ = draw_photograph(450, 356)
    noisy = picture + np.random.default_rng(seed).normal(0, 3, picture.shape)
    path.write_bytes(encoded(np.clip(noisy, 0, 255).astype(np.uint8), "PNG"))
    return path


def download(page: Page, button: str) -> Path:
    with page.expect_download() as downloaded:
        page.get_by_role("button", name=button, exact=True).click()
    return downloaded.value.path()


def scale_of(page: Page, index: int = 0) -> int:
    """Returns the zoom of a viewer in per cent."""
    return int(page.locator("article .zoom").nth(index).inner_text().strip("\u00a0 %"))


def wait_for_scale(page: Page, index: int = 0, other_than: int = 0) -> int:
    """Waits until a viewer shows its photograph at another zoom, and rests there."""
    before = other_than
    for _ in range(300):
        page.wait_for_timeout(100)
        text = page.locator("article .zoom").nth(index).inner_text()
        if text and (scale := scale_of(page, index)) != other_than:
            if scale == before:
                return scale
            before = scale
    raise AssertionError("the viewer doesn't change")


def test_patients_stand_in_a_list_and_their_eyes_side_by_side(page: Page, eyes: list[Path], grader: Grader) -> None:
    expect(page.get_by_role("complementary")).to_contain_text("not a medical device")
    expect(page.locator("#model")).to_have_text("Grader by-colour 0123456789ab")
    expect(page.locator("#elsewhere")).to_contain_text("not measured on photographs of other clinics")
    upload(page, eyes)
    expect(page.get_by_role("status")).to_contain_text("of 6 photographs graded")
    names = page.locator("#patients strong")
    expect(names).to_have_text(["00000", "00001", "00002"])
    expect(page.get_by_role("heading", level=2)).to_have_text("Patient 00000")
    expect(page.locator("article h3")).to_have_text(["Right eye", "Left eye"])
    boxes = [each.bounding_box() for each in page.locator("article").all()]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["y"] == boxes[1]["y"]
    grading = grader.grade([path for path in eyes if path.name == "00000_right.jpg"])[0]
    right = page.locator("article").first
    shown = [f"{p:.0%}" for p in grading.probabilities or ()]
    assert right.locator(".grades td:last-child").all_inner_texts() == shown
    expect(right.locator("tr.predicted th")).to_contain_text(str(grading.predicted_grade))
    expect(page.locator("#overall")).to_contain_text(re.compile("^Refer.*: right eye and left eye"))
    # The user's own entries take precedence, and the page goes along.
    left = page.locator("article").nth(1)
    left.get_by_text("Eye, patient, date").click()
    left.get_by_label("Patient's id").fill("00001")
    left.get_by_label("Patient's id").press("Tab")
    expect(page.get_by_role("heading", level=2)).to_have_text("Patient 00001")
    expect(page.locator("article")).to_have_count(3)
    expect(names).to_have_count(3)
    page.get_by_role("button", name=re.compile("^R 00000")).click()
    expect(page.locator("article")).to_have_count(1)
    expect(page.locator(".missing")).to_contain_text("No photograph of the left eye")
    page.get_by_label("Choose photographs").set_input_files(eyes[0])  # again
    expect(page.get_by_role("status")).to_contain_text("was left out")


MODEL: dict[str, Any] = {"referable": {"threshold": 0.4}, "oedema": {"threshold": 0.3}}


SAYINGS: list[tuple[dict[str, Any], str, str, str]] = [
    (
        {"predicted_grade": 2, "referable": True, "referral_reasons": ["retinopathy"]},
        "refer",
        "Refer: moderate",
        "0.40 on",
    ),
    (
        {"predicted_grade": 1, "referable": True, "referral_reasons": ["retinopathy"]},
        "refer",
        "can't be ruled out",
        "Taken alone",
    ),
    (
        {"predicted_grade": 0, "referable": True, "referral_reasons": ["macular oedema"]},
        "refer",
        "macular oedema",
        "0.30 on",
    ),
    (
        {"predicted_grade": 2, "referable": False, "review_reasons": ["below the threshold of referral (grade 2)"]},
        "review",
        "A person must decide: perhaps moderate",
        "Do not take this for a healthy eye",
    ),
    (
        {"predicted_grade": 0, "referable": False, "review_reasons": ["uncertain grade"]},
        "review",
        "A person should check",
        "uncertain",
    ),
    ({"predicted_grade": 1, "referable": False}, "routine", "No referral: mild", "only from 0.40"),
    ({"predicted_grade": 2, "referable": None}, "undecided", "A person must decide: moderate", "no threshold"),
    (
        {"predicted_grade": None, "quality_reasons": ["blurred: focus again"]},
        "ungradable",
        "Not gradable: blurred",
        "focus again",
    ),
    ({"predicted_grade": None, "modality": "no fundus"}, "ungradable", "Not a photograph of one fundus", ""),
]


def test_grade_and_advice_say_one_thing(page: Page) -> None:
    blank = Grading("a", "a.jpg", probabilities=(0.3, 0.2, 0.3, 0.1, 0.1), oedema_probability=0.3, confidence=0.3)
    script = "async ([grading, model]) => (await import('/page/verdict.js')).verdict({ result: { grading } }, model)"
    for grading, kind, says, why in SAYINGS:
        full = {**blank.to_json(), "needs_review": bool(grading.get("review_reasons")), **grading}
        said = page.evaluate(script, [full, MODEL])
        assert said["kind"] == kind
        assert says in said["headline"]
        assert why in " ".join(said["why"])


def test_a_saliency_map_has_a_slider_and_a_legend(page: Page, eyes: list[Path]) -> None:
    upload(page, eyes[:1])
    slider = page.get_by_label("Saliency map")
    expect(page.locator("svg.drawing .saliency")).to_have_attribute("opacity", "0")
    slider.focus()
    for _ in range(60):
        slider.press("ArrowRight")
    expect(page.locator("svg.drawing .saliency")).to_have_attribute("opacity", "0.6")
    expect(slider).to_have_attribute("aria-valuetext", "60%")
    expect(page.locator(".legend")).to_have_text("no influencemost influence")
    expect(page.locator(".kinds")).to_be_hidden()


def test_outlines_and_views_are_switched_and_eyes_locked(
    browser: Browser, lesion_service: Served, tmp_path: Path
) -> None:
    with opened(browser, lesion_service.url) as page:
        upload(page, [draw_eye(tmp_path / "7_left.png"), draw_eye(tmp_path / "7_right.png", seed=1)])
        right = page.locator("article").first
        drawn = right.locator("svg.drawing")
        expect(drawn).to_have_attribute("aria-label", re.compile("1 haemorrhage.*1 hard exudate"))
        expect(drawn.locator("polygon:visible")).to_have_count(2)
        switch = right.get_by_label("haemorrhages (1)")
        switch.focus()
        switch.press("Space")
        expect(drawn.locator("polygon:visible")).to_have_count(1)
        expect(drawn).to_have_attribute("aria-label", "Outlines of 1 hard exudate")
        for text in ("Haemorrhages101", "clinical rules", "Risk of macular oedema"):
            expect(right.locator(".found")).to_contain_text(text)
        # By keyboard, in a photograph.
        fitted = wait_for_scale(page)
        canvas = right.get_by_role("application")
        canvas.focus()
        canvas.press("+")
        near = wait_for_scale(page, other_than=fitted)
        assert near > fitted
        assert scale_of(page, 1) == fitted
        for _ in range(2):
            canvas.press("v")
        expect(page.get_by_role("button", name="Contrast")).to_have_attribute("aria-pressed", "true")
        expect(canvas).to_have_attribute("data-view", "contrast")
        canvas.press("o")
        expect(drawn).to_be_hidden()
        # Locked eyes move as mirror images: the photographs are equal but for their noise.
        page.get_by_role("button", name="Lock eyes").click()
        assert wait_for_scale(page, other_than=near) == fitted  # locking begins with whole photographs
        canvas.press("1")
        assert abs(wait_for_scale(page, other_than=fitted) - 100) <= 1
        assert abs(scale_of(page, 1) - 100) <= 1
        canvas.press("ArrowRight")
        for _ in range(50):  # both views move smoothly, and slowly on a busy machine
            page.wait_for_timeout(100)
            boxes = [
                [float(each) for each in (svg.get_attribute("viewBox") or "").split()]
                for svg in page.locator("svg.drawing").all()
            ]
            middles = [box[0] + box[2] / 2 - 0.53 * 450 for box in boxes]
            if middles[0] > 3 and abs(middles[0] + middles[1]) <= 2:
                break
        assert middles[0] > 3
        assert middles[0] == pytest.approx(-middles[1], abs=2)


def test_what_was_removed_comes_back(page: Page, eyes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad <b>name.jpg").write_bytes(b"\xff\xd8 no photograph")
    upload(page, [eyes[0], tmp_path / "bad <b>name.jpg"])
    expect(page.get_by_role("status")).to_have_text("1 of 2 photographs graded, 1 could not be read.")
    page.get_by_role("button", name="bad <b>name.jpg").click()
    expect(page.locator(".verdict")).to_contain_text("bad <b>name.jpg: corrupt JPEG")
    expect(page.locator("article .result:visible, article meter:visible")).to_have_count(0)
    page.get_by_text("Eye, patient, date").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator("#patients li")).to_have_count(1)
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#welcome")).to_be_visible()
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#patients li")).to_have_count(1)
    expect(page.locator("article .decision")).to_be_visible()


def test_decisions_outlive_a_reload_and_are_labels(
    page: Page, eyes: list[Path], grader: Grader, tmp_path: Path
) -> None:
    (tmp_path / 'a "quoted", name.jpg').write_bytes(b"no photograph")
    chosen = [*eyes[:2], tmp_path / 'a "quoted", name.jpg']
    upload(page, chosen)
    graded = {each.image_id: each for each in grader.grade(eyes[:2])}
    page.get_by_label("Reader").fill("=Dr Rossi")
    page.get_by_label("Reader").press("Tab")
    right, left = page.locator("article").all()
    right.get_by_label("Agree").check()
    left.get_by_label("Another grade").check()
    expect(page.locator("#patients .more").first).to_contain_text("1 of 2 decided")  # nobody has named a grade yet
    predicted = graded["00000_left"].predicted_grade
    own = next(each for each in (1, 0) if each != predicted)
    left.get_by_label("Your grade").select_option(str(own))
    left.get_by_label("Note").fill("one, \n two")
    left.get_by_label("Note").press("Tab")
    expect(page.locator("#patients .more").first).to_contain_text("2 of 2 decided")
    table = download(page, "CSV")
    page.reload()
    expect(page.get_by_role("status")).to_contain_text("2 decisions of this tab are kept")
    upload(page, chosen)
    expect(page.locator("article").nth(1).get_by_label("Your grade")).to_have_value(str(own))
    again = download(page, "JSON")
    labels = table.rename(tmp_path / "labels.csv"), again.rename(tmp_path / "labels.jsonl")
    for grades in map(read_grades, labels):
        by_id = grades.set_index("image_id")
        assert by_id.loc["00000_right", "grade"] == graded["00000_right"].predicted_grade
        assert by_id.loc["00000_left", "grade"] == own
        assert by_id["grade"].isna().sum() == 1
        assert (
            "oedema_risk" not in by_id.columns
        )  # labels would have the reader's there, and the table has the program's
        assert by_id.loc["00000_left", "patient_id"] == "00000"
    rows = {row["image_id"]: row for row in csv.DictReader(io.StringIO(labels[0].read_text()))}
    names = {f.name for f in fields(Grading)} - {"probabilities", "oedema_risk"}
    assert names | {"p0", "p4", "predicted_oedema_risk"} <= rows["00000_left"].keys()
    assert rows["00000_left"]["reader"] == "'=Dr Rossi"  # no formula
    assert rows["00000_left"]["reader_note"] == "one, \n two"
    assert float(rows["00000_left"]["p2"]) == (graded["00000_left"].probabilities or ())[2]
    assert "not a photograph" in rows['a "quoted", name']["error"]
    page.locator("article").nth(1).get_by_role("button", name="Clear").click()
    expect(page.locator("#patients .more").first).to_contain_text("1 of 2 decided")


def test_a_name_with_quotation_marks_is_exported_as_the_file_has_it(
    page: Page, eyes: list[Path], tmp_path: Path
) -> None:
    named = tmp_path / f'an "eye"{eyes[0].suffix}'
    named.write_bytes(eyes[0].read_bytes())
    upload(page, [named])
    assert page.locator("[data-tool=outlines]").is_hidden()  # this grader outlines nothing
    (row,) = csv.DictReader(io.StringIO(download(page, "CSV").read_text()))
    assert row["image_id"] == 'an "eye"'


def test_a_reader_may_decide_before_the_program_answers(page: Page, eyes: list[Path], grader: Grader) -> None:
    page.get_by_label("Decide first").check()
    upload(page, eyes[:2])
    predicted = grader.grade([eyes[1]])[0].predicted_grade
    right, left = page.locator("article").all()
    for part in (".grades", ".found", ".map", ".drawing"):
        expect(page.locator(f"article {part}:visible")).to_have_count(0)
    for said in (page.locator("#overall"), page.locator(".said"), right.locator(".headline")):
        expect(said).to_have_text("Decide first")
    expect(right.get_by_label("Agree")).to_be_hidden()
    right.get_by_label("Your grade").select_option(str(predicted))
    expect(right.get_by_label(f"Agree: grade {predicted}")).to_be_checked()
    expect(right.get_by_label(f"Agree: grade {predicted}")).to_be_focused()
    expect(right.locator(".grades")).to_be_visible()
    expect(left.locator(".headline")).to_have_text("Decide first")
    left.get_by_label("Not gradable").check()
    expect(left.locator(".grades")).to_be_visible()
    left.get_by_role("button", name="Clear").click()
    expect(left.locator(".grades")).to_be_visible()  # nobody forgets what they have seen
    left.get_by_label("Agree").check()
    right.get_by_label("Note").fill("a remark changes no decision")
    right.get_by_label("Note").press("Tab")
    rows = list(csv.DictReader(io.StringIO(download(page, "CSV").read_text())))
    assert {row["image_id"]: row["reader_saw_result"] for row in rows} == {"00000_right": "false", "00000_left": "true"}


def test_paper_has_a_page_for_each_patient(page: Page, eyes: list[Path]) -> None:
    upload(page, eyes[:3])
    page.locator("article").first.get_by_label("Agree").check()
    page.evaluate("window.print = () => { document.title = `printed ${document.querySelectorAll('.sheet').length}` }")
    page.get_by_role("button", name="Print", exact=True).click()
    expect(page).to_have_title("printed 1")
    page.get_by_role("button", name="Print all").click()
    expect(page).to_have_title("printed 2")
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True))) == 2
    page.emulate_media(media="print")
    first = page.locator(".sheet").first
    for text in (
        "not a medical device",
        "00000",
        "by-colour 0123456789ab",
        "retinagrade 0",
        "Refer without delay: right eye",
        "agrees",
        "signature",
    ):
        expect(first).to_contain_text(text)
    expect(first.locator("img")).to_have_count(2)
    expect(page.locator(".screen")).to_be_hidden()


def test_a_dicom_report_holds_the_decision(page: Page, eyes: list[Path], tmp_path: Path) -> None:
    path = write_ophthalmic(tmp_path / "a.dcm", read_photograph(eyes[0]), "L")
    upload(page, [path])
    expect(page.get_by_role("heading", level=2)).to_have_text("Patient SECRET-7")
    expect(page.locator("#date")).to_have_text("5 Jan 2026")
    wait_for_scale(page)  # the browser doesn't read DICOM: the service sends the picture
    assert srread(download(page, "DICOM report")).PatientID == "SECRET-7"  # no decision, and so no name, is needed
    page.get_by_label("Not gradable").check()
    page.get_by_role("button", name="DICOM report").click()
    expect(page.get_by_label("Reader")).to_be_focused()
    page.get_by_label("Reader").fill("Rossi^Anna")
    report = srread(download(page, "DICOM report"))
    assert report.PatientID == "SECRET-7"
    assert b"Rossi^Anna" in report.to_json().encode()


def test_photographs_of_several_patients_in_a_study_need_a_person(page: Page, eyes: list[Path], tmp_path: Path) -> None:
    for side, patient in (("L", "SECRET-7"), ("R", "SECRET-8")):
        write_ophthalmic(tmp_path / f"{side}.dcm", read_photograph(eyes[0]), side, PatientID=patient)
    upload(page, sorted(tmp_path.iterdir()))
    expect(page.locator("#patients button")).to_have_count(2)
    for button in page.locator("#patients button").all():
        button.click()
        expect(page.locator("article .verdict .why")).to_contain_text("several patients")
        expect(page.locator("#overall")).not_to_have_attribute("data-kind", "routine")
    page.get_by_role("button", name="DICOM report").click()
    expect(page.get_by_role("status")).to_contain_text("No report")
    assert {row["needs_review"] for row in csv.DictReader(io.StringIO(download(page, "CSV").read_text()))} == {"true"}


def test_an_unreadable_photograph_stands_with_its_patient(page: Page, eyes: list[Path], tmp_path: Path) -> None:
    whole = write_ophthalmic(tmp_path / "1.dcm", read_photograph(eyes[0]), "L")
    other = write_ophthalmic(tmp_path / "2.dcm", read_photograph(eyes[1]), "R", InstanceNumber=2)
    other.write_bytes(other.read_bytes()[:-2000])
    upload(page, [whole, other])
    expect(page.locator("#patients button")).to_have_count(1)
    expect(page.locator("article")).to_have_count(2)
    expect(page.locator("article .verdict").first).to_contain_text("can't be read")


@pytest.mark.parametrize(("size", "locale"), [(DESKTOP, "en-GB"), (PHONE, "it-IT")])
def test_the_page_fits_and_is_accessible(
    browser: Browser, lesion_service: Served, tmp_path: Path, size: ViewportSize, locale: str
) -> None:
    (tmp_path / f"{'long' * 30}.jpg").write_bytes(b"no photograph")
    dark = tmp_path / "7_right.png"
    dark.write_bytes(encoded(np.zeros((356, 450, 3), np.uint8) + draw_photograph(450, 356)[0] // 14, "PNG"))
    with opened(browser, lesion_service.url, viewport=size, locale=locale) as page:

        def check() -> None:
            assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
            result = Axe().run(page)
            assert result.violations_count == 0, result.generate_report()

        check()
        page.locator("#files").set_input_files(
            [draw_eye(tmp_path / "7_left.png"), dark, tmp_path / f"{'long' * 30}.jpg"]
        )
        expect(page.locator(".decision:visible")).to_have_count(2)
        expect(page.locator(".grades:visible")).to_have_count(1)  # the dark photograph has no bars
        page.locator(".decision input").first.check()
        articles = "[...document.querySelectorAll('article')].every((each) => each.scrollWidth <= each.clientWidth)"
        assert page.evaluate(articles)
        check()
        page.locator("#patients button").last.click()
        check()
        page.locator("#about").click()
        check()


def test_every_control_is_reached_by_keyboard(page: Page, eyes: list[Path]) -> None:
    upload(page, eyes[:1])
    wait_for_scale(page)
    page.locator("#about").focus()
    reached = []
    for _ in range(24):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("[document.activeElement.tagName, document.activeElement.id].join(' ')"))
    assert reached[:3] == ["SELECT languages", "INPUT files", "INPUT blind"]
    for control in ("INPUT reader", "BUTTON print-all", "BUTTON clear", "BUTTON print", "SUMMARY ", "DIV ", "INPUT "):
        assert control in reached


def test_the_page_asks_for_the_token(browser: Browser, grader_file: Path, eyes: list[Path]) -> None:
    with served(grader_file, RETINAGRADE_TOKEN="secret") as running, opened(browser, running.url) as page:
        expect(page.get_by_role("status")).to_have_text("This service needs its token.")
        page.get_by_label("Choose photographs").set_input_files(eyes[0])
        verdict, status = page.locator(".verdict"), page.get_by_role("status")
        expect(verdict).to_contain_text("This service needs its token.")
        expect(verdict).to_have_attribute("data-kind", "waiting")  # nothing is wrong with the photograph
        expect(status).to_have_text("This service needs its token.")
        page.get_by_label("token").fill("wrong")
        page.get_by_role("button", name="Use this token").click()
        expect(status).to_contain_text("refused")
        expect(verdict).to_have_attribute("data-kind", "waiting")
        page.get_by_label("token").fill("secret")
        page.get_by_role("button", name="Use this token").click()
        expect(page.locator("article .decision")).to_be_visible()
        expect(page.get_by_label("token")).to_be_hidden()


def test_the_browser_chooses_the_language_and_a_control_switches(
    browser: Browser, service: Served, eyes: list[Path]
) -> None:
    with opened(browser, service.url, locale="it-IT") as page:
        expect(page.get_by_role("complementary")).to_contain_text("non un dispositivo medico")
        assert page.evaluate("document.documentElement.lang") == "it"
        page.locator("#files").set_input_files(eyes[0])
        expect(page.locator("article h3")).to_have_text("Occhio sinistro")
        page.get_by_label("Lingua").select_option("en")
        expect(page.locator("article h3")).to_have_text("Left eye")
        page.reload()
        expect(page.get_by_role("complementary")).to_contain_text("not a medical device")
        # One file for each language: no words but those of the English one, and all reasons of the gate.
        script = """async () => {
          const [en, it] = await Promise.all(["en", "it"].map((code) => import(`/page/languages/${code}.js`)));
          return [en.default, it.default].map((words) => [Object.keys(words), Object.keys(words.advices ?? {})]);
        }"""
        (english, _), (italian, advices) = page.evaluate(script)
        assert sorted(italian) == sorted(set(english) - {"no_javascript"})
        assert sorted(advices) == sorted(ADVICE)


def test_every_word_of_the_page_is_in_the_dictionary() -> None:
    folder = Path(__file__).parents[2] / "src" / "retinagrade" / "service" / "page"
    dictionary = (folder / "languages" / "en.js").read_text().partition("export default")[2]
    words = re.findall(r"^  (\w+): ", dictionary, re.MULTILINE)
    assert len(words) == len(set(words))
    text = "".join(
        path.read_text() for path in folder.glob("*.*") if path.suffix in (".js", ".html") and ".min." not in path.name
    )
    used = re.findall(r"""(?:word|member)\("(\w+)"|data-(?:word|label)="(\w+)\"""", text)
    assert {one or other for one, other in used} <= set(words)
    made = re.compile("language|overall_|eye_|short_|sheet_|card_|view_|why_|refer|borderline|check|routine")
    assert [each for each in words if f'"{each}"' not in text and not made.match(each)] == ["no_javascript"]
