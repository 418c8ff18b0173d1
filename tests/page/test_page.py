"""The report in a browser: what is on the first screen, what the keyboard reaches, what is printed."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

from plateaus.drawing import style
from tests.page.conftest import DESK, FILE, PHONE


def bottom(page, selector: str) -> float:
    box = page.locator(selector).last.bounding_box()
    assert box, selector
    return box["y"] + box["height"]


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_first_screen_has_the_answer_the_picture_and_the_verdicts(opened, size):
    page = opened(size)
    for selector in ("h1.title", ".opening-words p", ".opening-picture img, .opening-picture svg", "ul.strip li"):
        assert bottom(page, selector) <= size[1], selector
    words = page.locator(".opening-words").inner_text()
    assert re.search(r"\d+%", words)
    assert not re.search(r"\bC\d+\b", words)  # no codes in the answer
    assert page.locator("ul.strip a").count() == page.locator("section[id^='sec-claim-']").count()


@pytest.mark.parametrize("size", [DESK, PHONE, (1024, 768)], ids=["desk", "phone", "tablet"])
def test_the_page_does_not_scroll_sideways(opened, size):
    page = opened(size)
    page.locator(".explorer").scroll_into_view_if_needed()
    page.wait_for_selector(".explorer-map svg")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_verdicts_lead_to_their_claims(opened):
    page = opened()
    mark = page.locator("ul.strip a").nth(3)
    target = mark.get_attribute("href")
    mark.click()
    page.wait_for_function(
        """(target) => { const { top } = document.querySelector(target).getBoundingClientRect();
        return -1 <= top && top < innerHeight / 2; }""",
        arg=target,
    )


def test_links_open_the_tab_that_hides_their_target(opened):
    page = opened()
    tabs = page.locator("[role=tab]")
    assert tabs.count() > 1
    hidden = page.evaluate(
        """() => [...document.querySelectorAll("a[href^='#fig-']")].map((link) => link.hash)
        .filter((hash) => { const at = document.querySelector(hash); return at && !at.offsetParent; })"""
    )
    if not hidden:  # all references lead to the first model, so hide that one
        tabs.nth(1).click()
        hidden = page.evaluate(
            """() => [...document.querySelectorAll("a[href^='#fig-']")].map((link) => link.hash)
            .filter((hash) => { const at = document.querySelector(hash); return at && !at.offsetParent; })"""
        )
    assert hidden
    target = hidden[0]
    page.locator(f"a[href='{target}']:visible").first.click()
    page.wait_for_timeout(300)
    assert page.locator(target).is_visible()


def test_arrow_keys_switch_all_tabs_of_the_group(opened):
    page = opened()
    first = page.locator("[role=tablist]").first.locator("[role=tab]")
    first.nth(0).focus()
    page.keyboard.press("ArrowRight")
    name = first.nth(1).inner_text()
    chosen = page.locator("[role=tab][aria-selected=true]").all_inner_texts()
    assert set(chosen) == {name}
    assert len(chosen) == page.locator("[role=tablist]").count()
    assert first.nth(1).evaluate("one => one === document.activeElement")


def test_the_keyboard_reaches_everything_that_can_be_used(opened):
    page = opened()
    page.locator(".explorer").scroll_into_view_if_needed()
    page.wait_for_selector(".explorer-map svg")
    page.evaluate("window.scrollTo(0, 0)")
    page.locator("body").focus()
    page.evaluate("() => { window.reached = new Set(); addEventListener('focusin', (e) => reached.add(e.target)); }")
    count = -1
    while count < (count := page.evaluate("reached.size")):  # until nothing new is reached
        for _ in range(20):
            page.keyboard.press("Tab")
    missed = page.evaluate(
        """() => [...document.querySelectorAll("a[href], button, select, input, summary")]
        .filter((one) => one.checkVisibility({visibilityProperty: true}) && !one.disabled && one.tabIndex >= 0 && !reached.has(one))
        .map((one) => one.outerHTML.slice(0, 120))"""
    )
    assert count > 50
    assert not missed


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(opened, scheme):
    page = opened(color_scheme=scheme, reduced_motion="reduce")
    page.locator(".explorer").scroll_into_view_if_needed()
    page.wait_for_selector(".explorer-map svg")
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    serious = [
        f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:4]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert not serious, "\n".join(serious)


def test_no_text_of_a_figure_is_smaller_than_nine_pixels_on_a_phone(opened):
    """The tests of the figures see to it that nothing on them is smaller than the style's text."""
    page = opened(PHONE)
    widths = page.evaluate(
        """() => [...document.querySelectorAll("[id^='fig-'] img, [id^='fig-'] svg")]
        .filter((one) => one.checkVisibility() && !one.closest(".natural, .explorer-frame") && !one.classList.contains("natural"))
        .map((one) => one.getBoundingClientRect().width)"""
    )
    assert len(widths) > 10
    assert min(widths) * style.TEXT / (style.WIDTH * 72) >= 9.0


def test_every_figure_is_printed_and_no_control(opened, tmp_path):
    page = opened()
    page.emulate_media(media="print")
    page.wait_for_timeout(300)
    hidden = page.evaluate(
        """() => [...document.querySelectorAll("[id^='fig-'] img, [id^='fig-'] svg")]
        .filter((one) => !one.closest(".explorer-frame, .player") && !one.checkVisibility()).map((one) => one.closest("[id^='fig-']").id)"""
    )
    assert not hidden
    for selector in (".explorer", ".explorer-maps", ".player", "[role=tablist]"):
        assert not any(page.locator(selector).evaluate_all("all => all.map((one) => one.checkVisibility())"))
    pdf = tmp_path / "page.pdf"
    page.pdf(path=pdf, format="A4", prefer_css_page_size=True)
    pages = len(re.findall(rb"/Type /Page\b", pdf.read_bytes()))
    models = page.locator(".tabset").first.locator(":scope > .tab-panel").count()
    assert 5 < pages <= 20 * max(2, models)


def test_the_page_is_one_file_of_a_stated_size():
    text = FILE.read_text(encoding="utf-8")
    scripts = sum(
        map(
            len,
            re.findall(
                r"<script(?![^>]*type=\"(?:text/plain|application/json)\")[^>]*>(.*?)</script>", text, re.DOTALL
            ),
        )
    )
    data = sum(
        map(
            len, re.findall(r"<script type=\"text/plain\" class=\"explorer-data\"[^>]*>(.*?)</script>", text, re.DOTALL)
        )
    )
    assert scripts <= 1_000_000
    assert data <= 2_000_000
