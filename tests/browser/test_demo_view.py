"""What a newcomer sees first: the address that ``simvue demo`` prints, opened as it stands."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_browser import Browser
from playwright.sync_api import expect

ROOT = Path(__file__).parents[2]

# The examples take some seconds; this is for a machine that is busy with everything else.
DEMO_S_MAX = 110


@pytest.fixture
def said() -> Iterator[str]:
    """What a demo says until it serves what it recorded; it serves on until the test ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "simvue", "demo"],
        cwd=ROOT,
        # Settings of whoever runs it must not reach the examples.
        env={**os.environ, "SIMVUE_URL": "http://127.0.0.1:1", "SIMVUE_TOKEN": "wrong"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        late = threading.Timer(DEMO_S_MAX, demo.terminate)
        late.start()
        try:
            assert demo.stdout is not None
            lines = []
            for line in demo.stdout:
                lines.append(line)
                if line.startswith("Serving until"):
                    break
            yield "".join(lines)
            demo.send_signal(signal.SIGINT)
            assert demo.wait(DEMO_S_MAX) == 0
        finally:
            late.cancel()
            demo.terminate()


def test_the_demo_opens_on_charts_and_on_words_that_explain_them(
    said: str, stranger: Browser
) -> None:
    address = re.search(r"^Open (http\S+)$", said, re.M)
    assert address is not None, said
    # What is printed below it is true of what is seen there.
    assert "every run of these examples, one a line, with a sentence" in said
    assert "Four are ticked, one simulation at four growth rates" in said
    stranger.page.goto(address[1])
    stranger.see_label("population", "4 runs")
    assert stranger.page.evaluate(
        """
        () => {
          const drawn = document.querySelector("[aria-label='population'] .plot canvas");
          const copy = new OffscreenCanvas(drawn.width, drawn.height);
          copy.getContext("2d").drawImage(drawn, 0, 0);
          const { data } = copy.getContext("2d").getImageData(0, 0, drawn.width, drawn.height);
          const colours = new Set();
          for (let at = 0; at < data.length; at += 4) {
            if (data[at + 3] === 255) colours.add(data.slice(at, at + 3).join());
          }
          return colours.size > 2;
        }
        """
    )
    names = stranger.find(".runs tbody a.name")
    expect(names).to_have_text(
        ["edge-values", "heat2d", "logistic-2.9", "logistic-3.3", "logistic-3.5", "logistic-3.9",
         "lorenz96", "my-first-run", "queued-job"]
    )  # fmt: skip
    for words in (
        "A population that settles: the logistic map at 2.9.",
        "A population that is chaos: the logistic map at 3.9.",
        "Heat spreads over a plate",
        "Chaos on a ring of 8 variables",
        "NaN, infinities, large integers",
        "A first run",
        "A job that was queued",
    ):
        expect(stranger.page.get_by_text(words)).to_be_in_viewport()
    expect(stranger.page.get_by_text("4 runs ticked")).to_be_visible()
    # The address may be sent to a colleague; the token stays behind.
    assert "token" not in stranger.page.url
    server = re.match(r"http://[^/]+/", address[1])
    assert server is not None
    asked = f"asked {server[0]}"
    assert [text for text in stranger.complaints() if not text.startswith(asked)] == []
