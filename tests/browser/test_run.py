"""The tabs of a run: what it said of itself, its events, artifacts, alerts, lineage; its end."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import requests
from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import expect

from simvue.wire import new_id

HOSTILE = "<img src=x onerror='window.hacked=1'><b>bold</b>"
SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="32" onload="top.hacked=1">'
    b"<script>top.hacked=1</script></svg>"
)


def save(
    server: Server, run: str, name: str, mime_type: str, content: bytes, category: str = "output"
) -> str:
    """Save an artifact as clients do; return its id."""
    artifact = {
        "name": name,
        "original_path": "",
        "size": len(content),
        "mime_type": mime_type,
        "checksum": hashlib.sha256(content).hexdigest(),
    }
    made: dict[str, Any] = server.post("/artifacts", artifact)
    if made["url"]:
        assert requests.put(made["url"], data=content, timeout=30).ok
    server.put(f"/runs/{run}/artifacts/{made['id']}", {"category": category})
    identifier: str = made["id"]
    return identifier


def say(server: Server, run: str, *messages: str, level: str = "info") -> None:
    events = [
        {"message": text, "timestamp": "2026-01-31T12:00:00.000000", "log_level": level}
        for text in messages
    ]
    assert server.send("/events", {"run": run, "events": events}).status_code == 200


# ---- Overview and head ----------------------------------------------------------------------


def test_the_overview_counts_the_processes_of_each_attempt(
    server: Server, browser: Browser
) -> None:
    run = server.new_run()
    for launch, statuses in (("a", ["completed", "failed", "completed"]), ("b", ["running"] * 3)):
        for rank, status in enumerate(statuses):
            process = {"id": new_id(), "launch": launch, "rank": rank, "size": 3}
            for said in {"running": None, status: None}:
                server.put(f"/runs/{run}", {"process": {**process, "status": said}})
    browser.open_run(run, "?tab=overview")
    attempts = browser.find(".facts section").filter(has_text="Attempts").locator("dd")
    expect(attempts).to_have_text(["2 completed, 1 failed (rank 1)", "3 running"])


def test_the_overview_says_why_a_run_failed(server: Server, browser: Browser) -> None:
    run = server.new_run(status="failed", metadata={"git": {"ref": "4f1c"}, "note": HOSTILE})
    say(server, run, "killed by SIGSEGV", level="error")
    browser.open_run(run, "?tab=overview")
    expect(browser.find(".cause")).to_have_text("Why it is failedkilled by SIGSEGV")
    expect(browser.find(".facts section").filter(has_text="Git").locator("dd")).to_have_text("4f1c")
    expect(browser.find(".facts section").filter(has_text="note").locator("dd")).to_have_text(
        HOSTILE
    )
    assert browser.page.evaluate("window.hacked") is None


def test_tags_and_description_are_edited_in_place(server: Server, browser: Browser) -> None:
    run = server.new_run(tags=["night"])
    browser.open_run(run, "?tab=overview")
    browser.find("[aria-label='Edit the tags']").click()
    field = browser.find(".tags input")
    field.fill(HOSTILE)
    field.press("Enter")
    browser.see(
        lambda: sorted(server.get(f"/runs/{run}")["tags"]) == sorted(["night", HOSTILE]),
        "the new tag at the server",
    )
    field.press("Escape")
    expect(browser.find(".tags .tag")).to_have_count(2)
    browser.find(".notes button").click()
    browser.find("dialog textarea").fill("Line one\nLine two")
    browser.find("dialog button.button").click()
    expect(browser.find(".summary .description")).to_have_text("Line one\nLine two")
    assert browser.page.evaluate("window.hacked") is None


def test_a_run_is_aborted_after_a_question(server: Server, browser: Browser) -> None:
    run = server.new_run(status="running")
    browser.open_run(run)
    browser.find(".headline button").filter(has_text="Abort").click()
    assert server.get(f"/runs/{run}")["abort"] is False
    browser.find("dialog input").fill("diverged")
    browser.find("dialog .danger").click()
    expect(browser.find(".headline button").last).to_have_text("Asked to stop")
    assert server.get(f"/runs/{run}")["abort"] is True


# ---- Events ---------------------------------------------------------------------------------


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


# ---- Artifacts ------------------------------------------------------------------------------


def test_artifacts_stand_by_category_with_previews(server: Server, browser: Browser) -> None:
    run = server.new_run()
    save(server, run, "solve.py", "text/x-python", b"print('hi')\n", "code")
    save(server, run, "mesh.csv", "text/csv", b'x,y\n1,"a, ""b"""\n2,<b>z</b>\n', "input")
    save(server, run, "state.bin", "application/octet-stream", b"\x00\x01\x02")
    browser.open_run(run, "?tab=artifacts")
    expect(browser.find(".shelves h2")).to_have_text(["Code", "Input", "Output"])

    def choose(name: str) -> None:
        browser.find(".shelves button").filter(has_text=name).click()
        expect(browser.find(".shown h2")).to_have_text(name)

    choose("solve.py")
    expect(browser.find(".preview pre")).to_have_text("print('hi')\n")
    choose("mesh.csv")
    cells = browser.find(".preview td")
    expect(cells).to_have_text(["1", 'a, "b"', "2", "<b>z</b>"])
    choose("state.bin")
    expect(browser.find(".preview")).to_contain_text("no preview")
    with browser.page.expect_download() as download:
        browser.find(".shown a.button").click()
    assert download.value.suggested_filename == "state.bin"


def test_hostile_artifacts_never_run_in_our_origin(server: Server, browser: Browser) -> None:
    run = server.new_run()
    image = save(server, run, "evil.svg", "image/svg+xml", SVG)
    page = save(server, run, "evil.html", "text/html", b"<script>top.hacked=1</script>")
    browser.open_run(run, f"?tab=artifacts&artifact={image}")
    shown = browser.find(".preview img")
    browser.see(lambda: shown.evaluate("image => image.naturalWidth") == 64, "the image")
    browser.open_run(run, f"?tab=artifacts&artifact={page}")
    expect(browser.find(".preview pre")).to_have_text("<script>top.hacked=1</script>")
    assert browser.page.evaluate("window.hacked") is None

    # Opened on its own, it is downloaded; were it shown, it would have no origin and no scripts.
    for artifact in (image, page):
        answer = requests.get(server.get(f"/artifacts/{artifact}")["url"], timeout=30)
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_figure_is_drawn_in_a_frame_without_an_origin(server: Server, browser: Browser) -> None:
    pytest.importorskip("plotly", reason="needs plotly, which the server hands to the frame")
    run = server.new_run()
    figure = {
        "data": [{"type": "scatter", "x": [1, 2], "y": [2, 1]}],
        "layout": {"title": {"text": f"Drag {HOSTILE}"}},
    }
    kind = "application/vnd.plotly.v1+json"
    made = save(server, run, "figure", kind, json.dumps(figure).encode())
    browser.open_run(run, f"?tab=artifacts&artifact={made}")
    frame = browser.page.frame_locator(".figure-frame")
    expect(frame.locator(".gtitle")).to_contain_text("Drag", timeout=60_000)
    inside = next(frame for frame in browser.page.frames if frame.url.endswith("/figure"))
    assert inside.evaluate("origin") == "null"
    # Neither our page nor any server can be reached from it.
    assert inside.evaluate("(() => { try { return top.document; } catch { return null; } })()") is (
        None
    )
    asked = "fetch('/api/whoami').then(() => 'answered', () => 'refused')"
    assert inside.evaluate(asked) == "refused"
    assert browser.page.evaluate("window.hacked") is None
    # The browser says that it refused.
    assert all("fetch" in text or "connect" in text for text in browser.complaints())


# ---- Alerts and lineage ---------------------------------------------------------------------


def test_alerts_say_what_they_ask_for_and_how_they_stand(server: Server, browser: Browser) -> None:
    alert = server.post(
        "/alerts",
        {
            "name": "too hot",
            "source": "metrics",
            "frequency": 1,
            "alert": {
                "metric": "temperature",
                "rule": "is above",
                "threshold": 400,
                "window": 1,
                "aggregation": "average",
                "frequency": 1,
            },
        },
    )["id"]
    run = server.new_run(alerts=[alert])
    browser.open_run(run, "?tab=alerts")
    item = browser.find(".watches li")
    expect(item).to_contain_text("too hot")
    expect(item).to_contain_text("average of temperature over 1 min is above 400")
    expect(item.locator(".verdict")).to_have_text("not yet known")


def test_lineage_leads_from_who_made_the_bytes_to_who_uses_them(
    server: Server, browser: Browser
) -> None:
    first, middle, last = (
        server.new_run(name=name) for name in ("mesher", "flow-solver", "plotter")
    )
    save(server, first, "mesh.out", "text/plain", b"the mesh", "output")
    save(server, middle, "mesh.in", "text/plain", b"the mesh", "input")
    save(server, middle, "field", "text/plain", b"the field", "output")
    save(server, last, "field", "text/plain", b"the field", "input")
    browser.open_run(middle, "?tab=lineage")
    boxes = browser.find(".lineage text")
    expect(boxes).to_have_text(["flow-solver", "mesh.in", "mesher", "field", "plotter"])
    expect(browser.find(".lineage .tie")).to_have_count(4)
    browser.find(".lineage a").filter(has_text="mesher").click()
    expect(browser.find("h1")).to_have_text("mesher")
