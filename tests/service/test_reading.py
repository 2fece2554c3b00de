"""A reader's session from beginning to end: made-up patients, the bundled grader, and the service as it is served."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect, sync_playwright

import retinagrade
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.evaluation.predictions import read_grades
from retinagrade.grader.metadata import BUNDLED
from retinagrade.images.read import read_photograph
from tests.grader.ophthalmic import write_ophthalmic
from tests.images.encoded_files import encoded
from tests.service.browser import PHONE, drop, launch, opened
from tests.service.served import served

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients, one of them with a DICOM file and a photograph that shows nothing, and a letter."""
    made = tmp_path_factory.mktemp("made") / "eyes"
    synthesize(made, count=4, size=1024, seed=5, workers=1)
    names = sorted((made / "photographs").iterdir())
    chosen = tmp_path_factory.mktemp("chosen")
    for path in names[:2]:
        shutil.copy(path, chosen / path.name)
    left, right = map(read_photograph, names[2:])
    write_ophthalmic(chosen / "right.dcm", right, "R", PatientID="MRN-1")
    write_ophthalmic(chosen / "left.dcm", left, "L", PatientID="MRN-1", InstanceNumber=2)
    (chosen / "MRN-1_OS.png").write_bytes(encoded((left // 10).astype(np.uint8), "PNG"))
    letter = np.full((900, 1200, 3), 245, np.uint8)
    for line in range(80, 860, 30):
        cv2.putText(letter, "dear colleague, thank you", (60, line), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (30, 30, 30), 1)
    (chosen / "letter.png").write_bytes(encoded(letter, "PNG"))
    return chosen


def read_scales(page: Page) -> list[int]:
    page.wait_for_timeout(1500)  # the viewers come to rest
    return [int(each.strip("%")) for each in page.locator("article .zoom").all_inner_texts()]


def test_a_reader_goes_through_two_patients(folder: Path, tmp_path: Path) -> None:
    paths = sorted(folder.iterdir())
    with sync_playwright() as playwright, served(BUNDLED) as service:
        browser = launch(playwright)
        with opened(browser, service.url) as page:
            drop(page, paths)
            expect(page.locator("#patients strong")).to_have_text(["00000", "MRN-1", "Patient unknown (letter.png)"])
            page.locator("#patients button").nth(0).click()
            # Zoom, with the eyes locked.
            expect(page.locator("article .zoom", has_text="%")).to_have_count(2)
            before = read_scales(page)
            page.get_by_role("button", name="Lock eyes").click()
            page.locator("article").first.get_by_role("application").hover()
            page.mouse.wheel(0, -400)
            after = read_scales(page)
            assert all(new > old for new, old in zip(after, before, strict=True))
            page.mouse.down()
            page.mouse.move(500, 500, steps=5)
            page.mouse.up()
            # Lesions by kind.
            drawings = page.locator("svg.drawing")
            switch = page.get_by_label(re.compile(r"microaneurysms \([1-9]"))
            shown = drawings.locator("g:not([hidden]) polygon").count()
            switch.first.uncheck()
            assert drawings.locator("g:not([hidden]) polygon").count() < shown
            # Disagree with one grade, agree with another, and find one photograph not gradable.
            page.get_by_label("Reader").fill("Rossi^Anna")
            first, second = page.locator("article").all()
            first.get_by_label("Another grade").check()
            choice = first.get_by_label("Your grade")
            own = int(str(choice.locator("option:not([disabled])").nth(1).get_attribute("value")))
            choice.select_option(str(own))
            first.get_by_label("Note").fill("no haemorrhage, a vessel")
            first.get_by_label("Note").press("Tab")
            second.get_by_label("Agree").check()
            page.get_by_role("button", name=re.compile("MRN-1")).click()
            dark = page.locator("article", has_text="MRN-1_OS.png")
            expect(dark.locator(".headline")).to_contain_text("Not")
            expect(dark.locator("meter:visible, polygon")).to_have_count(0)
            dark.get_by_label("Agree: not gradable").check()
            page.locator("article", has_text="right.dcm").get_by_label("Agree").check()
            page.locator("article", has_text="left.dcm").get_by_label("Agree").check()
            # Paper, and exports.
            pdf = page.pdf(prefer_css_page_size=True)
            assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 3
            exported = []
            for button in ("CSV", "JSON"):
                with page.expect_download() as downloaded:
                    page.get_by_role("button", name=button, exact=True).click()
                exported.append(tmp_path / downloaded.value.suggested_filename)
                downloaded.value.save_as(exported[-1])
            with page.expect_download() as downloaded:
                page.get_by_role("button", name="DICOM report").click()
            assert b"Rossi^Anna" in downloaded.value.path().read_bytes()
            # Load the page again: the decisions are still there.
            page.reload()
            expect(page.get_by_role("status")).to_contain_text("5 decisions of this tab are kept")
            drop(page, paths)
            page.locator("#patients button").nth(0).click()
            expect(page.locator("article").first.get_by_label("Note")).to_have_value("no haemorrhage, a vessel")
        with opened(browser, service.url, viewport=PHONE, has_touch=True, is_mobile=True) as page:
            page.locator("#files").set_input_files(folder / "00000_right.jpg")
            expect(page.locator("article .decision")).to_be_visible()
            page.locator("[data-tool=in]").tap()
            page.locator(".choice").nth(2).tap()
            expect(page.get_by_label("Not gradable")).to_be_checked()
        browser.close()
    for table in exported:
        grades = read_grades(table).set_index("image_id")["grade"]
        assert grades["00000_right"] == own
        assert grades.isna().sum() == 2  # the dark photograph and the letter
    validation = retinagrade.validate(folder, labels=exported[0], out=tmp_path / "report", resamples=200)
    assert validation.folder == tmp_path / "report"
