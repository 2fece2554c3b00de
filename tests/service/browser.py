"""The page in Debian's Chromium: it must not contact another server, or report an error."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request, ViewportSize, expect

from tests.programs import require_program

DESKTOP: ViewportSize = {"width": 1400, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


def launch(playwright: Playwright) -> Browser:
    """Starts the browser."""
    expect.set_options(timeout=30_000)  # a busy machine is slow
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    return playwright.chromium.launch(executable_path=require_program("chromium", "chromium"), args=options)


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """Opens the page of a service while the block lasts.

    Raises:
        AssertionError: The page contacted another server, or reported an error.
    """
    context = browser.new_context(**{"viewport": DESKTOP, "accept_downloads": True, "locale": "en-GB", **options})
    page = context.new_page()
    problems: list[str] = []

    def requested(request: Request) -> None:
        if not request.url.startswith((url, "data:", f"blob:{url}")):
            problems.append(request.url)

    def log(message: ConsoleMessage) -> None:
        if "status of" not in message.text:  # the browser logs every status but 2xx
            problems.append(message.text)

    page.on("request", requested)
    page.on("console", log)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(url)
    yield page
    context.close()
    assert problems == []


def upload(page: Page, paths: list[Path]) -> None:
    """Adds photographs, and waits for the results of all photographs on the page."""
    before = page.evaluate("Number(document.querySelector('#status').textContent.match(/of ([0-9]+)/)?.[1] ?? 0)")
    page.get_by_label("Choose photographs").set_input_files(paths)
    wait_for_results(page, before + len(paths))


def wait_for_results(page: Page, total: int) -> None:
    """Waits until so many photographs are graded, or could not be read."""
    done = "(total) => { const [done, , failed] = document.querySelector('#status').textContent.match(/[0-9]+/g) ?? [];"
    done += " return Number(done) + Number(failed ?? 0) === total; }"
    for _ in range(1200):
        if page.evaluate(done, total):
            return
        page.wait_for_timeout(100)
    raise AssertionError(page.get_by_role("status").text_content())


def drop(page: Page, paths: list[Path]) -> None:
    """Drops files on the page, and waits for the results of all of them."""
    files = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
    script = """(files) => {
      const dropped = new DataTransfer();
      for (const [name, code] of files) {
        const type = { jpg: "image/jpeg", png: "image/png" }[name.split(".").at(-1)] ?? "";
        dropped.items.add(new File([Uint8Array.from(atob(code), (each) => each.charCodeAt(0))], name, { type }));
      }
      return dropped;
    }"""
    page.dispatch_event("#drop", "drop", {"dataTransfer": page.evaluate_handle(script, files)})
    wait_for_results(page, len(paths))
