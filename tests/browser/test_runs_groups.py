"""What the page itself does with runs: regular expressions, groups, and durations that run on."""

from __future__ import annotations

from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import Locator, expect


def names(browser: Browser) -> Locator:
    return browser.find(".runs a.name")


def test_a_regular_expression_is_switched_on_and_off(server: Server, browser: Browser) -> None:
    for name in ("reg-10", "reg-11", "reg-2"):
        server.new_run(name=name, folder="/reg")
    browser.open("/dashboard/runs?folder=/reg&sort=name&order=up")
    switch = browser.page.get_by_role("button", name=".*", exact=True)
    expect(switch).to_have_attribute("aria-pressed", "false")
    find = browser.find(".head .find")
    find.fill("1[01]$")
    expect(browser.find(".board .empty")).to_contain_text("No run fits")
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "true")
    expect(names(browser)).to_have_text(["reg-10", "reg-11"])
    find.fill("(")
    wrong = browser.find(".filters .wrong")
    expect(wrong).to_contain_text("Invalid regular expression")
    # An answer that comes meanwhile does not take the words away.
    with browser.page.expect_response(lambda answer: "/api/runs?" in answer.url):
        server.new_run(name="reg-3", folder="/reg")
    expect(wrong).to_be_visible()
    find.fill("(2)")
    expect(names(browser)).to_have_text(["reg-2"])
    expect(wrong).to_be_hidden()
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "false")
    expect(browser.find(".board .empty")).to_contain_text("No run fits")


def test_runs_are_grouped_by_what_is_typed_and_stand_in_the_group_of_each_tag(
    server: Server, browser: Browser
) -> None:
    server.new_run(name="g-both", folder="/grouped/a", tags=["g-red", "g-blue"])
    server.new_run(name="g-one", folder="/grouped/b", tags=["g-red"])
    server.new_run(name="g-none", folder="/grouped/b")
    browser.open("/dashboard/runs?folder=/grouped&sort=name&order=up")
    field = browser.page.get_by_label("Group by")
    lines = browser.find(".runs .name, .runs .group button")

    field.fill("folder")
    field.press("Enter")
    expect(lines).to_have_text(["/grouped/a1", "g-both", "/grouped/b2", "g-none", "g-one"])
    field.fill("tags")
    field.press("Enter")
    expect(lines).to_have_text(
        ["none1", "g-none", "g-blue1", "g-both", "g-red2", "g-both", "g-one"]
    )
    # A run that stands twice is ticked in both places.
    browser.find(".runs tbody input[type=checkbox]").nth(1).click()
    expect(browser.find(".runs tr.ticked")).to_have_count(2)
    expect(browser.find(".bulk")).to_contain_text("1 run ticked")
    browser.page.reload()
    expect(field).to_have_value("tags")
    expect(lines).to_have_count(7)
    field.fill("")
    field.press("Enter")
    expect(lines).to_have_text(["g-both", "g-none", "g-one"])


def test_a_duration_stops_at_the_end_and_others_run_on(server: Server, browser: Browser) -> None:
    for name, status in (("ended", "completed"), ("running", "running")):
        run = server.new_run(name=name, folder="/clocked", status="created")
        server.put(f"/runs/{run}", {"status": status, "started": "2026-01-31T12:00:00.000000"})
        if name == "ended":
            server.put(f"/runs/{run}", {"endtime": "2026-01-31T12:01:30.000000"})
    browser.page.clock.install()
    browser.open("/dashboard/runs?folder=/clocked&sort=name&order=up")
    cells = browser.find(".runs [data-column=duration]")
    expect(cells.first).to_have_text("1 m 30 s")
    # All that the first ever says from now on, be it for a moment.
    cells.first.evaluate(
        """
        (cell) => {
          cell.said = [];
          const note = () => cell.said.push(cell.textContent);
          new MutationObserver(note).observe(cell, { childList: true });
        }
        """
    )
    for _ in range(2):
        before = cells.nth(1).inner_text()
        browser.page.clock.fast_forward(86_400_000)
        expect(cells.nth(1)).not_to_have_text(before)
    assert cells.first.evaluate("(cell) => cell.said") == []
    expect(cells.first).to_have_text("1 m 30 s")
