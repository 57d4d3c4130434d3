"""Charts of a run that goes on: heard of by the stream alone, and joined to the pixel."""

from __future__ import annotations

import json
import math
from urllib.parse import parse_qs, urlsplit

from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import Route
from test_page import rows

# Keeps every stream that the page opens where a test can look at it.
STREAMS = """
window.streams = [];
window.EventSource = class extends EventSource {
  constructor(...of) {
    super(...of);
    window.streams.push(this);
  }
};
"""


def test_rows_are_heard_of_by_server_sent_events(server: Server, browser: Browser) -> None:
    run = server.new_run(status="running")
    server.send_rows(run, rows(0, 10, loss=float))
    browser.page.add_init_script(STREAMS)
    browser.open_run(run)
    browser.see_label("loss", "10 rows, last 9")
    states = "streams.map((stream) => stream.readyState)"
    browser.see(lambda: 1 in browser.page.evaluate(states), "an open stream")
    opened = browser.page.evaluate("streams.length")
    # While a stream is open the page asks by itself each minute, twice as long as a test waits;
    # the stream's hello, which has everything asked for once, may account for the first rows.
    for end in range(11, 15):
        server.send_rows(run, rows(end - 1, end, loss=float))
        browser.see_label("loss", f"{end} rows, last {end - 1}")
    # And none was opened meanwhile, which would have said hello again.
    assert browser.page.evaluate("streams.length") == opened
    assert browser.page.evaluate(states)[-1] == 1


# How many pixels left of a part of the plotting area are not what they were at the first look.
# Less than a sixteenth is how a rasteriser rounds one path or another, and what nobody sees.
MOVED = """
(plot, part) => {
  const drawn = plot.querySelector("canvas");
  const over = plot.querySelector(".u-over");
  const copy = new OffscreenCanvas(drawn.width, drawn.height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(drawn, 0, 0);
  const width = Math.round(over.offsetLeft + part * over.clientWidth);
  const { data } = context.getImageData(0, 0, width, drawn.height);
  plot.firstLook ??= data;
  const moved = new Set();
  data.forEach((part, i) => {
    if (Math.abs(part - plot.firstLook[i]) >= 16) moved.add(Math.floor(i / 4));
  });
  return moved.size;
}
"""


def test_what_is_drawn_stays_to_the_pixel_when_rows_are_joined(
    server: Server, browser: Browser
) -> None:
    run = server.new_run(status="running")
    wave = rows(0, 5_000, wave=lambda i: math.sin(i * i))
    server.send_rows(run, wave)
    # What is asked for after all that there is waits until that has been looked at.
    later: list[Route] = []

    def hold(asked: Route) -> None:
        ((_, _, start),) = json.loads(parse_qs(urlsplit(asked.request.url).query)["sources"][0])
        if start is None:
            asked.continue_()
        else:
            later.append(asked)

    browser.page.route("**/metrics/buckets?*", hold)
    browser.open_run(run)
    browser.see_label("wave", "5,000 rows")
    plot = browser.plot("wave")
    plot.evaluate(MOVED, 0.98)
    browser.page.unroute("**/metrics/buckets?*")
    for asked in later:
        asked.continue_()
    # At the last step again, so that neither axis has to change.
    for sent in range(1, 4):
        server.send_rows(run, [{**wave[-1], "values": {"wave": sent / 10}}])
        browser.see_label("wave", f"{5_000 + sent:,} rows, last 0.{sent}")
        assert plot.evaluate(MOVED, 0.98) == 0
    queries = [parse_qs(urlsplit(url).query) for url in browser.asked("/metrics/buckets?")]
    starts = [start for query in queries for (_, _, start) in json.loads(query["sources"][0])]
    # They were joined, not asked for with all others.
    assert [start for start in starts if start is not None]
