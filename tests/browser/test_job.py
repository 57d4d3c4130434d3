"""A job at a glance: all ranks over time, the slow one and the odd one named, a click to each."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import pytest
from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import expect
from test_charts import shared_run

RANKS = 8
SLOW = 2
ODD = 5

either = pytest.mark.parametrize("shared", [True, False], ids=["one run", "a run each"])


def run_per_rank(server: Server, group: str, ranks: int = RANKS) -> list[str]:
    """Create one run a rank, as a launch without ``shared`` does; return their ids."""
    runs = []
    for rank in range(ranks):
        launch = {"group": group, "rank": rank, "size": ranks}
        run = server.new_run(
            name=f"rank {rank}", status="completed", metadata={"simvue": {"launch": launch}}
        )
        logged = [
            {
                "step": second // 2 if rank == SLOW else second,
                "time": float(second),
                "timestamp": f"2026-01-31T12:00:{second:02d}.000000",
                "values": {"residual": (5.0 if rank == ODD else 1.0) + (second * rank) % 7 / 100},
            }
            for second in range(60)
        ]
        server.send_rows(run, logged)
        runs.append(run)
    return runs


def any_run(server: Server, shared: bool, group: str) -> str:
    """Create a job with a slow and an odd rank; return its run, or that of its first rank."""
    return shared_run(server, RANKS, SLOW, ODD) if shared else run_per_rank(server, group)[0]


@either
def test_a_job_names_its_slow_and_its_odd_rank(
    server: Server, browser: Browser, shared: bool
) -> None:
    browser.open_run(any_run(server, shared, "named"), "?tab=job")
    expect(browser.find(".slowest")).to_contain_text(f"rank {SLOW}")
    expect(browser.find(".oddest")).to_contain_text(f"rank {ODD}")
    expect(browser.find(".tools .total")).to_have_text(
        f"{RANKS} ranks, {'in one run' if shared else 'a run each'}"
    )
    browser.see_label("Over all ranks", "greatest 5.06")

    # The middle of the odd rank's row.
    heat = browser.find(".heat canvas")
    box = heat.bounding_box()
    assert box is not None
    place = {"x": box["width"] / 2, "y": (ODD + 0.5) / RANKS * box["height"]}
    heat.hover(position=place)
    expect(browser.find(".heat output")).to_have_text(re.compile(rf"^rank {ODD}: 5\.0"))
    heat.click(position=place)
    see_rank(browser, shared, ODD)


def see_rank(browser: Browser, shared: bool, rank: int) -> None:
    """Wait for the charts of one rank alone: those of the run that it shares, or of its own."""
    if shared:
        expect(browser.find(".only")).to_contain_text(f"rank {rank}")
    else:
        expect(browser.find("h1")).to_have_text(f"rank {rank}")
    browser.see_label("residual", ": 60 rows")


def see_job(browser: Browser, run: str, ranks: int, query: str = "") -> None:
    """Load the job of *run* and wait until all of it is drawn."""
    browser.open_run(run, f"?tab=job{query}")
    expect(browser.find(".tools .total")).to_contain_text(f"{ranks} ranks")
    browser.see_label("Over all ranks", "greatest")


@either
@pytest.mark.parametrize("ranks", [4, 16])
def test_all_ranks_are_asked_for_together_however_many_there_are(
    server: Server, browser: Browser, shared: bool, ranks: int
) -> None:
    """One question for the table, at first and when rows have come; one for who is which rank."""
    if shared:
        runs = [shared_run(server, ranks)] * ranks
        writer, first = "W03".ljust(22, "x"), 60
    else:
        runs = run_per_rank(server, f"together-{ranks}", ranks)
        writer, first = None, 0
    see_job(browser, runs[0], ranks)
    # The run that is shown is another one than that whose row comes.
    row = {"step": 60, "time": 60.0, "timestamp": "2026-01-31T12:01:00.000000"}
    server.send_rows(runs[3], [{**row, "values": {"residual": 77.0}}], writer, first)
    browser.see_label("Over all ranks", "greatest 77")
    # The stream's greeting is worth a question of its own.
    assert len(browser.asked("/api/metrics/ranks?")) <= 3
    assert len(browser.asked("/api/runs?")) == (0 if shared else 1)
    assert browser.asked("/metrics/buckets?") == []
    assert browser.asked("/span?") == []


def test_any_metric_or_resource_is_shown(server: Server, browser: Browser) -> None:
    runs = run_per_rank(server, "resources")
    row = {"step": 0, "time": 0.0, "timestamp": "2026-01-31T12:00:00.000000"}
    for rank, run in enumerate(runs):
        server.send_rows(run, [{**row, "values": {"resources/cpu.usage.percent": 10.0 * rank}}])
    see_job(browser, runs[0], RANKS)
    browser.page.get_by_label("Metric").select_option("resources/cpu.usage.percent")
    browser.see_label("Over all ranks", "resources/cpu.usage.percent", f"greatest {RANKS - 1}0")
    expect(browser.page).to_have_url(re.compile("metric=resources/cpu.usage.percent"))
    expect(browser.find(".oddest")).to_contain_text("resources/cpu.usage.percent")


@either
def test_dragging_over_the_band_zooms_all_ranks(
    server: Server, browser: Browser, shared: bool
) -> None:
    see_job(browser, any_run(server, shared, "zoomed"), RANKS)
    browser.drag("Over all ranks", 0.5, 0.75)
    expect(browser.page).to_have_url(re.compile(r"from=.*to="))
    whole = browser.page.get_by_role("button", name="Whole range")
    expect(whole).to_be_visible()
    heat = browser.find(".heat canvas")
    box = heat.bounding_box()
    assert box is not None
    # A quarter of a minute from its middle on, so its first column is 30 s, or what its edge hits.
    heat.hover(position={"x": 1, "y": box["height"] / 2})
    expect(browser.find(".heat output")).to_have_text(re.compile("12:00:(29|3[0-2])"))
    whole.click()
    expect(whole).to_be_hidden()
    heat.hover(position={"x": 2, "y": box["height"] / 2})
    expect(browser.find(".heat output")).to_have_text(re.compile("12:00:00"))


@either
def test_the_band_can_be_logarithmic_over_the_full_screen_and_saved(
    server: Server, browser: Browser, shared: bool
) -> None:
    see_job(browser, any_run(server, shared, "saved"), RANKS)
    browser.page.keyboard.press("y")
    expect(browser.page).to_have_url(re.compile("log=y"))
    expect(browser.page.get_by_label("log", exact=True)).to_be_checked()
    browser.page.get_by_label("Show residual over the full screen").click()
    card = browser.find("article[aria-label='Over all ranks']")
    expect(card).to_have_class(re.compile("full"))
    browser.page.keyboard.press("Escape")
    expect(card).not_to_have_class(re.compile("full"))

    def save(word: str) -> Path:
        browser.page.get_by_label("Save or share residual").click()
        with browser.page.expect_download() as saved:
            browser.page.get_by_role("menuitem", name=word).click()
        assert saved.value.suggested_filename == f"residual.{word[-3:].lower()}"
        return Path(saved.value.path())

    assert save("Save as PNG").read_bytes().startswith(b"\x89PNG")
    header, *rows = csv.reader(save("Save as CSV").read_text().splitlines())
    assert header[:4] == ["run", "name", "timestamp", "residual"]
    # Every row of every rank, as it was logged.
    assert len(rows) == RANKS * 60
    assert {row[1] for row in rows} == {f"rank {rank}" for rank in range(RANKS)}


def test_small_values_are_told_apart_on_a_logarithmic_map(server: Server, browser: Browser) -> None:
    """Three ranks at 1e-6, 1e-3 and 1: the middle one lies in the middle of the colours."""
    run = server.new_run(status="completed")
    for rank, value in enumerate((1e-6, 1e-3, 1.0, -1.0, math.inf)):
        writer = f"W{rank}".ljust(22, "x")
        server.put(f"/runs/{run}", {"writers": {writer: {"kind": "metrics", "rank": rank}}})
        stamps = ("2026-01-31T12:00:00.000000", "2026-01-31T12:00:01.000000")
        logged = [
            {"step": i, "time": float(i), "timestamp": stamps[i], "values": {"residual": value}}
            for i in range(2)
        ]
        server.send_rows(run, logged, writer)

    def colours() -> list[list[int]]:
        # A copy: reading a canvas back would slow the page's own for good.
        found: list[list[int]] = browser.find(".heat canvas").evaluate(
            """
            (drawn) => {
              const copy = new OffscreenCanvas(drawn.width, drawn.height);
              const context = copy.getContext("2d", { willReadFrequently: true });
              context.drawImage(drawn, 0, 0);
              return [0, 1, 2, 3].map((y) => [...context.getImageData(9, y, 1, 1).data]);
            }
            """
        )
        return found

    see_job(browser, run, 5)
    linear = colours()
    # What is infinite takes the colours from nobody.
    assert linear[0] == linear[1] != linear[2]
    browser.page.keyboard.press("y")
    browser.see(lambda: colours() != linear, "other colours")
    low, middle, high, negative = colours()
    assert len({tuple(low), tuple(middle), tuple(high)}) == 3
    # What has no logarithm is as pale as the least that has one.
    assert negative == low
    expect(browser.find(".scale span").first).to_have_text("1.0000e-6")


@either
def test_the_map_is_read_with_the_keyboard_too(
    server: Server, browser: Browser, shared: bool
) -> None:
    see_job(browser, any_run(server, shared, "walked"), RANKS)
    heat = browser.find(".heat canvas")
    heat.focus()
    for _ in range(ODD):
        heat.press("ArrowDown")
    heat.press("ArrowRight")
    expect(browser.find(".heat output")).to_have_text(re.compile(rf"^rank {ODD}: 5 at"))
    # The band points at the same place.
    expect(browser.find("article[aria-label='Over all ranks'] .rule")).to_be_visible()
    heat.press("Enter")
    see_rank(browser, shared, ODD)


@either
@pytest.mark.parametrize(("place", "rank"), [(".slowest", SLOW), (".oddest", ODD)])
def test_the_slow_and_the_odd_rank_are_a_link_away(
    server: Server, browser: Browser, shared: bool, place: str, rank: int
) -> None:
    see_job(browser, any_run(server, shared, f"linked-{rank}"), RANKS)
    browser.find(place).get_by_role("link", name=f"rank {rank}", exact=True).click()
    see_rank(browser, shared, rank)


def test_a_run_of_one_process_has_no_job(server: Server, browser: Browser) -> None:
    run = server.new_run()
    server.send_rows(run, [{"step": 0, "time": 0.0, "timestamp": "2026-01-31T12:00:00.000000",
                            "values": {"loss": 1.0}}])  # fmt: skip
    browser.open_run(run)
    browser.see_label("loss", "1 row")
    expect(browser.find("#tab-job")).to_be_hidden()
