"""The explorer in a browser: each action changes what it should, and the address keeps the choice."""

from __future__ import annotations

import pytest

from plateaus.data import tables
from tests.page.conftest import FILE


@pytest.fixture
def explorer(opened):
    page = opened()
    page.locator(".explorer").scroll_into_view_if_needed()
    page.wait_for_selector(".explorer-pairs svg circle, .explorer-pairs svg path")
    return page


def curve(page) -> str:
    return page.locator(".explorer-curve svg g[aria-label=line] path").last.get_attribute("d")


def control(page, name: str):
    return page.locator(f".explorer [name={name}]")


def values(page) -> str:
    return page.locator(".explorer .explorer-values").inner_text()


def test_it_begins_with_the_first_pair_of_the_figures_at_the_logits(explorer):
    assert "[big → in]" in control(explorer, "pair").locator("option:checked").inner_text()
    assert control(explorer, "record").locator("option:checked").inner_text() == "the logits"
    assert "[big → in], alpha 0.510: d = " in values(explorer)
    assert "Likeliest next tokens: “" in values(explorer)


def test_the_values_are_those_of_the_table(explorer):
    """Read a step of the post's pair from the Parquet file, where the page lies in its run's folder."""
    root = FILE.parents[1]
    shards = sorted(root.glob("data/smollm2-135m/interpolate/*of*.parquet"))
    frame = tables.read_frame(
        tables.INTERPOLATE,
        [path for path in shards if path.name.count(".") == 1],
        [*tables.INTERPOLATE.key, "distance"],
    )
    rows = frame[(frame["pair"] == "house-big-in") & (frame["interp_layer"] == 0) & (frame["site"] == "logits")]
    for step in (0, 20, 49):
        control(explorer, "step").fill(str(step))
        expected = float(rows.loc[rows["step"] == step, "distance"].iloc[0])
        assert f"d = {expected:.3f} at the logits" in values(explorer)


@pytest.mark.parametrize(
    ("name", "option"), [("pair", "[big → large]"), ("start", "layer 7"), ("record", "layer 12"), ("condition", "MLPs frozen at their mean"), ("model", "smollm2-135m-random")]
)  # fmt: skip
def test_each_choice_redraws_the_curve(explorer, name, option):
    before, said = curve(explorer), values(explorer)
    found = control(explorer, name).locator("option", has_text=option).first
    control(explorer, name).select_option(value=found.get_attribute("value"))
    explorer.wait_for_function(
        "(before) => document.querySelector('.explorer .explorer-values').innerText !== before", arg=said
    )
    assert curve(explorer) != before


def test_a_search_finds_words_and_enter_chooses_the_first(explorer):
    control(explorer, "search").fill("big large")
    assert "1 of " in explorer.locator(".explorer-found").inner_text()
    control(explorer, "search").press("Enter")
    assert "[big → large]" in values(explorer)


def test_a_click_on_the_map_chooses_layer_and_step(explorer):
    box = explorer.locator(".explorer-map svg").bounding_box()
    explorer.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.5)
    assert "layer" in control(explorer, "record").locator("option:checked").inner_text()
    assert int(control(explorer, "step").input_value()) < 20


def test_a_click_on_the_scatter_chooses_a_pair(explorer):
    before = values(explorer)
    dot = explorer.locator(".explorer-pairs svg g[aria-label=dot] path").nth(5).bounding_box()
    explorer.mouse.click(dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2)
    assert values(explorer) != before


def test_moving_over_the_curve_reads_a_step(explorer):
    box = explorer.locator(".explorer-curve svg").bounding_box()
    explorer.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 80)
    assert int(control(explorer, "step").input_value()) > 30


def test_the_address_keeps_the_choice(explorer, opened):
    control(explorer, "pair").select_option(label="The house was … [big → large]")
    control(explorer, "record").select_option(label="layer 12")
    control(explorer, "step").fill("33")
    explorer.wait_for_function("location.hash.includes('step=33')")
    again = opened(address=explorer.evaluate("location.hash"))
    again.wait_for_selector(".explorer-map svg")
    assert values(again) == values(explorer)
    again.wait_for_function("document.querySelector('.explorer').getBoundingClientRect().top < 300")


def test_the_map_reads_a_point_by_pointer_and_by_sliders(opened):
    page = opened()
    root = page.locator(".explorer-maps")
    root.scroll_into_view_if_needed()
    page.wait_for_selector(".explorer-maps svg")
    read = root.locator(".explorer-values")
    assert "is the likeliest next token (" in read.inner_text()
    before = read.inner_text()
    box = root.locator("svg").first.bounding_box()
    page.mouse.move(box["x"] + 12, box["y"] + box["height"] - 12)
    assert read.inner_text() != before
    root.locator("[name=up]").fill("40")
    assert int(root.locator("[name=across]").input_value()) < 5
    before = read.inner_text()
    root.locator("[name=map]").select_option(index=3)
    assert read.inner_text() != before
