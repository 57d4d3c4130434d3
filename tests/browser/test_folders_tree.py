"""The tree of folders, on its own page and beside the table of runs: keys, counts, thousands."""

from __future__ import annotations

import pytest
from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import Locator, expect

# Where a tree stands, and whether its folders are open at first.
PLACES = {"page": ("/dashboard/folders?path=", False), "table": ("/dashboard/runs?folder=", True)}


def line(browser: Browser, path: str) -> Locator:
    return browser.find(f".tree a[title='{path}']")


@pytest.mark.parametrize("place", PLACES)
def test_the_keys_walk_the_tree_as_they_do_in_every_tree(
    server: Server, browser: Browser, place: str
) -> None:
    path, opened = PLACES[place]
    for leaf in ("a/x", "a/y", "b"):
        server.new_run(name=f"{place} {leaf}", folder=f"/walked-{place}/{leaf}")
    top = f"/walked-{place}"
    browser.open(path + top)
    press = browser.page.keyboard.press
    line(browser, top).focus()
    if opened:
        press("ArrowLeft")
    expect(line(browser, top)).to_have_attribute("aria-expanded", "false")
    expect(line(browser, f"{top}/a")).to_have_count(0)
    press("ArrowRight")
    expect(line(browser, top)).to_have_attribute("aria-expanded", "true")
    expect(line(browser, top)).to_be_focused()
    press("ArrowRight")
    expect(line(browser, f"{top}/a")).to_be_focused()
    expect(line(browser, f"{top}/a")).to_have_attribute("aria-level", "2")
    expect(line(browser, f"{top}/a")).to_have_attribute("aria-expanded", str(opened).lower())
    if not opened:
        press("ArrowRight")
    press("ArrowDown")
    expect(line(browser, f"{top}/a/x")).to_be_focused()
    # A leaf has nothing to open.
    assert line(browser, f"{top}/a/x").get_attribute("aria-expanded") is None
    press("ArrowRight")
    press("ArrowDown")
    press("ArrowDown")
    expect(line(browser, f"{top}/b")).to_be_focused()
    press("ArrowUp")
    expect(line(browser, f"{top}/a/y")).to_be_focused()
    # Tab comes to the tree once, to the line where the keys were.
    assert browser.find(".tree [tabindex='0']").get_attribute("title") == f"{top}/a/y"
    press("ArrowLeft")
    expect(line(browser, f"{top}/a")).to_be_focused()
    press("ArrowLeft")
    expect(line(browser, f"{top}/a/y")).to_have_count(0)
    press("Enter")
    expect(browser.find(".tree [aria-current]")).to_have_attribute("title", f"{top}/a")
    expect(line(browser, f"{top}/a")).to_be_focused()
    press("Home")
    expect(line(browser, "/")).to_be_focused()
    press("ArrowUp")
    expect(line(browser, "/")).to_be_focused()
    press("End")
    expect(browser.find(".tree a").last).to_be_focused()
    assert browser.barriers() == []


def test_a_folder_that_was_closed_stays_closed_and_opens_for_what_is_chosen_in_it(
    server: Server, browser: Browser
) -> None:
    server.new_run(folder="/kept-shut/inner")
    browser.open("/dashboard/runs?folder=/kept-shut")
    line(browser, "/kept-shut").locator(".turn").click()
    expect(line(browser, "/kept-shut/inner")).to_have_count(0)
    browser.page.reload()
    expect(line(browser, "/kept-shut")).to_have_attribute("aria-expanded", "false")
    browser.open("/dashboard/runs?folder=/kept-shut/inner")
    expect(line(browser, "/kept-shut/inner")).to_have_attribute("aria-current", "true")


def test_a_folder_with_a_sibling_that_begins_alike_narrows_the_table_to_its_own(
    server: Server, browser: Browser
) -> None:
    for folder in ("/alike", "/alike/a", "/alikex", "/y/alike/a"):
        server.new_run(name=f"in {folder}", folder=folder)
    browser.open("/dashboard/runs?folder=/alike/a&sort=name&order=up")
    expect(line(browser, "/alike").locator("small")).to_have_text("2")
    line(browser, "/alike").click()
    expect(browser.find(".runs a.name")).to_have_text(["in /alike", "in /alike/a"])
    line(browser, "/alike").press("Home")
    line(browser, "/").click()
    expect(browser.page).to_have_url(f"{server.url}/dashboard/runs?sort=name&order=up")


def test_a_tree_of_thousands_beside_the_table_has_all_and_draws_those_on_screen(
    server: Server, browser: Browser
) -> None:
    batch = [{"name": "r", "folder": f"/vast/{i:04d}", "status": "created"} for i in range(1500)]
    server.post("/runs", batch[:1000])
    server.post("/runs", batch[1000:])
    # What is chosen is in sight, wherever it stands in the tree.
    browser.open("/dashboard/runs?folder=/vast/1234")
    expect(line(browser, "/vast/1234")).to_be_in_viewport()
    assert browser.find(".tree a").count() < 100
    line(browser, "/vast/1234").press("End")
    expect(browser.find(".tree a").last).to_be_focused()
    expect(browser.find(".tree a").last).to_be_in_viewport()
    expect(line(browser, "/vast/1234")).to_have_count(0)
    browser.page.keyboard.press("Home")
    expect(line(browser, "/")).to_be_in_viewport()
    expect(line(browser, "/")).to_be_focused()
