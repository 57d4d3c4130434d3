"""Folders: the tree of thousands, what is known of one, and its end."""

from __future__ import annotations

import re

from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import expect


def folder_at(server: Server, path: str) -> dict[str, object]:
    """Return the folder at *path*."""
    found: list[dict[str, object]] = server.get("/folders", filters=f'["path == {path}"]')["data"]
    return found[0]


def test_a_folder_counts_the_runs_in_it_and_below(server: Server, browser: Browser) -> None:
    # The last two lie in folders that only look as if they were below.
    places = ("/counted", "/counted/a", "/counted/a", "/counted/b/c", "/countedx", "/x/counted/a")
    for place in places:
        server.new_run(name=f"in {place}", folder=place)
    browser.open("/dashboard/folders?path=/counted")
    here = browser.find(".folders [aria-current]")
    expect(here.locator("small")).to_have_text("4")
    expect(browser.find(".details")).to_contain_text("4 runs, 1 here and the rest below")
    newest = browser.find(".details .plainlist li")
    expect(newest.locator("a")).to_have_text(
        [" in /counted/b/c", " in /counted/a", " in /counted/a", " in /counted"]
    )
    # Where each lies, seen from here.
    expect(newest.locator("small")).to_have_text(["b/c", "a", "a"])
    browser.page.get_by_role("link", name="4 runs").click()
    expect(browser.page).to_have_url(re.compile("/dashboard/runs.folder="))
    expect(browser.find(".head .total")).to_have_text("4 runs")
    expect(browser.find(".runs [data-column=folder]")).to_have_text(
        ["/counted/b/c", "/counted/a", "/counted/a", "/counted"]
    )


def test_a_run_leads_to_its_folder(server: Server, browser: Browser) -> None:
    run = server.new_run(name="leads", folder="/led/to a place")
    browser.open_run(run)
    browser.page.get_by_role("link", name="/led/to a place", exact=True).click()
    expect(browser.find(".details h2").first).to_have_text("/led/to a place")
    expect(browser.find(".folders [aria-current]")).to_have_text("to a place1")
    browser.find(".details .plainlist a").click()
    expect(browser.page).to_have_title("leads – Simvue")


def test_what_is_known_of_a_folder_is_edited_where_it_stands(
    server: Server, browser: Browser
) -> None:
    server.post("/folders", {"path": "/edited", "metadata": {"grid": "old", "deep": {"er": 1}}})
    browser.open("/dashboard/folders?path=/edited")
    page = browser.page
    page.get_by_label("Description: Add a description. Edit").click()
    page.get_by_label("Description", exact=True).fill("All runs of the campaign")
    page.get_by_label("Description", exact=True).press("Enter")
    page.get_by_label("grid: old. Edit").click()
    page.get_by_label("grid", exact=True).fill("64")
    page.get_by_label("grid", exact=True).press("Enter")
    expect(page.get_by_label("grid: 64. Edit")).to_be_visible()
    page.get_by_label("Key to add").fill("solver")
    page.get_by_label("Value to add").fill("multigrid")
    page.get_by_label("Value to add").press("Enter")
    expect(page.get_by_label("solver: multigrid. Edit")).to_be_visible()
    page.get_by_label("Add a tag").fill("campaign")
    page.get_by_label("Add a tag").press("Enter")
    expect(browser.find(".details .tag")).to_have_text("campaign")
    page.get_by_role("button", name="☆ Star").click()
    expect(page.get_by_role("button", name="★ Starred")).to_be_visible()
    folder = folder_at(server, "/edited")
    assert folder["description"] == "All runs of the campaign"
    assert folder["metadata"] == {"grid": 64, "deep": {"er": 1}, "solver": "multigrid"}
    assert folder["tags"] == ["campaign"]
    assert folder["starred"] is True


def test_escape_leaves_a_value_as_it_was(server: Server, browser: Browser) -> None:
    server.post("/folders", {"path": "/escaped", "description": "as it was"})
    browser.open("/dashboard/folders?path=/escaped")
    browser.page.get_by_label("Description: as it was. Edit").click()
    browser.page.get_by_label("Description", exact=True).fill("never")
    browser.page.get_by_label("Description", exact=True).press("Escape")
    expect(browser.page.get_by_label("Description: as it was. Edit")).to_be_focused()
    assert folder_at(server, "/escaped")["description"] == "as it was"


def test_deleting_a_folder_with_all_in_it_wants_its_path_typed(
    server: Server, browser: Browser
) -> None:
    run = server.new_run(folder="/doomed/inner")
    browser.open("/dashboard/folders?path=/doomed")
    browser.page.get_by_role("button", name="Delete …").click()
    dialog = browser.find("dialog")
    expect(dialog).to_contain_text("1 folder below it and 1 run")
    delete = dialog.get_by_role("button", name="Delete")
    expect(delete).to_be_disabled()
    dialog.get_by_role("textbox").fill("/doomed")
    delete.click()
    expect(browser.find(".details h2").first).to_have_text("/")
    expect(browser.find(".folders a[title='/doomed']")).to_have_count(0)
    assert server.ask("GET", f"/runs/{run}").status_code in (404, 410)


def test_of_thousands_of_folders_only_those_on_screen_are_drawn(
    server: Server, browser: Browser
) -> None:
    batch = [
        {"name": "r", "folder": f"/thousands/{i:04d}", "status": "created"} for i in range(2_500)
    ]
    server.post("/runs", batch)
    browser.open("/dashboard/folders?path=/thousands/0000")
    expect(browser.find(".folders a[title='/thousands/0001']")).to_be_visible()
    assert browser.find(".folders a").count() < 100
    browser.find(".folders").evaluate("(it) => it.scrollTo(0, it.scrollHeight)")
    expect(browser.find(".folders a[title='/thousands/2499']")).to_be_visible()
    browser.page.get_by_label("Find folders").fill("thousands/1234")
    expect(browser.find(".folders a")).to_have_count(1)
    browser.find(".folders a").click()
    expect(browser.find(".details h2").first).to_have_text("/thousands/1234")
