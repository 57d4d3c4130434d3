"""Every view: readable by everybody, in dark and light, and text is text whoever wrote it."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest
from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import expect
from run_parts import BACKWARDS, save

from simvue.server.pages import CSP

MARKUP = "<img src=x onerror=\"document.title='owned'\"><svg onload=alert(1)>"
# Metrics have no quotes in their names.
METRIC = "<svg onload=alert>"
HUGE = "long" * 250
# A path with a slash is a folder in a folder.
FOLDER = f"/hostile/{MARKUP.replace('/', '')}"


@pytest.fixture(scope="module")
def made(server: Server) -> dict[str, str]:
    """Something of everything, with names that would be markup, or turn the line, or fill it."""
    # Of a run, each stands otherwise: critical, well, not yet known.
    alert, well, unknown = (
        server.post("/alerts", {"name": name, "description": BACKWARDS, "source": "user"})["id"]
        for name in (MARKUP, f"well {BACKWARDS}", HUGE)
    )
    runs = []
    for place, name in enumerate((MARKUP, BACKWARDS, HUGE)):
        run = server.new_run(
            name=name,
            description=MARKUP,
            folder=FOLDER,
            tags=[MARKUP, BACKWARDS, HUGE],
            alerts=[alert, well, unknown],
            metadata={MARKUP: MARKUP, BACKWARDS: HUGE, "number": place, "list": [MARKUP]},
            system={"hostname": MARKUP},
        )
        row = {"time": 0.0, "timestamp": "2026-01-01T00:00:00.000000"}
        server.send_rows(
            run,
            [
                {**row, "step": i, "values": {"loss": i * place, "resources/cpu": 1}}
                for i in range(9)
            ],
        )
        runs.append(run)
    event = {"message": f"{MARKUP} {HUGE}", "timestamp": "2026-01-01T00:00:00.000000"}
    server.send("/events", {"run": runs[0], "events": [event]})
    for one, status in ((alert, "critical"), (well, "ok")):
        server.put(f"/alerts/{one}/status/{runs[0]}", {"status": status})
    artifact = save(server, runs[0], MARKUP, "text/csv", f"{MARKUP},b\n1,{HUGE}\n".encode())
    for name, run, category in ((HUGE, runs[0], "input"), (BACKWARDS, runs[1], "output")):
        save(server, run, name, "text/plain", b"bytes that one run has of another", category)
    folder = server.get("/folders", filters=json.dumps([f"path == {FOLDER}"]))["data"][0]["id"]
    server.put(
        f"/folders/{folder}",
        {"description": MARKUP, "metadata": {MARKUP: BACKWARDS}, "tags": [MARKUP]},
    )
    server.post("/tokens", {"name": MARKUP})
    ids = {"run": runs[0], "runs": ",".join(runs), "artifact": artifact}
    return {**ids, "job": job(server)}


def job(server: Server) -> str:
    """A run of four ranks that log a metric with such a name."""
    run = server.new_run(name=BACKWARDS, folder=FOLDER)
    row = {"time": 0.0, "timestamp": "2026-01-01T00:00:00.000000"}
    for rank in range(4):
        writer = f"W{rank}".ljust(22, "x")
        server.put(f"/runs/{run}", {"writers": {writer: {"kind": "metrics", "rank": rank}}})
        values = [{**row, "step": i, "values": {METRIC: i * rank}} for i in range(9)]
        server.send_rows(run, values, writer)
    return run


# What each view is, and what shows that it stands.
VIEWS = {
    "runs": ("/dashboard/runs", ".runs .name"),
    "run": ("/dashboard/runs/run/{run}", ".plot"),
    "overview": ("/dashboard/runs/run/{run}?tab=overview", ".facts dd"),
    "job": ("/dashboard/runs/run/{job}?tab=job", ".oddest"),
    "events": ("/dashboard/runs/run/{run}?tab=events", ".events li"),
    "resources": ("/dashboard/runs/run/{run}?tab=resources", ".plot"),
    "artifacts": ("/dashboard/runs/run/{run}?tab=artifacts", ".shelves button"),
    "preview": ("/dashboard/runs/run/{run}?tab=artifacts&artifact={artifact}", ".preview td"),
    "run's alerts": ("/dashboard/runs/run/{run}?tab=alerts", ".watches .critical"),
    "lineage": ("/dashboard/runs/run/{run}?tab=lineage", ".lineage a rect"),
    "full screen": ("/dashboard/runs/run/{run}?full=loss", ".plot"),
    "compare": ("/dashboard/compare?runs={runs}", ".matrix tbody th.key"),
    "scatter": ("/dashboard/compare?show=scatter&runs={runs}", ".plane circle"),
    "parallel": ("/dashboard/compare?show=parallel&runs={runs}", ".plane .title"),
    "charts": ("/dashboard/compare?show=charts&runs={runs}", ".plot"),
    "no runs": ("/dashboard/compare", ".empty"),
    "folders": (f"/dashboard/folders?path={quote(FOLDER)}", ".details h2"),
    "tags": ("/dashboard/tags", ".list tbody tr"),
    "alerts": ("/dashboard/alerts", ".list tbody tr"),
    "tokens": ("/dashboard/settings", ".list tbody tr"),
    "users": ("/dashboard/settings?tab=users", ".list tbody tr"),
    "tenants": ("/dashboard/settings?tab=tenants", ".list tbody tr"),
    "storages": ("/dashboard/settings?tab=storages", ".list tbody tr"),
    "about": ("/dashboard/settings?tab=about", ".pairs dd"),
    "unknown address": ("/dashboard/nowhere", ".empty a"),
}


@pytest.mark.parametrize("view", VIEWS)
def test_names_of_strangers_are_text_and_axe_finds_nothing_serious(
    browser: Browser, made: dict[str, str], view: str
) -> None:
    path, standing = VIEWS[view]
    browser.page.emulate_media(color_scheme="light")
    browser.open(path.format(**made))
    expect(browser.find(standing).first).to_be_visible()
    expect(browser.page).to_have_title(re.compile("Simvue$"))
    assert browser.find("main img, main svg[onload], main [onerror]").count() == 0
    assert browser.barriers() == []
    browser.page.emulate_media(color_scheme="dark")
    expect(browser.find("html")).to_have_attribute("data-theme", "dark")
    assert browser.barriers() == []
    # Nothing pushes the page wider than the window, a phone's neither.
    for width in (1280, 390):
        browser.page.set_viewport_size({"width": width, "height": 800})
        assert browser.page.evaluate("document.documentElement.scrollWidth") <= width


# What is opened over a view: its address, and the button that opens it.
OVER = {
    "keys": ("/dashboard/runs", "Help"),
    "filter": ("/dashboard/runs", "+ Filter"),
    "columns": ("/dashboard/runs", "Columns"),
    "connect": ("/dashboard/runs", "Connect a simulation"),
    "bulk tag": ("/dashboard/runs?runs={runs}", "Tag"),
    "bulk move": ("/dashboard/runs?runs={runs}", "Move"),
    "bulk delete": ("/dashboard/runs?runs={runs}", "Delete"),
    "menu of a chart": ("/dashboard/runs/run/{run}", "Save or share loss"),
    "abort": ("/dashboard/runs/run/{run}", "Abort…"),
    "description": ("/dashboard/runs/run/{run}?tab=overview", "Edit"),
    "attach": ("/dashboard/runs/run/{run}?tab=alerts", "Attach an alert"),
    "alert form": ("/dashboard/alerts", "New alert"),
    "tag form": ("/dashboard/tags", "New tag"),
    "new user": ("/dashboard/settings?tab=users", "New user"),
    "new storage": ("/dashboard/settings?tab=storages", "New S3 storage"),
}


@pytest.mark.parametrize("over", OVER)
def test_axe_finds_nothing_serious_in_what_is_opened_over_a_view(
    browser: Browser, made: dict[str, str], over: str
) -> None:
    path, button = OVER[over]
    browser.page.emulate_media(color_scheme="light")
    browser.open(path.format(**made))
    browser.page.get_by_role("button", name=button, exact=True).first.click()
    opened = browser.find("dialog[open], [popover]:popover-open")
    expect(opened).to_be_visible()
    assert browser.barriers() == []
    browser.page.emulate_media(color_scheme="dark")
    expect(browser.find("html")).to_have_attribute("data-theme", "dark")
    assert browser.barriers() == []
    # All of it can be seen on a phone.
    browser.page.set_viewport_size({"width": 390, "height": 800})
    expect(opened).to_be_visible()
    assert opened.evaluate("it => it.scrollWidth - it.clientWidth") <= 0


# Keys of a part of a view, and what the overlay says of them.
KEYS = {
    "run": [("+ - 0", "Zoom a chart"), ("← →", "Move the cursor of a chart · Go to the next tab")],
    "job": [("↑ ↓ ← →", "Move over the map"), ("← →", "Go to the next tab")],
    "events": [("↑ ↓", "Walk along the events")],
    "tags": [("↑ ↓", "Walk from line to line")],
}


@pytest.mark.parametrize("view", KEYS)
def test_the_overlay_of_keys_tells_what_the_parts_of_a_view_hear(
    browser: Browser, made: dict[str, str], view: str
) -> None:
    path, standing = VIEWS[view]
    browser.open(path.format(**made))
    expect(browser.find(standing).first).to_be_visible()
    browser.page.keyboard.press("?")
    lines = browser.find("dialog .keys > div")
    for keys, says in KEYS[view]:
        line = lines.filter(has=browser.page.get_by_text(keys, exact=True))
        expect(line.locator("dd")).to_contain_text(says)
    told = " ".join(lines.all_inner_texts())
    assert ("Zoom a chart" in told) == (view in ("run", "job"))
    assert ("Walk from line to line" in told) == (view == "tags")


def test_axe_finds_nothing_serious_before_the_log_in(stranger: Browser) -> None:
    stranger.open("/dashboard/runs")
    expect(stranger.find("#token")).to_be_visible()
    assert stranger.barriers() == []


def test_no_exception_for_scripts_in_the_security_policy(server: Server, browser: Browser) -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in CSP.split(";"))
    assert rules["default-src"] == "'self'"
    assert "unsafe" not in CSP
    answer = browser.context.request.get("/dashboard/runs")
    assert answer.headers["content-security-policy"] == CSP
