"""Events: followed, searched, chosen by level, read by the keyboard; whatever they hold is text."""

from __future__ import annotations

from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import expect
from run_parts import BACKWARDS, HEBREW, HOSTILE, say


def test_events_are_followed_until_the_reader_scrolls_up(server: Server, browser: Browser) -> None:
    run = server.new_run(status="running")
    say(server, run, *(f"event {i}" for i in range(1500)), level="warning")
    browser.open_run(run, "?tab=events")
    messages = browser.find(".events .message")
    expect(messages.last).to_have_text("event 1499")
    # Only what is on screen is there.
    assert messages.count() < 100
    assert browser.find(".events li").last.get_attribute("class") == "warning"

    say(server, run, HOSTILE)
    expect(messages.last).to_have_text(HOSTILE)
    assert browser.page.evaluate("window.hacked") is None

    log = browser.find(".log")
    log.evaluate("log => { log.scrollTop = 0; }")
    expect(messages.first).to_have_text("event 0")
    say(server, run, "another")
    expect(browser.find(".total")).to_have_text("1,502 events")
    expect(messages.first).to_have_text("event 0")
    browser.find("button").filter(has_text="Follow").click()
    expect(messages.last).to_have_text("another")


def test_events_are_searched_and_shown_whole(server: Server, browser: Browser) -> None:
    run = server.new_run()
    say(server, run, *(f"line {i}" for i in range(300)), "Traceback\n  in solver")
    browser.open_run(run, "?tab=events")
    browser.find("input[aria-label='Find in messages']").fill("solver")
    expect(browser.find(".events .message")).to_have_text(["Traceback"])
    browser.find(".events li").click()
    expect(browser.find("dialog pre")).to_have_text("Traceback\n  in solver")


def test_events_are_chosen_by_level_and_the_address_holds_which(
    server: Server, browser: Browser
) -> None:
    run = server.new_run(status="running")
    # More than a page of answers, so what is shown is what the server chose.
    for level in ("debug", "info", "warning", "error", "critical"):
        say(server, run, *(f"{level} {i}" for i in range(250)), level=level)
    browser.open_run(run, "?tab=events")
    expect(browser.find(".total")).to_have_text("1,250 events")
    levels = browser.page.get_by_label("Levels")
    levels.select_option("error and graver")
    expect(browser.find(".total")).to_have_text("500 events")
    expect(browser.find(".events .message").last).to_have_text("critical 249")
    browser.find(".log").evaluate("log => { log.scrollTop = 0; }")
    expect(browser.find(".events .message").first).to_have_text("error 0")
    say(server, run, "one more", level="critical")
    expect(browser.find(".total")).to_have_text("501 events")

    browser.page.reload()
    expect(levels).to_have_value("error")
    browser.page.get_by_label("Find in messages").fill("249")
    expect(browser.find(".events .message")).to_have_text(["error 249", "critical 249"])
    browser.page.go_back()
    expect(levels).to_have_value("")


def test_the_arrows_walk_along_events_and_enter_shows_one_whole(
    server: Server, browser: Browser
) -> None:
    run = server.new_run()
    say(server, run, *(f"event {i}" for i in range(100)))
    browser.open_run(run, "?tab=events")
    log = browser.find(".log")
    expect(browser.find(".events .message").last).to_have_text("event 99")
    log.press("ArrowUp")
    focused = browser.find(".events li:focus .message")
    expect(focused).to_have_text("event 99")
    browser.page.keyboard.press("ArrowUp")
    expect(focused).to_have_text("event 98")
    # Whoever reads a line does not want the next one to push it away.
    follow = browser.page.get_by_role("button", name="Follow")
    expect(follow).to_have_attribute("aria-pressed", "false")
    # Further than what is drawn beyond the edge.
    for place in range(97, 39, -1):
        browser.page.keyboard.press("ArrowUp")
        expect(focused).to_have_text(f"event {place}")
    expect(focused).to_be_in_viewport()
    browser.page.keyboard.press("Enter")
    expect(browser.find("dialog pre")).to_have_text("event 40")
    browser.page.keyboard.press("Escape")
    expect(focused).to_have_text("event 40")


def test_text_from_right_to_left_turns_only_its_own_place(server: Server, browser: Browser) -> None:
    run = server.new_run()
    say(server, run, HEBREW, BACKWARDS, level="warning")
    browser.open_run(run, "?tab=events")
    lines = browser.find(".events li")
    expect(lines).to_have_count(2)
    for line in lines.all():
        assert line.evaluate("line => getComputedStyle(line).direction") == "ltr"
        # Time, level and message stand in this order, whatever the message says.
        places = [part.bounding_box() for part in line.locator("time, .level, .message").all()]
        lefts = [place["x"] for place in places if place]
        assert lefts == sorted(lefts)
        expect(line.locator(".level")).to_have_text("warning")
    hebrew = lines.first.locator(".message")
    assert hebrew.evaluate("text => getComputedStyle(text).direction") == "rtl"
    assert browser.page.evaluate("getComputedStyle(document.body).direction") == "ltr"
