"""A job at a glance: all ranks over time, the slow one and the odd one named, a click to each."""

from __future__ import annotations

import re

import pytest
from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import expect
from test_charts import shared_run

RANKS = 8
SLOW = 2
ODD = 5


def run_per_rank(server: Server, group: str) -> list[str]:
    """Create one run a rank, as a launch without ``shared`` does; return their ids."""
    runs = []
    for rank in range(RANKS):
        launch = {"group": group, "rank": rank, "size": RANKS}
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


@pytest.mark.parametrize("shared", [True, False], ids=["one run", "a run each"])
def test_a_job_names_its_slow_and_its_odd_rank(
    server: Server, browser: Browser, shared: bool
) -> None:
    if shared:
        run = shared_run(server, RANKS, SLOW, ODD)
    else:
        runs = run_per_rank(server, "launch-17")
        run = runs[0]
    browser.open_run(run, "?tab=job")
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
    if shared:
        expect(browser.find(".only")).to_contain_text(f"rank {ODD}")
        browser.see_label("residual", ": 60 rows")
    else:
        expect(browser.find("h1")).to_have_text(f"rank {ODD}")
        assert runs[ODD] in browser.page.url


def test_a_run_of_one_process_has_no_job(server: Server, browser: Browser) -> None:
    run = server.new_run()
    server.send_rows(run, [{"step": 0, "time": 0.0, "timestamp": "2026-01-31T12:00:00.000000",
                            "values": {"loss": 1.0}}])  # fmt: skip
    browser.open_run(run)
    browser.see_label("loss", "1 row")
    expect(browser.find("#tab-job")).to_be_hidden()


def test_odd_is_who_differs_from_most_whatever_half_of_them_do(browser: Browser) -> None:
    body = "return it.oddness(rest[0].map((row) => Float64Array.from(row)), rest[0][0].length);"
    scores = browser.run_module(
        "ranks.js", body, [[1.0, 1.0], [1.1, 1.0], [0.9, 1.1], [1.0, 0.9], [9.0, 9.0]]
    )
    assert [score > 3.5 for score in scores] == [False, False, False, False, True]
    # Nobody is odd where all are the same, and a single outlier in time makes nobody odd.
    assert browser.run_module("ranks.js", body, [[1, 1, 1]] * 4) == [0, 0, 0, 0]
    once = [[1, 1, 2], [2, 2, 1], [3, 3, 99], [4, 4, 3]]
    assert max(browser.run_module("ranks.js", body, once)) < 3.5


def test_nobody_is_slow_where_all_keep_pace(browser: Browser) -> None:
    assert browser.run_module("ranks.js", "return it.slowest(rest[0])", [1, 1.01, 0.99]) == -1
    assert browser.run_module("ranks.js", "return it.slowest(rest[0])", [1, 1, 0.9, 0.8]) == 3
