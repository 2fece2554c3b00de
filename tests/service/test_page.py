"""The page in a browser: by keyboard, on a phone, on paper, without other servers, and accessible (axe-core)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, ViewportSize, expect, sync_playwright

from retinagrade import Grader
from retinagrade.gradings.table import COLUMNS
from tests.grader.lesion_graders import draw_photograph, write_lesion_grader
from tests.images.encoded_files import encoded
from tests.programs import require_program
from tests.service.served import Served, served

expect.set_options(timeout=30_000)  # a busy machine is slow
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 375, "height": 800}
NAMES = (
    "No diabetic retinopathy",
    "Mild non-proliferative diabetic retinopathy",
    "Moderate non-proliferative diabetic retinopathy",
    "Severe non-proliferative diabetic retinopathy",
    "Proliferative diabetic retinopathy",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = require_program("chromium", "chromium")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        started = playwright.chromium.launch(executable_path=chromium, args=options)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, service: Served) -> Iterator[Page]:
    """The page, which must not contact another server or report an error."""
    context = browser.new_context(viewport=DESKTOP, accept_downloads=True)
    opened = context.new_page()
    problems: list[str] = []

    def requested(request: Request) -> None:
        if not request.url.startswith((service.url, "data:")):
            problems.append(request.url)

    def log(message: ConsoleMessage) -> None:
        if "status of" not in message.text:  # the browser logs every status but 2xx
            problems.append(message.text)

    opened.on("request", requested)
    opened.on("console", log)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(service.url)
    yield opened
    context.close()
    assert problems == []


def upload(page: Page, paths: list[Path]) -> None:
    page.get_by_label("Choose photographs").set_input_files(paths)
    expect(page.locator(".outcome:visible, .error:visible")).to_have_count(len(paths))


def test_photographs_are_graded_side_by_side(page: Page, eyes: list[Path], grader: Grader) -> None:
    expect(page.get_by_role("complementary")).to_contain_text("not a medical device")
    expect(page.get_by_role("complementary")).to_be_in_viewport()
    expect(page.locator("#model")).to_have_text("Model by-colour, version 0123456789ab.")
    expect(page.locator("#operating-point")).to_contain_text("probability 0.40, chosen for a sensitivity of 90 %")
    upload(page, eyes)
    expect(page.get_by_role("status")).to_have_text("6 of 6 photographs graded.")
    expect(page.locator(".patient h3")).to_have_text(["Patient 00000", "Patient 00001", "Patient 00002"])
    first = page.locator(".patient").first
    expect(first.locator("h4")).to_have_text(["Right eye: 00000_right.jpg", "Left eye: 00000_left.jpg"])
    right, left = first.locator("article").all()
    boxes = right.bounding_box(), left.bounding_box()
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["y"] == boxes[1]["y"]
    grading = grader.grade([path for path in eyes if path.name == "00000_right.jpg"])[0]
    expect(right.locator(".grade")).to_have_text(
        f"Grade {grading.predicted_grade}: {NAMES[grading.predicted_grade or 0]}"
    )
    expect(right.locator("td:nth-child(2)")).to_have_text([f"{p:.3f}" for p in grading.probabilities or ()])
    expect(right.locator(".advice")).to_contain_text("operating point 0.40")
    expect(first.locator(".overall")).to_have_text("Refer: right eye, left eye.")
    # The user's own entries take precedence.
    left.get_by_label("Eye").focus()
    left.get_by_label("Eye").select_option("right")
    expect(first.locator("h4")).to_have_text(["Right eye: 00000_left.jpg", "Right eye: 00000_right.jpg"])
    expect(first.locator("article").first.get_by_label("Eye")).to_be_focused()
    page.locator("article").nth(5).get_by_label("Patient").fill("00001")
    page.locator("article").nth(5).get_by_label("Patient").press("Tab")
    expect(page.locator(".patient").nth(1).locator("article")).to_have_count(3)
    expect(page.locator(".patient").nth(1).get_by_role("button").nth(2)).to_be_focused()
    expect(page.get_by_role("complementary")).to_be_in_viewport()


def test_the_slider_lays_the_saliency_map_over_the_photograph(page: Page, eyes: list[Path]) -> None:
    upload(page, eyes[:1])
    slider, overlay = page.get_by_label("Saliency map"), page.locator("img.saliency")
    expect(overlay).to_have_css("opacity", "0")
    before = page.locator(".stack").screenshot()
    slider.focus()
    for _ in range(60):
        slider.press("ArrowRight")
    expect(overlay).to_have_css("opacity", "0.6")
    expect(slider).to_have_attribute("aria-valuetext", "60 %")
    assert page.locator(".stack").screenshot() != before


def test_unusable_photographs_are_reported(page: Page, eyes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad <b>name.jpg").write_bytes(b"\xff\xd8 no photograph")
    upload(page, [eyes[0], tmp_path / "bad <b>name.jpg"])
    expect(page.get_by_role("status")).to_have_text("1 of 2 photographs graded, 1 failed.")
    expect(page.locator(".error:visible")).to_contain_text("bad <b>name.jpg: corrupt JPEG")
    page.get_by_role("button", name="Remove", exact=True).nth(1).click()
    expect(page.locator("article")).to_have_count(1)
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#results")).to_be_hidden()
    expect(page.get_by_label("Choose photographs")).to_be_focused()


def test_results_are_downloaded_and_printed(page: Page, eyes: list[Path], tmp_path: Path, grader: Grader) -> None:
    (tmp_path / 'a "quoted", name.jpg').write_bytes(b"no photograph")
    upload(page, [*eyes[:2], tmp_path / 'a "quoted", name.jpg'])
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(downloaded.value.path().read_text())))
    assert list(rows[0]) == list(COLUMNS)
    for row, expected in zip(rows, grader.grade(eyes[:2]), strict=False):
        assert row["image_id"] == expected.image_id
        assert row["predicted_grade"] == str(expected.predicted_grade)
        assert row["referable"] == str(expected.referable).lower()
        assert row["laterality"] == ("L" if "left" in expected.image_id else "R")
    assert rows[2]["path"] == 'a "quoted", name.jpg'
    assert "not a photograph" in rows[2]["error"]
    page.evaluate("window.print = () => { document.title = 'printed' }")
    page.get_by_role("button", name="Print").click()
    expect(page).to_have_title("printed")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    for hidden in (
        page.get_by_role("button"),
        page.get_by_label("Choose photographs"),
        page.get_by_label("Saliency map"),
    ):
        expect(hidden.filter(visible=True)).to_have_count(0)
    for text in (
        "Research software, not a medical device",
        "Model by-colour, version",
        "Operating point for referral",
        "Printed ",
    ):
        expect(page.get_by_text(text).first).to_be_visible()
    expect(page.locator(".grade:visible")).to_have_count(2)
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_page_fits_and_is_accessible(page: Page, eyes: list[Path], tmp_path: Path, size: ViewportSize) -> None:
    page.set_viewport_size(size)
    (tmp_path / f"{'long' * 30}.jpg").write_bytes(b"no photograph")
    for state in ("empty", "full"):
        if state == "full":
            upload(page, [*eyes[:2], tmp_path / f"{'long' * 30}.jpg"])
            page.get_by_text("About the model").click()
        assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
        articles = "[...document.querySelectorAll('article')].every((each) => each.scrollWidth <= each.clientWidth)"
        assert page.evaluate(articles)
        result = Axe().run(page)
        assert result.violations_count == 0, result.generate_report()


def test_every_control_is_reached_by_keyboard(page: Page, eyes: list[Path]) -> None:
    upload(page, eyes[:1])
    page.locator("body").click(position={"x": 1, "y": 200})
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("[document.activeElement.tagName, document.activeElement.type].join(' ')"))
    assert reached[:4] == ["INPUT file", "BUTTON button", "BUTTON button", "BUTTON button"]
    assert reached[4:] == ["INPUT range", "SELECT select-one", "INPUT text", "BUTTON button", "SUMMARY "]


def test_the_page_asks_for_the_token(browser: Browser, grader_file: Path, eyes: list[Path]) -> None:
    with served(grader_file, RETINAGRADE_TOKEN="secret") as running:
        page = browser.new_page()
        page.goto(running.url)
        expect(page.get_by_role("status")).to_have_text("this service needs its token")
        page.get_by_label("Choose photographs").set_input_files(eyes[0])
        expect(page.locator(".error")).to_have_text("this service needs its token")
        page.get_by_label("token").fill("secret")
        page.get_by_role("button", name="Use this token").click()
        expect(page.locator(".grade")).to_have_text(re.compile("Grade"))
        expect(page.get_by_label("token")).to_be_hidden()
        page.close()


def test_outlines_are_switched_on_and_off_by_kind(browser: Browser, tmp_path: Path) -> None:
    picture, _ = draw_photograph(450, 356)
    noisy = np.clip(picture + np.random.default_rng(0).normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
    (tmp_path / "7_left.png").write_bytes(encoded(noisy, "PNG"))
    with served(write_lesion_grader(tmp_path / "lesions.onnx", 320)) as running:
        page = browser.new_page(viewport=DESKTOP)
        page.goto(running.url)
        upload(page, [tmp_path / "7_left.png"])
        drawn = page.locator("svg.outlines")
        expect(drawn).to_have_attribute("aria-label", re.compile("1 haemorrhage.*1 hard exudate"))
        expect(drawn.locator("g:visible polygon")).to_have_count(2)
        switch = page.get_by_label("haemorrhages (1)")
        switch.focus()
        switch.press("Space")
        expect(drawn.locator("g:visible polygon")).to_have_count(1)
        expect(drawn).to_have_attribute("aria-label", "Outlines of 1 hard exudate")
        expect(page.get_by_label("Saliency map")).to_be_hidden()
        findings = page.get_by_role("list", name="Lesions")
        for text in ("1 haemorrhage: 1 upper right.", "clinical rules", "risk of macular oedema"):
            expect(findings).to_contain_text(text)
        result = Axe().run(page)
        assert result.violations_count == 0, result.generate_report()
        page.close()
