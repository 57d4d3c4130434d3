"""The columns of the table of runs: picked, pinned, put in order, made wider, and kept."""

from __future__ import annotations

import pytest
from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import Locator, expect

WIDE = "&".join(
    f"col={name}" for name in ("name", "folder", "created", "description", "id", "user")
)


@pytest.fixture(scope="module")
def worn(server: Server) -> str:
    """A folder with one run; the address of its table, without columns."""
    server.new_run(name="worn", folder="/worn", metadata={"k": 1})
    return "/dashboard/runs?folder=/worn"


def heads(browser: Browser) -> Locator:
    return browser.find(".runs thead th[title]")


def place(part: Locator) -> float:
    """Return where *part* begins, in pixels from the left."""
    box = part.bounding_box()
    assert box is not None
    return box["x"]


def picked(browser: Browser, title: str) -> Locator:
    """Return the line of a shown column in the picker, which is open."""
    return browser.find("dialog li").filter(has=browser.page.get_by_text(title, exact=True))


def test_a_pinned_column_stays_in_sight(worn: str, browser: Browser) -> None:
    browser.open(f"{worn}&{WIDE}")
    expect(heads(browser)).to_have_count(6)
    browser.find("button", has_text="Columns").click()
    picked(browser, "Created").get_by_label("Pin").click()
    expect(picked(browser, "Created").get_by_label("Pin")).to_have_attribute("aria-pressed", "true")
    browser.find("dialog").get_by_text("Done").click()
    for again in (False, True):
        if again:
            browser.page.reload()
        # What is pinned stands before all others.
        expect(heads(browser).first).to_have_text("Created")
        cells = [browser.find(f".runs [data-column={name}]") for name in ("created", "name")]
        before = [place(part) for part in (heads(browser).first, *cells)]
        browser.find(".scroller").evaluate("(it) => it.scrollTo(150, 0)")
        after = [place(part) for part in (heads(browser).first, *cells)]
        assert after == [before[0], before[1], before[2] - 150]


def test_columns_are_put_in_order_in_the_picker_and_by_dragging_a_head(
    worn: str, browser: Browser
) -> None:
    browser.open(f"{worn}&col=name&col=folder&col=user")
    expect(heads(browser)).to_have_text(["Name", "Folder", "User"])
    browser.find("button", has_text="Columns").click()
    picked(browser, "User").get_by_label("Move up").click()
    expect(heads(browser)).to_have_text(["Name", "User", "Folder"])
    picked(browser, "Name").get_by_label("Move down").click()
    browser.find("dialog").get_by_text("Done").click()
    expect(heads(browser)).to_have_text(["User", "Name", "Folder"])
    heads(browser).nth(2).drag_to(heads(browser).nth(0))
    expect(heads(browser)).to_have_text(["Folder", "User", "Name"])
    browser.page.reload()
    expect(heads(browser)).to_have_text(["Folder", "User", "Name"])
    # This reader's order, also at an address that names none; until it is given up.
    browser.open(worn)
    expect(heads(browser)).to_have_text(["Folder", "User", "Name"])
    browser.find("button", has_text="Columns").click()
    browser.find("dialog").get_by_text("The usual ones").click()
    expect(heads(browser).first).to_have_text("Status")


def test_a_column_is_made_wider_by_its_edge_and_stays_so(worn: str, browser: Browser) -> None:
    browser.open(f"{worn}&col=name&col=folder")
    head = heads(browser).first
    before = head.bounding_box()
    edge = head.locator(".edge").bounding_box()
    assert before is not None
    assert edge is not None
    mouse = browser.page.mouse
    mouse.move(edge["x"] + 3, edge["y"] + 3)
    mouse.down()
    mouse.move(edge["x"] + 83, edge["y"] + 3)
    mouse.up()
    # Once it is let go, the pointer moves the edge no more.
    mouse.move(edge["x"] + 85, edge["y"] + 3)
    expect(head).to_have_css("width", f"{before['width'] + 80:g}px")
    browser.page.reload()
    expect(head).to_have_css("width", f"{before['width'] + 80:g}px")


def test_a_metric_has_a_column_for_each_of_its_summaries(server: Server, browser: Browser) -> None:
    run = server.new_run(name="summed", folder="/summed")
    at = {"time": 1.0, "timestamp": "2026-01-31T12:00:00.000000"}
    values = [0.25, 0.75, 0.5]
    server.send_rows(run, [{**at, "step": i, "values": {"e": v}} for i, v in enumerate(values)])
    browser.open("/dashboard/runs?folder=/summed")
    browser.find("button", has_text="Columns").click()
    dialog = browser.find("dialog")
    for summary in ("last", "min", "max", "average", "count"):
        dialog.get_by_label("Of a metric").select_option(summary)
        dialog.get_by_text(f"+ metrics.e.{summary}").click()
    dialog.get_by_text("Done").click()
    shown = browser.find(".runs tbody [data-column^='metrics.e.']")
    expect(shown).to_have_text(["0.5", "0.25", "0.75", "0.5", "3"])
