"""Charts: found, sorted, shown over any axis, smoothed, pointed at, shared; many runs in one."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import expect
from test_page import rows

MANY = 300


def asked_metrics(browser: Browser) -> set[str]:
    """The metrics whose series the page asked for."""
    queries = [parse_qs(urlsplit(url).query) for url in browser.asked("/metrics/buckets?")]
    return {name for query in queries for name in json.loads(query["metrics"][0])}


def point(browser: Browser, metric: str, left: float, top: float = 0.5) -> None:
    """Move the mouse over the plot of *metric*, to a part of its width and height."""
    area = browser.plot(metric).locator(".u-over")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    browser.page.mouse.move(box["x"] + left * box["width"], box["y"] + top * box["height"])


def readout(browser: Browser, metric: str) -> Any:
    return browser.find(f"[aria-label='{metric}'] .readout")


def test_sections_follow_the_prefix_and_can_be_shut(server: Server, browser: Browser) -> None:
    run = server.new_run(status="completed")
    names = ["alone", "train/loss", "train/acc", "solver.dt", "resources/cpu"]
    server.send_rows(run, rows(0, 5, **dict.fromkeys(names, float)))
    browser.open_run(run)
    headings = browser.find(".groups h2")
    expect(headings).to_have_text(["Metrics 1", "solver 1", "train 2"])
    headings.filter(has_text="train").locator("button").click()
    expect(browser.find("[aria-label='train/loss']")).to_have_count(0)
    assert "shut=train" in browser.page.url
    browser.page.reload()
    expect(headings).to_have_text(["Metrics 1", "solver 1", "train 2"])
    expect(browser.find("[aria-label='train/loss']")).to_have_count(0)

    browser.find("#tab-resources").click()
    browser.see_label("resources/cpu", "5 rows")


def test_metrics_are_found_by_text_and_by_regular_expression(
    server: Server, browser: Browser
) -> None:
    run = server.new_run(status="completed")
    server.send_rows(run, rows(0, 5, **dict.fromkeys(("loss", "loss.q", "gloss", "a"), float)))
    browser.open_run(run)
    find = browser.find("input[aria-label='Find a metric']")
    cards = browser.find("article.chart")
    expect(cards).to_have_count(4)
    browser.page.keyboard.press("/")
    find.press_sequentially("LOSS")
    expect(cards).to_have_count(3)
    browser.find("[aria-label='Regular expression']").click()
    find.fill("^loss$")
    expect(cards).to_have_count(1)
    find.fill("(")
    expect(browser.find(".charts .wrong")).to_contain_text("no regular expression")


def test_only_charts_on_screen_are_asked_for(server: Server, browser: Browser) -> None:
    run = server.new_run(status="completed")
    names = [f"m{i:03d}" for i in range(MANY)]
    server.send_rows(run, rows(0, 3, **dict.fromkeys(names, float)))
    browser.open_run(run)
    browser.see_label("m000", "3 rows")
    assert 4 <= len(asked_metrics(browser)) < 30
    assert browser.find("canvas").count() < 30

    browser.find(f"[aria-label='m{MANY - 1}']").scroll_into_view_if_needed()
    browser.see_label(f"m{MANY - 1}", "3 rows")
    assert len(asked_metrics(browser)) < 80
    # A canvas that nobody sees is none.
    browser.see(lambda: browser.find("canvas").count() < 30, "few canvases")


def test_another_metric_may_be_the_x_axis(server: Server, browser: Browser) -> None:
    run = server.new_run(status="completed")
    server.send_rows(run, rows(0, 1000, loss=lambda i: 1000.0 - i, angle=lambda i: i % 100 * 1.0))
    browser.open_run(run)
    browser.see_label("loss", "1,000 rows")
    browser.find("#xaxis").focus()
    browser.find("#xaxis").select_option("metric:angle")
    browser.see_label("loss", "1,000 rows, last 1, least 1, greatest 1,000")
    # Rows where the angle is from 10 to 19: those of every hundred steps, wherever they are.
    browser.open_run(run, "?x=metric:angle&from=10&to=19")
    browser.see_label("loss", ": 100 rows, last 81")


def test_logarithmic_axes_are_a_key_away(server: Server, browser: Browser) -> None:
    run = server.new_run(status="completed")
    server.send_rows(run, rows(0, 20_000, loss=lambda i: 1e6 if i == 7 else 1 / (i + 1)))
    browser.open_run(run)
    browser.see_label("loss", "20,000 rows")
    browser.page.keyboard.press("y")
    browser.page.keyboard.press("x")
    # All but step 0, which has no logarithm and is said to be left out.
    browser.see_label("loss", ": 19,999 rows", "greatest 1,000,000")
    expect(browser.find("[aria-label='loss'] .odd")).to_have_text("1 not on this axis")
    assert "log=xy" in browser.page.url
    assert "xscale=log" in browser.asked("/metrics/buckets?")[-1]
    browser.page.keyboard.press("x")
    browser.page.keyboard.press("y")
    browser.see_label("loss", ": 20,000 rows")


def test_smoothing_weighs_by_time_and_bridges_no_gap(browser: Browser) -> None:
    body = """
    const [x, line] = [rest[0], rest[1].map((v) => v ?? NaN)].map((of) => Float64Array.from(of));
    return Array.from(it.smoothed({ x, line }, rest[2], 1000), (v) => (Number.isNaN(v) ? null : v));
    """
    smooth = browser.run_module("series.js", body, [0, 1, 2, 4], [0, 1, None, 5], 0.5)
    # (0 * 0.5 + 1) / (0.5 + 1); then anew behind the gap.
    assert smooth == [0, 1 / 1.5, None, 5]
    # Twice as far away counts half as much again.
    apart = browser.run_module("series.js", body, [0, 2], [0, 1], 0.5)
    assert apart[1] == 1 / 1.25


def test_charts_point_at_the_same_place_until_it_is_freed(server: Server, browser: Browser) -> None:
    run = server.new_run(status="completed")
    server.send_rows(run, rows(0, 101, ramp=float, square=lambda i: float(i * i)))
    browser.open_run(run)
    browser.see_label("square", "101 rows")
    point(browser, "ramp", 0.5)
    expect(readout(browser, "ramp")).to_have_text("50  at step 50")
    expect(readout(browser, "square")).to_have_text("2,500  at step 50")
    browser.page.mouse.down()
    browser.page.mouse.up()
    point(browser, "ramp", 0.9)
    expect(readout(browser, "square")).to_have_text("2,500  at step 50")
    expect(browser.find(".rule.pinned")).to_have_count(2)
    browser.page.keyboard.press("Escape")
    expect(readout(browser, "square")).to_have_text("10,000")


def test_full_screen_is_in_the_address_and_escape_leaves_it(
    server: Server, browser: Browser
) -> None:
    run = server.new_run(status="completed")
    server.send_rows(run, rows(0, 50, ramp=float, other=float))
    browser.open_run(run)
    browser.see_label("ramp", "50 rows")
    browser.find("[aria-label='Show ramp over the full screen']").click()
    box = browser.find("article.full").bounding_box()
    assert box is not None
    assert (box["width"], box["height"]) == (1280, 900)
    assert "full=ramp" in browser.page.url
    browser.page.keyboard.press("Escape")
    expect(browser.find("article.full")).to_have_count(0)


def test_a_chart_is_saved_as_picture_and_table_and_shared_by_link(
    server: Server, browser: Browser
) -> None:
    browser.context.grant_permissions(["clipboard-read", "clipboard-write"])
    run = server.new_run(name="=1+1", status="completed")
    server.send_rows(run, rows(0, 5000, **{"a/ramp": float}))
    browser.open_run(run, "?from=10&to=12")
    browser.see_label("a/ramp", ": 3 rows")
    expect(browser.find("h1")).to_have_text("=1+1")

    def choose(what: str) -> None:
        browser.find("[aria-label='Save or share a/ramp']").click()
        browser.find("[role=menuitem]").filter(has_text=what).click()

    with browser.page.expect_download() as picture:
        choose("PNG")
    assert picture.value.suggested_filename == "a_ramp.png"
    assert Path(picture.value.path()).read_bytes().startswith(b"\x89PNG")

    with browser.page.expect_download() as table:
        choose("CSV")
    found = list(csv.DictReader(io.StringIO(Path(table.value.path()).read_text())))
    assert [(row["step"], row["a/ramp"], row["rows"]) for row in found] == [
        ("10", "10", "1"),
        ("11", "11", "1"),
        ("12", "12", "1"),
    ]
    # A spreadsheet would run the name as a formula.
    assert found[0]["name"] == "'=1+1"

    choose("link")
    link = browser.see(lambda: browser.page.evaluate("navigator.clipboard.readText()"), "a link")
    assert "full=a%2Framp" in link
    assert "from=10" in link


def test_what_is_new_is_joined_to_what_is_drawn(server: Server, browser: Browser) -> None:
    run = server.new_run(status="running")
    server.send_rows(run, rows(0, 2000, loss=float))
    browser.open_run(run)
    browser.see_label("loss", "2,000 rows, last 1,999")
    for first in range(2000, 2100, 20):
        server.send_rows(run, rows(first, first + 20, loss=float))
        browser.see_label("loss", f"{first + 20:,} rows, last {first + 19:,}, least 0")
    tails = [parse_qs(urlsplit(url).query) for url in browser.asked("/metrics/buckets?")]
    starts = [
        start
        for query in tails
        for (_, _, start) in json.loads(query["sources"][0])
        if start is not None
    ]
    # From the last bucket that was drawn on, not from the beginning.
    assert len(starts) >= 3
    assert min(starts) > 1900


def test_joining_leaves_what_was_drawn_as_it_was(browser: Browser) -> None:
    body = """
    const cut = (from, to) => {
      const x = Float64Array.from({ length: to - from }, (_, i) => from + i);
      const [count, nonfinite] = [x.map(() => 1), x.map(() => 0)];
      return { count, nonfinite, first: x, last: x, min: x, max: x, x_first: x, x_last: x };
    };
    const both = it.joined([cut(0, 10), cut(9, 20)]);
    return [Array.from(both.x_last), both.count.reduce((a, b) => a + b)];
    """
    x, count = browser.run_module("series.js", body)
    assert x == list(range(20))
    assert count == 20


def test_ticked_runs_are_drawn_over_each_other_and_the_nearest_is_named(
    server: Server, browser: Browser
) -> None:
    runs = []
    for k in range(3):
        run = server.new_run(name=f"level {k}", status="completed")
        server.send_rows(run, rows(0, 100, level=lambda i, k=k: k + math.sin(i / 10) / 10))
        runs.append(run)
    browser.open(f"/dashboard/runs?runs={','.join(runs)}")
    browser.see_label("level", "3 runs, 300 rows")
    expect(browser.find("article.chart")).to_have_count(1)
    point(browser, "level", 0.5, 0.05)
    expect(readout(browser, "level")).to_contain_text("level 2")
    expect(browser.find(".values .set")).to_contain_text("level 2")
    point(browser, "level", 0.5, 0.95)
    expect(browser.find(".values .set")).to_contain_text("level 0")

    browser.open(f"/dashboard/runs?runs={','.join(runs)}&hide={runs[2]}")
    browser.see_label("level", "2 runs, 200 rows")


def test_many_runs_over_each_other_share_the_buckets_of_a_chart(
    server: Server, browser: Browser
) -> None:
    runs = [server.new_run(name=f"run {k}", status="completed") for k in range(24)]
    for run in runs:
        server.send_rows(run, rows(0, 300, a=float, b=float))
    browser.open(f"/dashboard/runs?runs={','.join(runs)}")
    browser.see_label("a", "24 runs, 7,200 rows")
    # One question for all runs and metrics.
    (asked,) = [parse_qs(urlsplit(url).query) for url in browser.asked("/metrics/buckets?")]
    assert json.loads(asked["sources"][0]) == [[run, None, None] for run in runs]
    assert json.loads(asked["metrics"][0]) == ["a", "b"]
    buckets = int(asked["max_points"][0])
    box = browser.plot("a").locator(".u-over").bounding_box()
    assert box is not None
    # A bucket for two pixels; the width is rounded up.
    assert box["width"] <= 2 * buckets <= box["width"] + 32


def test_rows_of_one_rank_can_be_seen_alone(server: Server, browser: Browser) -> None:
    run = shared_run(server, 3)
    browser.open_run(run, "?rank=1")
    browser.see_label("residual", ": 60 rows")
    browser.find(".only button").click()
    browser.see_label("residual", ": 180 rows")


def shared_run(server: Server, ranks: int, slow: int = -1, odd: int = -1) -> str:
    """Create a run that *ranks* share: one row a second each; *slow* has done half the steps."""
    run = server.new_run(name="shared", status="completed")
    for rank in range(ranks):
        writer = f"W{rank:02d}".ljust(22, "x")
        server.put(f"/runs/{run}", {"writers": {writer: {"kind": "metrics", "rank": rank}}})
        logged = [
            {
                "step": second // 2 if rank == slow else second,
                "time": float(second),
                "timestamp": f"2026-01-31T12:00:{second:02d}.000000",
                "values": {"residual": (5.0 if rank == odd else 1.0) + (second * rank) % 7 / 100},
            }
            for second in range(60)
        ]
        server.send_rows(run, logged, writer)
    return run
