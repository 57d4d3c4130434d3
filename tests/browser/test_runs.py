"""The table of runs: what is shown of thousands, and how it follows what happens."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import Locator, expect

MANY = 1_200


@pytest.fixture(scope="module")
def many(server: Server) -> str:
    """A folder with many runs, named by their number; the address of its table."""
    folder = "/many/of-them"
    batch = [
        {
            "name": f"run-{i:04d}",
            "folder": folder,
            "status": "completed",
            "metadata": {"turn": MANY - i},
        }
        for i in range(MANY)
    ]
    server.post("/runs", batch)
    return f"/dashboard/runs?filter={quote(f'folder.path == {folder}')}"


def names(browser: Browser) -> Locator:
    return browser.find(".runs a.name")


def test_a_new_run_appears_in_the_open_table(server: Server, browser: Browser) -> None:
    browser.open("/dashboard/runs?find=appears")
    expect(browser.find(".board .empty")).to_contain_text("No run fits")
    run = server.new_run(name="appears-now", tags=["fresh"], status="running")

    expect(names(browser)).to_have_text(["appears-now"])
    row = browser.find(".runs tr", has_text="appears-now")
    expect(row).to_contain_text("running")
    expect(row.locator(".tag")).to_have_text(["fresh"])
    # Its duration runs while it runs, and stops with it.
    length = row.locator("[data-column=duration]")
    before = length.inner_text()
    expect(length).not_to_have_text(before)
    server.put(f"/runs/{run}", {"status": "completed"})
    expect(row.locator(".status")).to_have_text("completed")
    names(browser).click()
    expect(browser.page).to_have_title("appears-now – Simvue")
    assert browser.page.url.endswith(f"/dashboard/runs/run/{run}")


def test_of_many_runs_only_those_in_sight_are_asked_for_and_drawn(
    many: str, browser: Browser
) -> None:
    browser.open(many)
    expect(browser.find(".head .total")).to_have_text("1,200 runs")
    expect(names(browser).first).to_have_text(f"run-{MANY - 1}")
    (first,) = browser.asked("/api/runs?")[:1]
    query = parse_qs(urlsplit(first).query)
    assert query["count"] == ["50"]
    # What no column shows is not asked for.
    assert {"metrics", "metadata"} <= set(json.loads(query["unwanted"][0]))
    # A screen of 900 pixels has room for 25 rows of 36; some more wait beyond its edges.
    assert names(browser).count() < 50

    names(browser).first.focus()
    browser.page.keyboard.press("End")
    expect(names(browser).last).to_have_text("run-0000")
    expect(names(browser).last).to_be_focused()
    starts = {parse_qs(urlsplit(url).query)["start"][0] for url in browser.asked("/api/runs?")}
    assert starts == {"0", "1150"}


def test_a_column_sorts_and_the_address_says_so(many: str, browser: Browser) -> None:
    browser.open(f"{many}&col=name&col=metadata.turn&pin=name")
    browser.find("th button", has_text="turn").click()
    expect(names(browser).first).to_have_text("run-1199")
    browser.find("th button", has_text="turn").click()
    expect(names(browser).first).to_have_text("run-0000")
    assert "sort=metadata.turn&order=down" in browser.page.url
    browser.page.reload()
    expect(names(browser).first).to_have_text("run-0000")
    expect(browser.find("[data-column='metadata.turn']").first).to_have_text("1200")
    browser.page.go_back()
    expect(names(browser).first).to_have_text("run-1199")


def test_columns_of_metadata_and_metrics_are_picked(server: Server, browser: Browser) -> None:
    run = server.new_run(name="picked", folder="/pick", metadata={"solver": {"dt": 0.5}})
    row = {"step": 1, "time": 1.0, "timestamp": "2026-01-31T12:00:00.000000"}
    server.send_rows(run, [{**row, "values": {"train/loss": 0.25}}])
    browser.open("/dashboard/runs?folder=/pick")
    browser.find("button", has_text="Columns").click()
    dialog = browser.find("dialog")
    dialog.get_by_text("+ metadata.solver.dt").click()
    dialog.get_by_label("Of a metric").select_option("min")
    dialog.get_by_text("+ metrics.train/loss.min").click()
    dialog.get_by_text("Done").click()
    expect(browser.find("[data-column='metadata.solver.dt']")).to_have_text("0.5")
    expect(browser.find("[data-column='metrics.train/loss.min']")).to_have_text("0.25")
    # The values that a column shows are followed.
    server.send_rows(run, [{**row, "step": 2, "values": {"train/loss": 0.125}}])
    expect(browser.find("[data-column='metrics.train/loss.min']")).to_have_text("0.125")
    # This reader's columns, also at an address that names none.
    browser.open("/dashboard/runs?folder=/pick")
    expect(browser.find("[data-column='metadata.solver.dt']")).to_have_text("0.5")
    kept = browser.page.evaluate("localStorage.getItem('simvue.columns')")
    assert json.loads(kept)["columns"][-1] == "metrics.train/loss.min"


def test_alerts_are_a_tick_or_say_how_many_are_critical(server: Server, browser: Browser) -> None:
    alert = {"source": "user", "notification": "none", "enabled": True}
    alerts = [server.post("/alerts", {**alert, "name": f"table-{i}"})["id"] for i in range(3)]
    run = server.new_run(folder="/alerted", alerts=alerts)
    browser.open("/dashboard/runs?folder=/alerted&col=name&col=alerts")
    cell = browser.find("[data-column=alerts]")
    expect(cell).to_have_text("✓ 3")
    server.put(f"/alerts/{alerts[0]}/status/{run}", {"status": "critical"})
    expect(cell).to_have_text("critical 1 of 3")


def test_runs_are_ticked_in_ranges_and_stand_in_the_address(many: str, browser: Browser) -> None:
    browser.open(many)
    boxes = browser.find(".runs tbody input[type=checkbox]")
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    expect(browser.find(".bulk")).to_contain_text("4 runs ticked")
    query = parse_qs(urlsplit(browser.page.url).query)
    assert len(query["runs"][0].split(",")) == 4
    # The eye takes a run out of the charts and leaves it ticked.
    browser.find(".runs .ticked .eye").first.click()
    query = parse_qs(urlsplit(browser.page.url).query)
    assert query["hide"][0] == query["runs"][0].split(",")[0]
    browser.page.reload()
    expect(browser.find(".runs tr.ticked")).to_have_count(4)
    compare = browser.find(".bulk a").get_attribute("href")
    assert compare == f"/dashboard/compare?runs={quote(query['runs'][0])}"
    browser.find(".bulk button", has_text="Clear").click()
    expect(browser.find(".runs tr.ticked")).to_have_count(0)


def test_all_runs_are_ticked_as_many_as_an_address_holds(many: str, browser: Browser) -> None:
    browser.open(f"{many}&find=run-00")
    tick_all = browser.page.get_by_label("Tick all", exact=True)
    boxes = browser.find(".runs tbody input[type=checkbox]")
    expect(browser.find(".head .total")).to_have_text("100 runs")
    # Those that are not on screen too.
    tick_all.click()
    expect(browser.find(".bulk strong")).to_have_text("100 runs ticked")
    expect(tick_all).to_be_checked()
    boxes.nth(1).click()
    expect(browser.find(".bulk strong")).to_have_text("99 runs ticked")
    expect(tick_all).to_have_js_property("indeterminate", True)
    tick_all.click()
    expect(browser.find(".bulk")).to_be_hidden()
    expect(browser.find(".runs tr.ticked")).to_have_count(0)
    browser.find(".head .find").fill("")
    expect(browser.find(".head .total")).to_have_text("1,200 runs")
    tick_all.click()
    expect(browser.find(".bulk strong")).to_have_text(
        "300 runs ticked, as many as an address holds"
    )
    query = parse_qs(urlsplit(browser.page.url).query)
    assert len(query["runs"][0].split(",")) == 300


def test_ticked_runs_are_drawn_beside_the_table(server: Server, browser: Browser) -> None:
    at = {"time": 1.0, "timestamp": "2026-01-31T12:00:00.000000"}
    for i in range(2):
        run = server.new_run(name=f"line-{i}", folder="/lines")
        server.send_rows(run, [{**at, "step": step, "values": {"wave": step}} for step in range(9)])
    browser.open("/dashboard/runs?folder=/lines")
    boxes = browser.find(".runs tbody input[type=checkbox]")
    boxes.nth(0).click()
    boxes.nth(1).click()
    charts = browser.find("[data-slot=charts]")
    expect(charts.locator("canvas").first).to_be_visible()
    browser.find(".bulk button", has_text="Clear").click()
    expect(charts).to_be_hidden()
    expect(charts.locator("canvas")).to_have_count(0)


def test_the_keyboard_walks_the_table(many: str, browser: Browser) -> None:
    browser.open(many)
    expect(names(browser).first).to_be_visible()
    browser.page.keyboard.press("ArrowDown")
    expect(names(browser).first).to_be_focused()
    browser.page.keyboard.press("ArrowDown")
    browser.page.keyboard.press("Space")
    expect(browser.find(".runs tr.ticked a.name")).to_have_text(f"run-{MANY - 2}")
    browser.page.keyboard.press("/")
    expect(browser.find(".head .find")).to_be_focused()
    browser.page.keyboard.type("run-0042")
    expect(names(browser)).to_have_text(["run-0042"])
    browser.page.keyboard.press("Escape")
    browser.page.keyboard.press("?")
    expect(browser.find("dialog")).to_contain_text("Walk down the table")
    browser.page.keyboard.press("Escape")
    expect(browser.find("dialog")).to_have_count(0)
    browser.page.keyboard.press("ArrowDown")
    browser.page.keyboard.press("Enter")
    expect(browser.page).to_have_title("run-0042 – Simvue")


def test_runs_are_grouped_and_a_group_is_closed(many: str, browser: Browser) -> None:
    browser.open(f"{many}&find=run-00[0-3]\\d$&regex=1&group=metadata.turn")
    expect(browser.find(".head .total")).to_have_text("40 of 1,200 runs")
    groups = browser.find(".runs .group button")
    expect(groups.first).to_have_text("11611")
    expect(names(browser).first).to_have_text("run-0039")
    groups.first.click()
    expect(groups.first).to_have_attribute("aria-expanded", "false")
    expect(names(browser).first).to_have_text("run-0038")


def test_what_is_shown_is_a_file(many: str, server: Server, browser: Browser) -> None:
    server.new_run(name="run-comma", folder="/many/of-them", description='=1+1, "two"')
    browser.open(f"{many}&find=run-comma&col=name&col=description")
    expect(names(browser)).to_have_text(["run-comma"])
    with browser.page.expect_download() as download:
        browser.find("button", has_text="CSV").click()
    lines = download.value.path().read_bytes().decode().split("\r\n")
    assert lines[0] == "Id,Name,Description"
    # A text that a spreadsheet would run as a formula is one no more.
    assert lines[1].endswith(""",run-comma,"'=1+1, ""two""\"""")
    assert lines[2:] == [""]


def test_on_a_phone_the_page_is_as_wide_as_the_screen(many: str, browser: Browser) -> None:
    browser.page.set_viewport_size({"width": 390, "height": 800})
    browser.open(many)
    expect(names(browser).first).to_be_visible()
    assert browser.page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nobody_is_kept_out_of_the_table(many: str, browser: Browser, theme: str) -> None:
    browser.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    browser.open(f"{many}&runs=")
    boxes = browser.find(".runs tbody input[type=checkbox]")
    boxes.first.click()
    expect(browser.find(".bulk")).to_be_visible()
    assert browser.barriers() == []
