"""Tags: their colours and descriptions, edited where they stand, and the runs that wear them."""

from __future__ import annotations

import re
from typing import Any

from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import Locator, expect


def line(browser: Browser, tag: str) -> Locator:
    return browser.find(f".list tbody tr[data-tag='{tag}']")


def tag_named(server: Server, name: str) -> dict[str, Any]:
    """Return the tag called *name*."""
    return next(tag for tag in server.get("/tags", count=1000)["data"] if tag["name"] == name)


def test_a_tag_says_how_many_runs_wear_it_and_leads_to_them(
    server: Server, browser: Browser
) -> None:
    for i in range(3):
        server.new_run(name=f"worn-{i}", tags=["worn"])
    browser.open("/dashboard/tags?find=worn")
    line(browser, "worn").get_by_role("link", name="3 runs").click()
    expect(browser.page).to_have_url(re.compile(r"/dashboard/runs\?filter=has"))
    expect(browser.find(".runs .name")).to_have_count(3)


def test_name_colour_and_description_are_edited_in_place(server: Server, browser: Browser) -> None:
    server.new_run(tags=["plain"])
    browser.open("/dashboard/tags?find=la")
    page = browser.page
    line(browser, "plain").get_by_label("Description: Add a description. Edit").click()
    page.get_by_label("Description", exact=True).fill("What it stands for")
    page.get_by_label("Description", exact=True).press("Enter")
    expect(line(browser, "plain")).to_contain_text("What it stands for")
    line(browser, "plain").get_by_label(re.compile("^Colour: ")).click()
    page.get_by_label("Colour", exact=True).fill("#123456")
    page.get_by_label("Colour", exact=True).press("Enter")
    expect(line(browser, "plain")).to_contain_text("#123456")
    line(browser, "plain").get_by_label(re.compile("^Name: ")).click()
    page.get_by_label("Name", exact=True).fill("late")
    page.get_by_label("Name", exact=True).press("Enter")
    expect(line(browser, "late")).to_be_visible()
    tag = tag_named(server, "late")
    assert (tag["colour"], tag["description"]) == ("#123456", "What it stands for")


def test_a_name_that_another_tag_has_is_refused_in_words_and_stays_to_be_changed(
    server: Server, browser: Browser
) -> None:
    server.new_run(tags=["first-of-two", "second-of-two"])
    browser.open("/dashboard/tags?find=second-of-two")
    line(browser, "second-of-two").get_by_label(re.compile("^Name: ")).click()
    field = browser.page.get_by_label("Name", exact=True)
    field.fill("first-of-two")
    field.press("Enter")
    expect(browser.find(".editor .wrong")).to_contain_text("there is another tag called")
    expect(field).to_have_value("first-of-two")
    # The browser's own log of the refusal is no complaint of the page's.
    assert all("422" in text for text in browser.complaints())


def test_a_tag_is_made_and_deleted_and_its_runs_stay(server: Server, browser: Browser) -> None:
    browser.open("/dashboard/tags?find=short-lived")
    browser.page.get_by_role("button", name="New tag").click()
    browser.find("dialog").get_by_label("Name").fill("short-lived")
    browser.find("dialog").get_by_role("button", name="Make it").click()
    expect(line(browser, "short-lived")).to_be_visible()
    run = server.new_run(tags=["short-lived"])
    browser.page.get_by_label("Delete the tag short-lived").click()
    browser.find("dialog").get_by_role("button", name="Delete").click()
    expect(line(browser, "short-lived")).to_have_count(0)
    assert server.get(f"/runs/{run}")["tags"] == []
