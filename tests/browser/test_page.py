"""The page in a real browser: it draws, goes live, zooms, and shows what it must not hide."""

from __future__ import annotations

import json
import math
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import expect


def rows(first: int, end: int, **values: Any) -> list[dict[str, Any]]:
    """Rows of steps *first* to *end*; each value is a function of the step."""
    return [
        {
            "step": step,
            "time": step / 10,
            "timestamp": f"2026-01-31T12:{step // 60 % 60:02d}:{step % 60:02d}.000000",
            "values": {name: value(step) for name, value in values.items()},
        }
        for step in range(first, end)
    ]


def test_each_metric_of_a_run_is_drawn(server: Server, browser: Browser) -> None:
    run = server.new_run(name="drawn")
    server.send_rows(run, rows(0, 5000, wave=lambda i: math.sin(i / 300), ramp=float))
    browser.open_run(run)

    browser.see_label("wave", "5,000 rows", "greatest 1")
    browser.see_label("ramp", "5,000 rows, last 4,999, least 0, greatest 4,999")
    # A line of 1.5 pixels across a plot of some 300: ink in most columns, were it ever so steep.
    browser.see(lambda: browser.ink("ramp") > 150, "the line of ramp")
    browser.see(lambda: browser.ink("wave") > 150, "the line of wave")


def test_a_chart_asks_for_as_many_buckets_as_it_has_pixels(
    server: Server, browser: Browser
) -> None:
    run = server.new_run()
    server.send_rows(run, rows(0, 20_000, ramp=float))
    browser.open_run(run)
    browser.see_label("ramp", "20,000 rows")

    # The first question: those that follow are for what has come since.
    query = parse_qs(urlsplit(browser.asked("/metrics/buckets?")[0]).query)
    width = browser.plot("ramp").locator(".u-over").evaluate("area => area.clientWidth")
    # Rounded up to the next 32, so that charts of one grid share a request.
    assert width <= int(query["max_points"][0]) <= width + 32


def test_one_row_in_many_is_still_seen(server: Server, browser: Browser) -> None:
    run = server.new_run()
    spike = rows(0, 20_000, loss=lambda i: 1000.0 if i == 12_345 else 1.0)
    server.send_rows(run, spike)
    browser.open_run(run)
    browser.see_label("loss", "least 1, greatest 1,000")


def test_rows_that_arrive_are_drawn_without_a_reload(server: Server, browser: Browser) -> None:
    run = server.new_run(status="running")
    server.send_rows(run, rows(0, 10, loss=float))
    browser.open_run(run)
    browser.see_label("loss", "10 rows, last 9")

    server.send_rows(run, rows(10, 500, loss=float))
    browser.see_label("loss", "500 rows, last 499")
    server.send_rows(run, rows(500, 510, loss=float, late=float))
    browser.see_label("late", "10 rows, last 509")


def test_a_run_that_ends_shows_its_last_rows_and_its_state(
    server: Server, browser: Browser
) -> None:
    run = server.new_run(status="running")
    server.send_rows(run, rows(0, 10, loss=float))
    browser.open_run(run)
    expect(browser.find(".summary .status.running")).to_be_visible()

    server.send_rows(run, rows(10, 20, loss=float))
    server.put(f"/runs/{run}", {"status": "completed"})
    expect(browser.find(".summary .status.completed")).to_be_visible()
    browser.see_label("loss", "20 rows, last 19")


def test_dragging_asks_for_that_range_and_a_double_click_for_all(
    server: Server, browser: Browser
) -> None:
    run = server.new_run(status="completed")
    server.send_rows(run, rows(0, 10_000, ramp=float, twin=float))
    browser.open_run(run)
    browser.see_label("ramp", "10,000 rows")

    browser.drag("ramp", 0.25, 0.5)
    browser.see(lambda: "end=" in browser.asked("/metrics/buckets")[-1], "a question with a range")
    query = parse_qs(urlsplit(browser.asked("/metrics/buckets")[-1]).query)
    ((_, _, start),) = json.loads(query["sources"][0])
    # A tenth of the range is asked for beyond each end, so that the lines leave the chart;
    # the hand is steady to a pixel or two of some 300, which are 30 steps each.
    assert abs(start - (2500 - 250)) < 100
    assert abs(float(query["end"][0]) - (5000 + 250)) < 100
    # A quarter of the rows is left, in every chart of the page.
    for metric in ("ramp", "twin"):
        label = browser.see_label(metric, ": 2,")
        assert 2350 < int(label.split(": ")[1].split(" rows")[0].replace(",", "")) < 2650

    browser.plot("ramp").locator(".u-over").dblclick()
    browser.see_label("ramp", "10,000 rows")
    browser.see_label("twin", "10,000 rows")
    assert "from=" not in browser.page.url
    # The clicks that a double click is made of pin nothing: what is pointed at still moves.
    expect(browser.find(".rule:visible")).to_have_count(2)
    expect(browser.find(".rule.pinned")).to_have_count(0)


def test_the_address_is_the_view(server: Server, browser: Browser) -> None:
    run = server.new_run(status="completed")
    server.send_rows(run, rows(0, 1000, ramp=float, other=float))
    browser.open_run(run, "?x=time&from=10&to=19.95&metric=ram")
    browser.see_label("ramp", ": 100 rows, last 199")
    expect(browser.find(".chart h3")).to_have_text(["ramp"])

    browser.find("#xaxis").select_option("timestamp")
    browser.see_label("ramp", "1,000 rows")
    browser.page.go_back()
    browser.see_label("ramp", ": 100 rows, last 199")


def test_keys_zoom_and_reset(server: Server, browser: Browser) -> None:
    run = server.new_run(status="completed")
    server.send_rows(run, rows(0, 101, ramp=float))
    browser.open_run(run)
    browser.see_label("ramp", "101 rows")

    plot = browser.plot("ramp")
    plot.press("+")
    # The middle half.
    browser.see_label("ramp", "51 rows, last 75, least 25")
    plot.press("Escape")
    browser.see_label("ramp", "101 rows")


def test_values_that_are_not_finite_are_counted_beside_the_chart(
    server: Server, browser: Browser
) -> None:
    run = server.new_run()
    odd = {3: math.nan, 4: math.inf, 500: -math.inf}
    server.send_rows(run, rows(0, 1000, loss=lambda i: odd.get(i, 1.0), fine=float))
    browser.open_run(run)
    browser.see_label("loss", "1,000 rows", "least 1, greatest 1")
    expect(browser.find("[aria-label='loss'] .odd")).to_have_text("3 NaN or ±∞")
    expect(browser.find("[aria-label='fine'] .odd")).to_be_hidden()


def test_one_row_is_a_dot(server: Server, browser: Browser) -> None:
    run = server.new_run()
    server.send_rows(run, rows(7, 8, answer=lambda i: 42.0))
    browser.open_run(run)
    browser.see_label("answer", "1 row, last 42")
    # A disc of five pixels.
    browser.see(lambda: browser.ink("answer") > 10, "the dot")


def test_metadata_is_shown_with_dotted_keys(server: Server, browser: Browser) -> None:
    run = server.new_run(
        description="What it is about",
        metadata={"solver": {"dt": 0.01, "name": "rk4"}, "list": [1, 2]},
    )
    # A bare token, which JSON does not know and official clients send.
    odd = server.ask("PUT", f"/runs/{run}", data=b'{"metadata": {"odd": NaN}}')
    assert odd.status_code == 200
    browser.open_run(run, "?tab=overview")
    for key, value in {
        "solver.dt": "0.01",
        "solver.name": "rk4",
        "odd": "NaN",
        "list": "[1,2]",
    }.items():
        pair = browser.find(".facts dl > div").filter(has=browser.find(f"dt:text-is('{key}')"))
        expect(pair.locator("dd")).to_have_text(value)
    expect(browser.find(".summary")).to_contain_text("What it is about")


def test_rows_that_were_dropped_are_said(server: Server, browser: Browser) -> None:
    """Loss is a number, and stands where nobody overlooks it."""
    run = server.new_run(name="holes")
    server.send_rows(run, rows(0, 10, x=float))
    browser.open_run(run)
    browser.see_label("x", "10 rows")
    dropped = browser.find(".dropped")
    expect(dropped).to_be_hidden()
    facts = {"kind": "metrics", "dropped": 1234}
    server.put(f"/runs/{run}", {"writers": {"W" * 22: facts}})
    expect(dropped).to_contain_text("1,234 rows of this run are missing")


def test_a_run_that_does_not_exist_is_said_in_words(server: Server, stranger: Browser) -> None:
    # As a stranger who logs in: the 404 stands in the console, which `browser` forbids.
    stranger.log_in()
    stranger.open_run("A" * 22)
    expect(stranger.find(".empty a[href='/dashboard/runs']")).to_be_visible()


def test_a_server_that_is_gone_is_said_and_forgotten_when_it_is_back(
    fresh_server: Server, chromium: Chromium
) -> None:
    run = fresh_server.new_run(status="running")
    fresh_server.send_rows(run, rows(0, 5, loss=float))
    window = Browser(chromium, fresh_server)
    window.log_in()
    window.open_run(run)
    window.see_label("loss", "5 rows")

    fresh_server.kill()
    expect(window.find("#connection.bad")).to_be_visible()
    fresh_server.restart()
    fresh_server.send_rows(run, rows(5, 9, loss=float))
    window.see_label("loss", "9 rows")
    expect(window.find("#connection.bad")).to_be_hidden()
    window.context.close()
