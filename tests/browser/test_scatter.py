"""Scatter: one number of each run against another, for the mouse, the keyboard and a finger."""

from __future__ import annotations

import math
import re

from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import Locator, expect
from test_compare import address, new_runs

AXES = "&show=scatter&across=metadata.rate&up=metrics.loss.last"
# (rate, size), and the loss is their product: the second and the third lie on each other.
FIGURES = [(0.1, 40), (0.2, 10), (0.2, 10), (0.4, 30), (-1.0, 0)]


def see_scatter(browser: Browser, runs: list[str], query: str = "") -> Locator:
    """Load the scatter of *runs* and return its marks."""
    browser.open(address(runs, AXES + query))
    expect(browser.page.get_by_role("img", name="metrics.loss.last against")).to_be_visible()
    return browser.find(".plane circle:not(.ring)")


def test_the_keyboard_reaches_every_mark_and_its_run(server: Server, browser: Browser) -> None:
    """To the right in order of x, upwards in order of y; also where marks lie on each other."""
    runs = new_runs(server, FIGURES)
    see_scatter(browser, runs)
    drawing = browser.find(".plane svg")
    readout = browser.find(".plane .readout")
    expect(readout).to_contain_text("arrow keys")

    def walk(key: str, steps: int) -> list[str]:
        said = []
        for _ in range(steps):
            drawing.press(key)
            said.append((readout.text_content() or "").partition(":")[0])
        return said

    drawing.focus()
    # At the end it stays.
    right = walk("ArrowRight", 6)
    assert [int(name[-1]) for name in right] == [4, 0, 1, 2, 3, 3]
    assert walk("ArrowLeft", 4) == right[3::-1]
    up = walk("ArrowUp", 5)
    assert [int(name[-1]) for name in up] in ([1, 2, 0, 3, 3], [2, 1, 0, 3, 3])
    expect(readout).to_have_text("compared-3: 0.4, 12")
    expect(browser.find(".plane .ring")).to_be_visible()
    drawing.press("Enter")
    expect(browser.page).to_have_url(re.compile(f"/runs/run/{runs[3]}$"))


def test_the_keyboard_comes_to_the_drawing_and_leaves_it(server: Server, browser: Browser) -> None:
    see_scatter(browser, new_runs(server))
    browser.page.get_by_label("log").last.focus()
    browser.page.keyboard.press("Tab")
    drawing = browser.find(".plane svg")
    expect(drawing).to_be_focused()
    # What has the focus is seen to have it.
    assert drawing.evaluate("(it) => getComputedStyle(it).outlineStyle") == "solid"
    # No mark is meant yet, so there is none to visit.
    browser.page.keyboard.press("Enter")
    browser.page.keyboard.press("ArrowRight")
    readout = browser.find(".plane .readout")
    expect(readout).to_have_text("compared-0: 0.1, 1.6")
    browser.page.keyboard.press("Shift+Tab")
    expect(readout).to_contain_text("Point at a mark")
    expect(browser.find(".plane .ring")).to_be_hidden()
    assert browser.barriers() == []


def test_what_is_pointed_at_stays_so_while_runs_go_on(server: Server, browser: Browser) -> None:
    running = server.new_run(name="goes-on", metadata={"rate": 0.9})
    row = {"step": 0, "time": 0.0, "timestamp": "2026-01-01T00:00:00.000000"}
    server.send_rows(running, [{**row, "values": {"loss": 5.0}}])
    see_scatter(browser, [*new_runs(server), running])
    drawing = browser.find(".plane svg")
    for _ in range(4):
        drawing.press("ArrowRight")
    readout = browser.find(".plane .readout")
    expect(readout).to_have_text("goes-on: 0.9, 5")
    server.send_rows(running, [{**row, "step": 1, "values": {"loss": 7.0}}])
    expect(readout).to_have_text("goes-on: 0.9, 7")


def test_each_axis_can_be_logarithmic_and_says_who_has_no_place_there(
    server: Server, browser: Browser
) -> None:
    runs = new_runs(server, [(0.1, 1), (1.0, 1), (10.0, 1), (0.0, 1), (-1.0, 1)])
    marks = see_scatter(browser, runs)
    expect(marks).to_have_count(5)

    def across() -> list[float]:
        """Return the pixels of the first three marks."""
        x = marks.evaluate_all("(all) => all.map((it) => it.cx.baseVal.value)")
        return [x[0], x[1], x[2]]

    # Evenly: a tenth, one and ten lie as far apart as the numbers are.
    first, second, third = across()
    assert third - second > 9 * (second - first)
    boxes = browser.page.get_by_label("log", exact=True)
    boxes.first.check()
    expect(marks).to_have_count(3)
    first, second, third = across()
    assert abs((third - second) - (second - first)) < 1
    expect(browser.find(".plane .readout")).to_have_text(re.compile("^2 without a number here"))
    expect(browser.page).to_have_url(re.compile("logs=across"))
    # The other axis has a box of its own, and the address tells both apart.
    boxes.last.check()
    expect(browser.page).to_have_url(re.compile("logs=across&logs=up"))
    heights = marks.evaluate_all("(all) => all.map((it) => it.cy.baseVal.value)")
    assert abs((heights[0] - heights[1]) - (heights[1] - heights[2])) < 1
    boxes.first.uncheck()
    expect(browser.page).to_have_url(re.compile("[?&]logs=up"))
    browser.page.reload()
    expect(boxes.last).to_be_checked()
    expect(boxes.first).not_to_be_checked()
    expect(marks).to_have_count(3)


def test_runs_that_lack_a_number_are_counted_and_the_others_drawn(
    server: Server, browser: Browser
) -> None:
    runs = new_runs(server)
    without = [
        server.new_run(name="no rate", metadata={"other": 1}),
        server.new_run(name="a text", metadata={"rate": "fast"}),
        server.new_run(name="not finite", metadata={"rate": 0.3}),
        server.new_run(name="no rows", metadata={"rate": 0.3}),
    ]
    row = {"step": 0, "time": 0.0, "timestamp": "2026-01-01T00:00:00.000000"}
    for run, loss in zip(without[:3], (1.0, 1.0, math.nan), strict=True):
        server.send_rows(run, [{**row, "values": {"loss": loss}}])
    marks = see_scatter(browser, [*runs, *without])
    expect(marks).to_have_count(3)
    expect(browser.find(".plane .readout")).to_have_text(re.compile("^4 without a number here"))


def test_runs_without_two_numbers_say_so_instead_of_a_drawing(
    server: Server, browser: Browser
) -> None:
    runs = [server.new_run(name=f"wordy-{i}", status="created") for i in range(2)]
    browser.open(address(runs, "&show=scatter"))
    expect(browser.page.get_by_text("no two numbers")).to_be_visible()
    expect(browser.find(".plane")).to_be_hidden()
