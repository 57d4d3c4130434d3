"""The frame around the views: themes, addresses, the one stream, and what is left behind."""

from __future__ import annotations

import re

from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import expect


def test_the_theme_is_the_systems_until_the_reader_turns_it(
    server: Server, browser: Browser
) -> None:
    html = browser.find("html")
    browser.page.emulate_media(color_scheme="dark")
    browser.open("/dashboard/runs")
    expect(html).to_have_attribute("data-theme", "dark")
    dark = browser.page.evaluate("getComputedStyle(document.body).backgroundColor")
    browser.find("#rail button", has_text="Light").click()
    expect(html).to_have_attribute("data-theme", "light")
    assert browser.page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    browser.page.reload()
    expect(html).to_have_attribute("data-theme", "light")


def test_a_run_has_one_colour_everywhere(server: Server, browser: Browser) -> None:
    run = server.new_run(name="coloured", folder="/coloured")
    browser.open("/dashboard/runs?folder=/coloured")
    look = "dot => getComputedStyle(dot).backgroundColor"
    there = browser.find(".runs .dot").evaluate(look)
    browser.open_run(run)
    assert browser.find("#view .dot").first.evaluate(look) == there
    body = "return it.hue(rest[0])"
    colour = browser.run_module("colour.js", body, run)
    parts = [int(part) for part in re.findall(r"\d+", there)]
    assert colour == "#{:02x}{:02x}{:02x}".format(*parts)


def test_an_address_of_nothing_is_said(server: Server, browser: Browser) -> None:
    browser.open("/dashboard/nothing")
    expect(browser.find("#view")).to_contain_text("There is nothing at this address")
    browser.find("#view a").click()
    expect(browser.find("h1")).to_have_text("Runs")


def test_back_and_forward_walk_the_views(server: Server, browser: Browser) -> None:
    run = server.new_run(name="there-and-back", folder="/walk")
    browser.open("/dashboard/runs?folder=/walk")
    browser.find(".runs a.name").click()
    expect(browser.page).to_have_url(re.compile(f"/run/{run}"))
    browser.page.go_back()
    expect(browser.find(".runs a.name")).to_have_text(["there-and-back"])
    browser.page.go_forward()
    expect(browser.page).to_have_title("there-and-back – Simvue")


def test_all_views_share_one_stream_and_leave_none_behind(server: Server, browser: Browser) -> None:
    """Ten walks between views; the stream's address and number are those of the last view."""
    run = server.new_run(name="streamed", folder="/stream")
    browser.page.add_init_script(
        """
        window.streams = [];
        const Before = EventSource;
        window.EventSource = class extends Before {
          constructor(...given) { super(...given); window.streams.push(this); }
        };
        """
    )
    browser.open("/dashboard/runs?folder=/stream")
    for _ in range(5):
        browser.find(".runs a.name").click()
        expect(browser.page).to_have_title("streamed – Simvue")
        browser.page.go_back()
        expect(browser.find(".runs a.name")).to_be_visible()
    browser.find(".runs a.name").click()
    opened = "streams.filter((stream) => stream.readyState < 2).map((stream) => stream.url)"

    def one() -> str | None:
        urls = browser.page.evaluate(opened)
        return urls[0] if len(urls) == 1 and run in urls[0] else None

    browser.see(one, "one stream, of the run that is shown")


def test_what_the_browser_may_keep_it_asks_for_once(server: Server, browser: Browser) -> None:
    browser.open("/dashboard/runs")
    expect(browser.find("h1")).to_have_text("Runs")
    sizes = """
        performance.getEntriesByType('resource')
          .filter((entry) => entry.name.includes('/ui/')).map((entry) => entry.transferSize)
    """
    assert max(browser.page.evaluate(sizes)) > 0
    browser.open("/dashboard/runs?find=again")
    expect(browser.find("h1")).to_have_text("Runs")
    # From the browser's own memory: nothing was transferred.
    assert set(browser.page.evaluate(sizes)) == {0}


def test_a_view_that_is_left_leaves_nothing_behind(server: Server, browser: Browser) -> None:
    """Walk all views again and again; nodes and listeners stay as many as after one walk."""
    run = server.new_run(name="walked", folder="/walked")
    at = {"step": 1, "time": 1.0, "timestamp": "2026-01-31T12:00:00.000000"}
    server.send_rows(run, [{**at, "values": {"wave": 1.0}}])
    drawn = {
        "/dashboard/runs?folder=/walked": ".runs a.name",
        f"/dashboard/runs/run/{run}": ".plot canvas",
        f"/dashboard/compare?runs={run}": "h1",
        "/dashboard/folders": "h1",
        "/dashboard/alerts": "h1",
        "/dashboard/tags": "h1",
        "/dashboard/settings": "h1",
        "/dashboard/nothing": ".empty",
    }
    visit = """
        (href) => {
          const link = document.body.appendChild(document.createElement("a"));
          link.href = href;
          link.click();
          link.remove();
        }
    """
    # Playwright keeps each element that it waits for; a question with yes or no keeps none.
    there = "(selector) => document.querySelector(`#view ${selector}`) !== null"
    engine = browser.context.new_cdp_session(browser.page)

    def walk() -> tuple[int, int]:
        for href, selector in drawn.items():
            browser.page.evaluate(visit, href)
            browser.page.wait_for_function(there, arg=selector).dispose()
        # Twice: what is found dead in the first sweep may have held something else.
        engine.send("HeapProfiler.collectGarbage")
        engine.send("HeapProfiler.collectGarbage")
        counters = engine.send("Memory.getDOMCounters")
        return counters["nodes"], counters["jsEventListeners"]

    browser.open("/dashboard/nothing")
    browser.page.wait_for_function(there, arg=".empty").dispose()
    # The first walk loads modules and opens what all views share.
    walk()
    nodes, listeners = walk()
    walk()
    last = walk()
    # The smallest view has 15 listeners; what is in flight at that moment has one or two.
    assert last[1] < listeners + 10
    assert last[0] < nodes + 50
