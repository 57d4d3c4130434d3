"""Artifacts: where they stand, and what of them a browser may show, however hostile."""

from __future__ import annotations

import json
import struct
import zlib

import pytest
import requests
from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import expect
from run_parts import BACKWARDS, HEBREW, HOSTILE, save

from simvue.artifacts import encode

SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="32" onload="top.hacked=1">'
    b"<script>top.hacked=1</script></svg>"
)


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


def show(browser: Browser, run: str, artifact: str) -> None:
    browser.open_run(run, f"?tab=artifacts&artifact={artifact}")


def test_a_picture_is_shown(server: Server, browser: Browser) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    # 24 by 16 pixels of 8 bits of grey, each line after the filter that it went through: none.
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 24, 16, 8, 0, 0, 0, 0))
    png += chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * 24) * 16)) + chunk(b"IEND", b"")
    run = server.new_run()
    show(browser, run, save(server, run, "slice.png", "image/png", png))
    image = browser.find(".preview img")
    browser.see(lambda: image.evaluate("image => image.naturalWidth") == 24, "the picture")
    expect(image).to_have_attribute("alt", "slice.png")


def test_a_data_frame_of_our_client_is_a_table(server: Server, browser: Browser) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1.5, 2.5], "name": ["a, b", HOSTILE]}, index=["one", "two"])
    content, kind = encode(frame)
    run = server.new_run()
    show(browser, run, save(server, run, "frame", kind, content))
    expect(browser.find(".preview th")).to_have_text(["", "x", "name"])
    expect(browser.find(".preview td")).to_have_text(["one", "1.5", "a, b", "two", "2.5", HOSTILE])
    assert browser.page.evaluate("window.hacked") is None


# Plotly reads what matplotlib 3.10 would rather not have read any more.
@pytest.mark.filterwarnings("ignore:The converter attribute:DeprecationWarning")
def test_a_matplotlib_figure_of_our_client_is_drawn_in_the_frame(
    server: Server, browser: Browser
) -> None:
    pytest.importorskip("plotly")
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.subplots()
    axes.plot([1, 2, 3], [3, 1, 2])
    axes.set_xlabel("angle")
    content, kind = encode(figure)
    run = server.new_run()
    show(browser, run, save(server, run, "drag", kind, content))
    frame = browser.page.frame_locator(".figure-frame")
    expect(frame.locator(".scatterlayer .js-line")).to_have_count(1, timeout=60_000)
    expect(frame.locator(".xtitle")).to_have_text("angle")


@pytest.mark.parametrize("content", [b'{"data": [', b"null", b"\xff\xfe\x00"])
def test_what_is_no_figure_is_said_to_be_none(
    server: Server, browser: Browser, content: bytes
) -> None:
    pytest.importorskip("plotly")
    run = server.new_run()
    kind = "application/vnd.plotly.v1+json"
    show(browser, run, save(server, run, "no figure", kind, content))
    body = browser.page.frame_locator(".figure-frame").locator("body")
    expect(body).to_contain_text("This figure cannot be drawn", timeout=60_000)


def test_a_long_text_is_shown_from_its_beginning(server: Server, browser: Browser) -> None:
    run = server.new_run()
    # The last letter that is looked at is cut in half, so it is not shown.
    text = "x" + "é" * 40_000
    show(browser, run, save(server, run, "log.txt", "text/plain", text.encode()))
    expect(browser.find(".preview")).to_contain_text("These are the first 65,536 of 80,001 bytes.")
    assert browser.find(".preview pre").inner_text() == text[:32_768]


@pytest.mark.parametrize(
    ("rows", "columns", "cell", "shown"),
    [
        # More rows and columns than are shown.
        (300, 60, "1", (200, 50)),
        # 400 kB, of which 262,144 bytes are looked at: 65 whole rows after the head.
        (100, 2, "x" * 1_999, (65, 2)),
        (3, 2, "x", (3, 2)),
    ],
)
def test_a_large_table_is_shown_in_part(
    server: Server, browser: Browser, rows: int, columns: int, cell: str, shown: tuple[int, int]
) -> None:
    run = server.new_run()
    lines = [",".join(f"c{i}" for i in range(columns)), *[",".join([cell] * columns)] * rows]
    content = "\n".join(lines).encode()
    show(browser, run, save(server, run, "large.csv", "text/csv", content))
    expect(browser.find(".preview tbody tr")).to_have_count(shown[0])
    expect(browser.find(".preview thead th")).to_have_count(shown[1])
    expect(browser.find(".preview tbody td")).to_have_count(shown[0] * shown[1])
    words = browser.find(".preview", has_text="its first 200 rows and 50 columns, at most")
    expect(words).to_have_count(0 if (rows, columns) == shown else 1)


HOSTILE_TABLES = {
    "markup": (f"{HOSTILE},b\n{HOSTILE},2\n", [HOSTILE, "2"]),
    "right to left": (f'{BACKWARDS},b\n{BACKWARDS},"{HEBREW}"\n', [BACKWARDS, HEBREW]),
    "a quote that never ends": ('a,b\n"' + "x" * 200_000, ["x" * 200_000]),
    "quotes within": ('a,b\n"x"y,"z\n', ['x"y', "z\n"]),
    "a hundred thousand columns": ("," * 100_000 + "\n1,2\n", ["1", "2"]),
}


@pytest.mark.parametrize("table", HOSTILE_TABLES)
def test_cells_of_strangers_are_text(server: Server, browser: Browser, table: str) -> None:
    content, cells = HOSTILE_TABLES[table]
    run = server.new_run()
    show(browser, run, save(server, run, "cells.csv", "text/csv", content.encode()))
    shown = browser.find(".preview td")
    expect(shown).to_have_count(len(cells))
    assert shown.evaluate_all("all => all.map((td) => td.textContent)") == cells
    assert browser.page.evaluate("window.hacked") is None


@pytest.mark.parametrize("name", [HOSTILE, f"{BACKWARDS}.txt", HEBREW, "long" * 60])
def test_names_and_texts_of_strangers_stand_in_their_place(
    server: Server, browser: Browser, name: str
) -> None:
    run = server.new_run()
    made = save(server, run, name, "text/plain", f"{HEBREW}\n{BACKWARDS}\n{HOSTILE}".encode())
    show(browser, run, made)
    expect(browser.find(".preview pre")).to_have_text(f"{HEBREW}\n{BACKWARDS}\n{HOSTILE}")
    expect(browser.find(".shown h2")).to_have_text(name)
    expect(browser.find(".shelves li button span")).to_have_text(name)
    # What stands beside the name is not turned by it.
    assert browser.find(".shelves small").evaluate("e => getComputedStyle(e).direction") == "ltr"
    for width in (1280, 390):
        browser.page.set_viewport_size({"width": width, "height": 800})
        assert browser.page.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.page.evaluate("window.hacked") is None
