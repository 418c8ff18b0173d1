"""A browser and the page that it opens; `make test-page` runs these tests, which need an installed Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
DESK, PHONE = (1400, 900), (390, 844)
FILE = Path(os.environ.get("PAGE") or "results/default/report/index.html").resolve()
"""The page to test."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not FILE.is_file():
        pytest.exit(f"{FILE} does not exist: make the report first, or give PAGE=...", returncode=2)
    installed = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        chromium = playwright.chromium
        if installed is None and not Path(chromium.executable_path).is_file():
            pytest.exit("no browser was found: install Chromium, or run `.venv/bin/playwright install chromium`", 2)
        yield chromium.launch(executable_path=installed, args=["--no-sandbox"])


Open = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Open the page; when the test is over, fail it if the console had an error or anything was requested."""
    faults: list[str] = []
    contexts = []

    def open_page(size: tuple[int, int] = DESK, *, address: str = "", **options: object) -> Page:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(("file:", "data:", "blob:")) else faults.append(asked.url),
        )
        page.goto(FILE.as_uri() + address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults
