"""Parallel coordinates: a line a run over axes that are added, taken away, brushed and walked."""

from __future__ import annotations

import re

from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import expect
from test_compare import address, new_runs

AXES = "&show=parallel&axis=metadata.rate&axis=metrics.loss.last"


def test_the_keyboard_walks_the_lines_that_pass_the_brushes(
    server: Server, browser: Browser
) -> None:
    runs = new_runs(server)
    browser.open(address(runs, AXES))
    drawing = browser.find(".plane svg")
    readout = browser.find(".plane .readout")
    # The first axis has its least value at the bottom.
    drawing.press("ArrowDown")
    expect(readout).to_have_text("compared-2: 0.4 · 12.8")
    expect(browser.find("polyline.pointed")).to_have_count(1)
    drawing.press("ArrowDown")
    drawing.press("ArrowDown")
    expect(readout).to_have_text("compared-0: 0.1 · 1.6")
    # With the highest brushed away the walk ends before it.
    browser.open(address(runs, f"{AXES}&brush=0~0.25~metadata.rate"))
    expect(browser.find("polyline.faint")).to_have_count(1)
    for _ in range(3):
        drawing.press("ArrowUp")
    expect(readout).to_have_text("compared-1: 0.2 · 3.2")
    drawing.press("Enter")
    expect(browser.page).to_have_url(re.compile(f"/runs/run/{runs[1]}$"))


def test_axes_are_added_and_taken_away_but_for_the_last_two(
    server: Server, browser: Browser
) -> None:
    runs = new_runs(server)
    browser.open(address(runs, AXES))
    titles = browser.find(".plane text title")
    expect(titles).to_have_text(["metadata.rate", "metrics.loss.last"])
    away = browser.page.get_by_role("button", name="Take away the axis")
    expect(away.first).to_be_disabled()
    field = browser.page.get_by_label("Add an axis")
    field.fill("metadata.mesh.size")
    field.press("Enter")
    expect(titles).to_have_text(["metadata.rate", "metrics.loss.last", "metadata.mesh.size"])
    expect(field).to_have_value("")
    line = browser.find(".plane polyline").first
    assert len((line.get_attribute("points") or "").split()) == 3
    # What is no fact of these runs adds nothing.
    field.fill("metadata.nothing")
    field.press("Enter")
    browser.page.get_by_role("button", name="Take away the axis metadata.rate").click()
    expect(titles).to_have_text(["metrics.loss.last", "metadata.mesh.size"])
    assert browser.page.url.endswith("axis=metrics.loss.last&axis=metadata.mesh.size")
    browser.page.go_back()
    expect(titles).to_have_count(3)


def test_a_run_that_lacks_a_value_has_no_line_and_is_counted(
    server: Server, browser: Browser
) -> None:
    runs = [*new_runs(server), server.new_run(name="no-loss", metadata={"rate": 0.3})]
    browser.open(address(runs, AXES))
    expect(browser.find(".plane polyline")).to_have_count(3)
    expect(browser.find(".plane .readout")).to_contain_text("1 lack one of the values.")
