"""What stands on a chart's canvas, pixel by pixel: marks, bands, faint lines, axes."""

from __future__ import annotations

import math
from urllib.parse import parse_qs, urlsplit

import pytest
from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import expect
from test_charts import point, readout
from test_page import rows

# Of the pixels in a part of the plotting area that bear, nearly, a colour: how many there are, on
# how many rows and columns.  The parts are of its width and height, alpha is from 0 to 255.
INKED = """
(plot, [colour, [left, right], [top, bottom], [least, most]]) => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = colour;
  const wanted = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
  probe.remove();
  const drawn = plot.querySelector("canvas");
  const over = plot.querySelector(".u-over");
  const copy = new OffscreenCanvas(drawn.width, drawn.height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(drawn, 0, 0);
  const [wide, high] = [over.clientWidth, over.clientHeight];
  const width = Math.round((right - left) * wide);
  const height = Math.round((bottom - top) * high);
  const from = [over.offsetLeft + Math.round(left * wide), over.offsetTop + Math.round(top * high)];
  const { data } = context.getImageData(...from, width, height);
  const [columns, lines] = [new Set(), new Set()];
  let count = 0;
  for (let i = 0; i < width * height; i++) {
    const pixel = data.subarray(4 * i, 4 * i + 4);
    if (pixel[3] < least || pixel[3] > most) continue;
    if (!wanted.every((part, j) => Math.abs(part - pixel[j]) < 30)) continue;
    count += 1;
    columns.add(i % width);
    lines.add(Math.floor(i / width));
  }
  return [count, columns.size, lines.size];
}
"""
WHOLE = (0.0, 1.0)
# A line at its full strength, and at that of a line behind another (0.22), be it that a line of
# 1.5 pixels lies across two rows and covers three quarters of each.
STRONG = (180, 255)
FAINT = (25, 90)


def inked(
    browser: Browser,
    metric: str,
    colour: str,
    across: tuple[float, float] = WHOLE,
    down: tuple[float, float] = WHOLE,
    alpha: tuple[int, int] = STRONG,
) -> tuple[int, int, int]:
    """Count the pixels of *colour*, as CSS has it, and the columns and rows they stand in."""
    count, columns, lines = browser.plot(metric).evaluate(INKED, [colour, across, down, alpha])
    return count, columns, lines


def hue(browser: Browser, run: str) -> str:
    """The colour of *run* as CSS has it."""
    colour: str = browser.run_module("colour.js", "return it.hue(rest[0])", run)
    return colour


def test_values_that_are_not_finite_are_marked_where_they_lie(
    server: Server, browser: Browser
) -> None:
    run = server.new_run(status="completed")
    odd = {60: math.nan, 100: math.inf, 140: -math.inf}
    # Fewer rows than buckets: each has a bucket of its own.
    server.send_rows(run, rows(0, 201, loss=lambda i: odd.get(i, 1.0)))
    browser.open_run(run)
    browser.see_label("loss", "201 rows", "least 1, greatest 1")
    marks = {
        (at, end): inked(browser, "loss", "var(--bad)", (at - 0.05, at + 0.05), down)
        for at in (0.3, 0.5, 0.7)
        for end, down in {"top": (0, 0.1), "bottom": (0.9, 1)}.items()
    }
    assert {place for place, (count, _, _) in marks.items() if count} == {
        (0.3, "bottom"),
        (0.5, "top"),
        (0.7, "bottom"),
    }
    # A stroke two pixels wide and seven high; triangles eight wide and high, their edges blended.
    _, wide, high = marks[0.3, "bottom"]
    assert 1 <= wide <= 3
    assert 6 <= high <= 8
    for place in ((0.5, "top"), (0.7, "bottom")):
        _, wide, high = marks[place]
        assert 6 <= wide <= 9
        assert 5 <= high <= 9


def test_a_row_that_is_not_finite_within_a_bucket_is_not_taken_for_another(
    browser: Browser,
) -> None:
    body = """
    const of = (...values) => Float64Array.from(values);
    const columns = { count: of(9), min: of(1), max: of(2), x_first: of(0), x_last: of(5) };
    const [nonfinite, first, last] = rest.map((value) => of(value));
    const { odd } = it.trace({ ...columns, nonfinite, first, last, left: 0 }, null);
    return odd.map(({ x, value }) => [x, String(value)]);
    """
    inside = {
        "unknown": browser.run_module("series.js", body, 1, 1.0, 2.0),
        "first": browser.run_module("series.js", body, 1, math.inf, 2.0),
        "last": browser.run_module("series.js", body, 2, math.nan, -math.inf),
        "none": browser.run_module("series.js", body, 0, 1.0, 2.0),
    }
    assert inside == {
        "unknown": [[5, "NaN"]],
        "first": [[5, "Infinity"]],
        "last": [[5, "-Infinity"]],
        "none": [],
    }


@pytest.mark.parametrize(("spike", "seen"), [(900.0, True), (500.0, False)])
def test_a_band_is_filled_where_it_reaches_beyond_the_line(
    server: Server, browser: Browser, spike: float, seen: bool
) -> None:
    # Some thirty rows a bucket, all between the two that the line joins, but for the spike.
    run = server.new_run(status="completed")
    server.send_rows(run, rows(0, 10_000, a=lambda i: spike if i == 5_001 else i / 10))
    browser.open_run(run, "?metric=^a$&re=1")
    browser.see_label("a", "10,000 rows")
    # Of the columns in which the spike lies, how much bears the run's colour, however faintly.
    _, _, high = inked(browser, "a", hue(browser, run), (0.49, 0.51), alpha=(30, 255))
    assert (high > 20) == seen, f"{high} pixels of 200 are inked"


def test_a_smooth_line_is_drawn_over_the_raw_one(server: Server, browser: Browser) -> None:
    run = server.new_run(status="completed")
    server.send_rows(run, rows(0, 400, noise=lambda i: float(i % 2)))
    browser.open_run(run)
    browser.see_label("noise", "400 rows")
    colour = hue(browser, run)
    # The smooth line lies in the middle; above it is only what is left of the raw one.
    upper = (0.1, 0.3)

    def above(alpha: tuple[int, int]) -> int:
        return inked(browser, "noise", colour, down=upper, alpha=alpha)[0]

    browser.see(lambda: above(STRONG) > 500, "a line that goes up and down")
    browser.find("[aria-label='Smoothing']").fill("0.99")
    browser.see(lambda: "smooth=0.99" in browser.page.url, "the smoothing in the address")
    browser.see(lambda: above(STRONG) == 0, "no strong line beside the smooth one")
    assert above(FAINT) > 2000
    _, wide, _ = inked(browser, "noise", colour, down=(0.3, 0.7))
    assert wide > 150


def test_logarithmic_axes_are_a_click_away(server: Server, browser: Browser) -> None:
    run = server.new_run(status="completed")
    server.send_rows(run, rows(1, 101, loss=lambda i: 10.0 ** (i / 20), root=lambda i: i**0.5))
    browser.open_run(run)
    browser.see_label("root", "100 rows")
    colour = hue(browser, run)

    def straight(metric: str, left: float, top: float) -> bool:
        return inked(browser, metric, colour, (left, left + 0.1), (top, top + 0.2))[0] > 5

    # The middle of a line that goes straight from one corner to the other.
    assert not straight("loss", 0.45, 0.4)
    browser.page.get_by_label("log y", exact=True).click()
    browser.see(lambda: straight("loss", 0.45, 0.4), "an exponential as a straight line")
    assert "log=y" in browser.page.url
    # A root, over both axes: half its way up is reached at the tenth part of the range.
    assert not straight("root", 0.45, 0.4)
    browser.page.get_by_label("log x", exact=True).click()
    browser.see(lambda: straight("root", 0.45, 0.4), "a power as a straight line")
    assert "log=xy" in browser.page.url
    assert "xscale=log" in browser.asked("/metrics/buckets?")[-1]
    browser.page.get_by_label("log y", exact=True).click()
    browser.see(lambda: not straight("loss", 0.45, 0.4), "an exponential over a plain axis")


def test_the_wall_clock_may_be_the_x_axis(server: Server, browser: Browser) -> None:
    run = server.new_run(status="completed")
    server.send_rows(run, rows(0, 61, ramp=float))
    browser.open_run(run)
    browser.see_label("ramp", "61 rows")
    browser.find("#xaxis").select_option("timestamp")
    browser.see(lambda: "x=timestamp" in browser.page.url, "the axis in the address")
    noon = 1_769_860_800_000  # 2026-01-31T12:00:00Z
    half = browser.run_module("format.js", "return it.calendar(rest[0])", noon + 30_000)
    assert ":30" in half
    browser.see(
        lambda: "timestamp" in parse_qs(urlsplit(browser.asked("/buckets?")[-1]).query)["xaxis"],
        "a question along the wall clock",
    )
    # Under the pointer is the row that was logged half a minute after the first.
    browser.see_label("ramp", "61 rows")
    point(browser, "ramp", 0.5)
    expect(readout(browser, "ramp")).to_have_text(f"30  at {half}")


def test_runs_of_one_hue_mostly_differ_in_their_lines_and_dots(browser: Browser) -> None:
    body = """
    const ids = Array.from({ length: 1000 }, (_, i) => String(i * 7919).padStart(22, "a"));
    const looks = [it.tint, it.dash, (id) => it.cutDot(it.tint(id), it.dash(id))];
    return looks.map((look) => new Set(ids.map((id) => String(look(id)))).size);
    """
    # A third of the runs that share a hue share the dashes too, and their dots are cut alike.
    assert browser.run_module("colour.js", body) == [12, 3, 12 * 3]


def test_the_nearest_run_stands_out_in_every_chart(server: Server, browser: Browser) -> None:
    runs = [server.new_run(name=f"tier {k}", status="completed") for k in (1, 2, 3)]
    for k, run in zip((1, 2, 3), runs, strict=True):
        # Beside the lines of the grid, which would shine through.
        levels = {"up": k + 0.1, "down": 4.1 - k}
        values = {metric: lambda _, level=level: level for metric, level in levels.items()}
        server.send_rows(run, rows(0, 100, **values))
    browser.open(f"/dashboard/runs?runs={','.join(runs)}")
    browser.see_label("up", "3 runs, 300 rows")
    browser.see_label("down", "3 runs, 300 rows")
    # From the top: the greatest, the middle, the least.
    strips = [(0.02, 0.09), (0.46, 0.54), (0.9, 0.98)]
    places = {"up": runs[::-1], "down": runs}
    colours = {run: hue(browser, run) for run in runs}

    def columns(metric: str, run: str, alpha: tuple[int, int]) -> int:
        strip = strips[places[metric].index(run)]
        return inked(browser, metric, colours[run], down=strip, alpha=alpha)[1]

    def strong(metric: str) -> list[str]:
        # A line of short dashes covers two columns of five.
        return [run for run in runs if columns(metric, run, STRONG) > 60]

    browser.see(lambda: strong("up") == strong("down") == runs, "all runs alike")
    point(browser, "up", 0.5, 0.06)
    for metric in ("up", "down"):
        browser.see(lambda m=metric: strong(m) == [runs[2]], f"the third run alone in {metric}")
        assert min(columns(metric, run, FAINT) for run in runs[:2]) > 60
    point(browser, "down", 0.5, 0.06)
    for metric in ("up", "down"):
        browser.see(lambda m=metric: strong(m) == [runs[0]], f"the first run alone in {metric}")
    browser.page.mouse.move(1, 1)
    browser.see(lambda: strong("up") == strong("down") == runs, "all runs alike again")
