"""What is told of the ranks of a job: their mean and ends, gaps, NaN, who is odd and who slow."""

from __future__ import annotations

import math
import re

from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import expect
from test_job import see_job

NAN = math.nan
INF = math.inf

# NaN and the infinities go to the browser and back as texts: JSON has none of them.
READ = """
const table = rest[0].map((row) => Float64Array.from(row, Number));
const told = (row) => Array.from(row, String);
"""


def written(rows: list[list[float]]) -> list[list[str]]:
    """Return the numbers as JavaScript writes them."""
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return [[names.get(str(value), f"{value:g}") for value in row] for row in rows]


def test_the_band_is_the_mean_between_the_least_and_the_greatest_of_those_who_logged(
    bench: Browser,
) -> None:
    """All three, one alone, none, one with NaN, one infinite, and two that cancel out."""
    rows = [
        [1.0, NAN, NAN, 2.0, INF, -4.0],
        [2.0, 5.0, NAN, NAN, 7.0, 4.0],
        [6.0, NAN, NAN, 4.0, 8.0, NAN],
    ]
    body = f"""{READ}
    const {{ low, mean, high }} = it.overRanks(table, 6);
    return [low, mean, high].map(told);
    """
    assert bench.run_module("ranks.js", body, written(rows)) == written(
        [
            [1.0, 5.0, NAN, 2.0, 7.0, -4.0],
            [3.0, 5.0, NAN, 3.0, 7.5, 0.0],
            [6.0, 5.0, NAN, 4.0, 8.0, 4.0],
        ]
    )
    assert bench.run_module("ranks.js", body, []) == written([[NAN] * 6] * 3)


def test_a_gap_is_filled_with_what_was_logged_before_it_be_that_nan(bench: Browser) -> None:
    body = f"""{READ}
    const nan = new Set(rest[1]);
    return [told(it.held(table[0], nan)), [...nan].sort((a, b) => a - b)];
    """

    def held(row: list[float], nan: list[int]) -> object:
        return bench.run_module("ranks.js", body, written([row]), nan)

    def said(row: list[float], nan: list[int]) -> object:
        return [*written([row]), nan]

    # Nothing comes before the first row, and nothing after the last.
    assert held([NAN, 1, NAN, NAN, 2, NAN], []) == said([NAN, 1, 1, 1, 2, NAN], [])
    # The same table, but the second gap is a NaN that was logged.
    assert held([NAN, 1, NAN, NAN, 2, NAN], [2]) == said([NAN, 1, NAN, NAN, 2, NAN], [2, 3])
    # A run that ends in NaN holds it up to its last row.
    assert held([1, NAN, NAN, NAN], [1, 3]) == said([1, NAN, NAN, NAN], [1, 2, 3])
    assert held([1, INF, NAN, 2], []) == said([1, INF, INF, 2], [])
    assert held([NAN, NAN], []) == said([NAN, NAN], [])


def test_the_map_tells_nan_from_nothing(server: Server, browser: Browser) -> None:
    """Rank 0 logs from begin to end, rank 1 NaN in the middle, rank 2 ends early."""
    run = server.new_run(status="completed")
    for rank, values in enumerate(([1.0, 2.0, 3.0], [1.0, NAN, 3.0], [1.0, 2.0])):
        writer = f"W{rank}".ljust(22, "x")
        server.put(f"/runs/{run}", {"writers": {writer: {"kind": "metrics", "rank": rank}}})
        logged = [
            {
                "step": i,
                "time": float(i),
                "timestamp": f"2026-01-31T12:00:0{i}.000000",
                "values": {"residual": value},
            }
            for i, value in enumerate(values)
        ]
        server.send_rows(run, logged, writer)
    see_job(browser, run, 3)
    heat = browser.find(".heat canvas")
    box = heat.bounding_box()
    assert box is not None

    def read(rank: int, part: float) -> tuple[str, list[int]]:
        """Return what is said at a part of the width, and the colour there."""
        heat.hover(position={"x": part * box["width"], "y": (rank + 0.5) / 3 * box["height"]})
        said = browser.find(".heat output")
        expect(said).to_have_text(re.compile(f"^rank {rank}: "))
        # A copy: reading a canvas back would slow the page's own for good.
        colour: list[int] = heat.evaluate(
            """
            (drawn, [x, y]) => {
              const copy = new OffscreenCanvas(drawn.width, drawn.height);
              const context = copy.getContext("2d", { willReadFrequently: true });
              context.drawImage(drawn, 0, 0);
              return [...context.getImageData(x * drawn.width, y, 1, 1).data];
            }
            """,
            [part, rank],
        )
        return re.findall(r": (\S+) at", said.text_content() or "")[0], colour

    bad = browser.page.evaluate(
        """
        () => {
          const probe = document.body.appendChild(document.createElement("i"));
          probe.style.color = "var(--bad)";
          const found = getComputedStyle(probe).color.match(/[0-9]+/g).map(Number);
          probe.remove();
          return found;
        }
        """
    )
    assert read(0, 0.75)[0] == "2"
    # Held to the next row, as a number is; and no number around it is taken for it.
    assert read(1, 0.75) == ("NaN", [*bad, 255])
    assert read(1, 0.25)[0] == "1"
    nothing, clear = read(2, 0.75)
    assert (nothing, clear[3]) == ("nothing", 0)
    # Of the band NaN takes nothing: it is the mean of those who have a number.
    browser.see_label("Over all ranks", "least 1", "greatest 3")


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
