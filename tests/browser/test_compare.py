"""Any number of runs beside each other: what they differ in, and any number against any other."""

from __future__ import annotations

import csv
import math
import re
from typing import Any

from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import Locator, expect

FIGURES = [(0.1, 16), (0.2, 16), (0.4, 32)]


def new_runs(server: Server, figures: list[tuple[float, int]] = FIGURES) -> list[str]:
    """Create a run for each (rate, size); its loss ends at rate times size."""
    runs = []
    for place, (rate, size) in enumerate(figures):
        run = server.new_run(
            name=f"compared-{place}",
            status="completed",
            metadata={"rate": rate, "mesh": {"size": size}, "same": "in all"},
        )
        row = {"step": 0, "time": 0.0, "timestamp": "2026-01-01T00:00:00.000000"}
        server.send_rows(run, [{**row, "values": {"loss": rate * size}}])
        runs.append(run)
    return runs


def address(runs: list[str], query: str = "") -> str:
    return f"/dashboard/compare?runs={','.join(runs)}{query}"


def line(browser: Browser, key: str) -> Locator:
    """Return the row of *key*."""
    return browser.find(f".matrix tbody tr:has(th[title='{key}'])")


def cells(browser: Browser, key: str) -> list[str]:
    """Return the texts of the row of *key*, one a run."""
    return line(browser, key).locator("td:not([aria-hidden])").all_inner_texts()


def test_rows_in_which_runs_differ_are_marked_and_can_stand_alone(
    server: Server, browser: Browser
) -> None:
    browser.open(address(new_runs(server)))
    expect(line(browser, "metadata.mesh.size")).to_have_class("differs")
    expect(line(browser, "metadata.same")).not_to_have_class("differs")
    assert cells(browser, "metadata.mesh.size") == ["16", "16", "32"]
    assert cells(browser, "metrics.loss.last") == ["1.6", "3.2", "12.8"]
    browser.page.get_by_label("Differences only").check()
    expect(line(browser, "metadata.same")).to_have_count(0)
    expect(browser.page).to_have_url(re.compile("differ=1"))
    browser.page.get_by_label("Find keys").fill("LOSS")
    expect(browser.find(".matrix tbody th.key")).to_have_text(
        ["metrics.loss.last", "metrics.loss.min", "metrics.loss.max"]
    )


def test_a_baseline_comes_first_and_the_others_say_how_far_they_are(
    server: Server, browser: Browser
) -> None:
    runs = new_runs(server)
    browser.open(address(runs))
    browser.page.get_by_role("button", name="Baseline").nth(1).click()
    expect(browser.find(".matrix thead .name").first).to_have_text("compared-1")
    assert f"base={runs[1]}" in browser.page.url
    assert cells(browser, "metadata.rate") == ["0.2", "0.1-0.1 · -50 %", "0.4+0.2 · +100 %"]
    assert cells(browser, "metadata.mesh.size") == ["16", "16", "32+16 · +100 %"]


def test_a_baseline_is_let_go_as_it_was_chosen(server: Server, browser: Browser) -> None:
    runs = new_runs(server)
    browser.open(address(runs, f"&base={runs[1]}"))
    names = browser.find(".matrix thead .name")
    expect(names).to_have_text(["compared-1", "compared-0", "compared-2"])
    chosen = browser.page.get_by_role("button", name="Baseline", pressed=True)
    expect(chosen).to_have_count(1)
    chosen.click()
    expect(names).to_have_text(["compared-0", "compared-1", "compared-2"])
    expect(chosen).to_have_count(0)
    assert "base=" not in browser.page.url
    assert cells(browser, "metadata.rate") == ["0.1", "0.2", "0.4"]


def test_against_zero_there_is_no_share_and_against_nan_no_distance(
    server: Server, browser: Browser
) -> None:
    runs = new_runs(server, [(0.0, 16), (0.5, 16), (-0.5, 16)])
    row = {"step": 1, "time": 1.0, "timestamp": "2026-01-01T00:00:01.000000"}
    server.send_rows(runs[0], [{**row, "values": {"loss": math.nan}}])
    browser.open(address(runs, f"&base={runs[0]}"))
    expect(line(browser, "metadata.rate")).to_be_visible()
    assert cells(browser, "metadata.rate") == ["0", "0.5+0.5", "-0.5-0.5"]
    assert cells(browser, "metrics.loss.last") == ["NaN", "8", "-8"]
    browser.open(address(runs, f"&base={runs[1]}"))
    expect(line(browser, "metadata.rate")).to_be_visible()
    # Below a base of 0.5, and twice as far below; a NaN is no number to be held against one.
    assert cells(browser, "metadata.rate") == ["0.5", "0-0.5 · -100 %", "-0.5-1 · -200 %"]
    assert cells(browser, "metrics.loss.last") == ["8", "NaN", "-8-16 · -200 %"]
    browser.open(address(runs, f"&base={runs[2]}"))
    expect(line(browser, "metadata.rate")).to_be_visible()
    # Above a negative base is above.
    assert cells(browser, "metadata.rate") == ["-0.5", "0+0.5 · +100 %", "0.5+1 · +200 %"]


def test_a_run_is_taken_out_and_one_that_is_gone_is_said(server: Server, browser: Browser) -> None:
    runs = new_runs(server)
    server.delete(f"/runs/{runs[0]}")
    browser.open(address(runs))
    expect(browser.find(".head .total")).to_have_text("2 runs; 1 are not there any more")
    # The browser's own log of the 404 is no complaint of the page's.
    assert all("404" in text or "410" in text for text in browser.complaints())
    browser.page.get_by_label("Take compared-1 out").click()
    expect(browser.find(".matrix thead .name")).to_have_text(["compared-2"])


def test_two_hundred_runs_are_compared_with_few_elements(server: Server, browser: Browser) -> None:
    batch = [
        {
            "name": f"wide-{i}",
            "folder": "/wide",
            "status": "completed",
            "metadata": {f"key-{key:03d}": i * key for key in range(300)},
        }
        for i in range(200)
    ]
    runs = [made["id"] for made in server.post("/runs", batch)]
    browser.open(address(runs))
    expect(browser.find(".head .total")).to_have_text("200 runs")
    expect(line(browser, "metadata.key-001")).to_be_visible()
    matrix = browser.find(".matrix")
    matrix.evaluate("(it) => it.scrollTo(it.scrollWidth, it.scrollHeight)")
    expect(line(browser, "metadata.key-299")).to_be_visible()
    assert cells(browser, "metadata.key-299")[-1] == "59,501"
    # Some 30 rows of a dozen runs, of 307 rows of 200.
    assert matrix.locator("td").count() < 1_000
    key = line(browser, "metadata.key-299").locator("th").bounding_box()
    board = matrix.bounding_box()
    assert key is not None
    assert board is not None
    assert abs(key["x"] - board["x"]) <= 1


def test_the_keyboard_walks_the_comparison(server: Server, browser: Browser) -> None:
    keys = {f"key-{key:03d}": key for key in range(100)}
    runs = [server.new_run(name=f"walked-{place}", metadata=keys) for place in range(2)]
    browser.open(address(runs))
    expect(line(browser, "metadata.key-001")).to_be_visible()
    browser.page.keyboard.press("/")
    expect(browser.page.get_by_label("Find keys")).to_be_focused()
    browser.page.keyboard.press("Escape")
    browser.find(".matrix").focus()
    browser.page.keyboard.press("End")
    expect(line(browser, "metadata.key-099")).to_be_visible()
    name = browser.find(".matrix thead .name").nth(1)
    name.focus()
    browser.page.keyboard.press("Enter")
    expect(browser.page).to_have_url(re.compile(f"/runs/run/{runs[1]}$"))


def test_what_is_compared_is_saved_as_csv_with_every_digit(
    server: Server, browser: Browser
) -> None:
    runs = new_runs(server, [(1 / 3, 16), (0.25, 16)])
    browser.open(address(runs, "&find=rate"))
    expect(line(browser, "metadata.rate")).to_be_visible()
    with browser.page.expect_download() as saved:
        browser.page.get_by_role("button", name="CSV").click()
    rows = list(csv.reader(saved.value.path().read_text().splitlines()))
    assert rows == [
        ["", "compared-0", "compared-1"],
        ["id", *runs],
        ["metadata.rate", repr(1 / 3), "0.25"],
    ]


def test_any_number_is_drawn_against_any_other_and_a_mark_names_its_run(
    server: Server, browser: Browser
) -> None:
    runs = new_runs(server)
    browser.open(address(runs, "&show=scatter&across=metadata.rate&up=metrics.loss.last"))
    marks = browser.find(".plane circle:not(.ring)")
    expect(marks).to_have_count(3)
    marks.nth(2).hover()
    expect(browser.find(".plane .readout")).to_have_text("compared-2: 0.4, 12.8")
    field = browser.page.get_by_label("Across")
    field.fill("metadata.mesh.size")
    field.press("Enter")
    expect(browser.page).to_have_url(re.compile("across=metadata.mesh.size"))
    marks.nth(2).click()
    expect(browser.page).to_have_url(re.compile(f"/runs/run/{runs[2]}$"))


def middle(locator: Locator) -> dict[str, Any]:
    box = locator.bounding_box()
    assert box is not None
    return {"x": box["x"] + box["width"] / 2, "top": box["y"], "bottom": box["y"] + box["height"]}


def test_brushing_an_axis_chooses_the_runs_that_pass(server: Server, browser: Browser) -> None:
    runs = new_runs(server)
    axes = "&show=parallel&axis=metadata.rate&axis=metrics.loss.last"
    browser.open(address(runs, axes))
    expect(browser.find(".plane polyline")).to_have_count(3)
    grip = middle(browser.find(".plane .grip").first)
    browser.page.mouse.move(grip["x"], grip["top"] + 2)
    browser.page.mouse.down()
    browser.page.mouse.move(grip["x"], (grip["top"] + grip["bottom"]) / 2, steps=3)
    browser.page.mouse.up()
    expect(browser.find(".plane polyline.faint")).to_have_count(2)
    expect(browser.page).to_have_url(re.compile("brush="))
    browser.page.get_by_role("button", name="Keep the chosen runs only").click()
    expect(browser.find(".plane polyline")).to_have_count(1)
    assert f"runs={runs[2]}&" in f"{browser.page.url}&"


def test_long_texts_that_differ_are_shown_line_by_line(server: Server, browser: Browser) -> None:
    texts = ["mesh 16\nsolver <b>gmres</b>\nsteps 10", "mesh 16\nsolver cg\nsteps 10\nend"]
    runs = [
        server.new_run(name=f"text-{place}", metadata={"deck": text, "line": text.splitlines()[1]})
        for place, text in enumerate(texts)
    ]
    browser.open(address(runs, f"&base={runs[0]}"))
    # The baseline has nothing to be held against, and one line needs no help.
    expect(line(browser, "metadata.deck").get_by_role("button", name="Diff")).to_have_count(1)
    expect(line(browser, "metadata.line").get_by_role("button")).to_have_count(0)
    line(browser, "metadata.deck").get_by_role("button", name="Diff").click()
    dialog = browser.find("dialog .diff")
    assert (dialog.text_content() or "").splitlines() == [
        "  mesh 16",
        "- solver <b>gmres</b>",
        "+ solver cg",
        "  steps 10",
        "+ end",
    ]
    expect(dialog.locator("del")).to_have_text(["- solver <b>gmres</b>"])
    expect(dialog.locator("ins")).to_have_text(["+ solver cg", "+ end"])
    for theme in ("light", "dark"):
        browser.page.emulate_media(color_scheme=theme)
        expect(browser.find("html")).to_have_attribute("data-theme", theme)
        assert browser.barriers() == []


def test_texts_of_any_length_are_told_apart_in_bounded_time(browser: Browser) -> None:
    """The lines of both, in order; of a long text its first thousand lines."""
    body = """
    const found = it.linesOf(...rest);
    const kept = found.filter((one) => typeof one === "string").length;
    return [kept, found.filter((one) => one.tagName === "DEL").length, found.length];
    """
    assert browser.run_module("matrix.js", body, "a\nb\nc", "a\nc") == [2, 1, 3]
    assert browser.run_module("matrix.js", body, "", "a") == [0, 1, 2]
    long = "\n".join(str(i) for i in range(5_000))
    # Its first thousand lines, none of them changed, and that there are more.
    assert browser.run_module("matrix.js", body, long, long) == [1_001, 0, 1_001]


def test_the_charts_of_all_runs_lie_over_each_other(server: Server, browser: Browser) -> None:
    runs = new_runs(server)
    browser.open(address(runs))
    browser.page.get_by_role("link", name="Charts").click()
    expect(browser.page).to_have_url(re.compile("show=charts"))
    browser.see_label("loss", "3 runs", "least 1.6", "greatest 12.8")
    # What the charts can do is in the address here too.
    browser.page.keyboard.press("y")
    expect(browser.page).to_have_url(re.compile("log=y"))


def test_a_run_that_goes_on_is_followed(server: Server, browser: Browser) -> None:
    run = server.new_run(name="goes on", metadata={"phase": "first"})
    browser.open(address([run, *new_runs(server)[:1]]))
    expect(line(browser, "metadata.phase").locator("td.figure, td").nth(1)).to_have_text("first")
    server.put(f"/runs/{run}", {"metadata": {"phase": "second"}})
    browser.see(lambda: cells(browser, "metadata.phase")[0] == "second", "the change")


def test_without_runs_it_says_how_to_choose_some(server: Server, browser: Browser) -> None:
    new_runs(server)
    browser.open("/dashboard/compare")
    expect(browser.find(".empty")).to_contain_text("Tick runs in the table")
    browser.page.get_by_role("link", name="Compare the newest runs").click()
    expect(browser.find(".matrix thead .name").first).to_be_visible()
