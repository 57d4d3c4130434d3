"""The tabs of a run: what it said of itself, its events, artifacts, alerts, lineage; its end."""

from __future__ import annotations

import pytest
from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import Locator, expect
from run_parts import HOSTILE, save, say

from simvue.wire import new_id

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


def facts(browser: Browser, title: str) -> Locator:
    """Return the lines of the section called *title*, of which each has a key and a value."""
    section = browser.find(".facts section", has=browser.page.get_by_role("heading", name=title))
    return section.locator("dl > div")


def test_the_overview_has_git_command_system_and_metadata_in_their_places(
    server: Server, browser: Browser
) -> None:
    run = server.new_run(
        metadata={"git": {"ref": "4f1c"}, "solver_command": "mpirun ./solve -n 4", "note": HOSTILE},
        system={"hostname": "node-7", "cpu": {"arch": "x86_64"}},
    )
    browser.open_run(run, "?tab=overview")
    expect(facts(browser, "Git")).to_have_text(["ref4f1c"])
    command = facts(browser, "Command")
    expect(command.locator("dt")).to_have_text(["solver"])
    expect(command.locator("code")).to_have_text(["mpirun ./solve -n 4"])
    browser.context.grant_permissions(["clipboard-read", "clipboard-write"])
    command.get_by_role("button", name="Copy").click()
    expect(command.get_by_role("button", name="Copied")).to_be_visible()
    assert browser.page.evaluate("navigator.clipboard.readText()") == "mpirun ./solve -n 4"
    expect(facts(browser, "System")).to_have_text(["hostnamenode-7", "cpu.archx86_64"])
    expect(facts(browser, "Metadata")).to_have_text([f"note{HOSTILE}"])
    assert browser.page.evaluate("window.hacked") is None


@pytest.mark.parametrize(
    ("status", "said", "why"),
    [
        ("failed", "killed by SIGSEGV", "killed by SIGSEGV"),
        ("lost", "the node is going down", "the node is going down"),
        ("terminated", "the time limit of the job", "the time limit of the job"),
        ("failed", None, "Nobody said: no error stands among its last events."),
        ("lost", None, "Nothing was heard of it for longer than it said it would be silent: "
         "its machine may be gone, or the network."),
    ],
)  # fmt: skip
def test_the_overview_says_why_a_run_ended(
    server: Server, browser: Browser, status: str, said: str | None, why: str
) -> None:
    run = server.new_run()
    if said is not None:
        say(server, run, "an older error", level="error")
        say(server, run, said, level="critical")
    say(server, run, "good night")
    # Last, because a run that is heard of is not lost.
    server.put(f"/runs/{run}", {"status": status})
    browser.open_run(run, "?tab=overview")
    expect(browser.find(".cause")).to_have_text(f"Why it is {status}{why}")


def test_a_run_that_completed_needs_no_cause(server: Server, browser: Browser) -> None:
    run = server.new_run(status="completed")
    say(server, run, "a step was refused", level="error")
    browser.open_run(run, "?tab=overview")
    expect(browser.find(".facts section").first).to_be_visible()
    expect(browser.find(".cause")).to_be_hidden()


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


# ---- Alerts and lineage ---------------------------------------------------------------------


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
    # A group and no picture, in which nobody who cannot see would find the links.
    links = browser.page.get_by_role("group", name="Lineage").get_by_role("link")
    expect(links).to_have_count(4)
    links.filter(has_text="mesher").click()
    expect(browser.find("h1")).to_have_text("mesher")
