"""A phone: a narrow screen and a finger instead of a mouse."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Locator, expect
from test_charts import shared_run
from test_compare import address, new_runs
from test_job import ODD, RANKS, SLOW

WIDTH = 390


@pytest.fixture
def phone(chromium: Chromium, server: Server) -> Iterator[Browser]:
    """A browser on a phone, logged in; at the end its console has nothing to complain of."""
    window = Browser(
        chromium, server, viewport={"width": WIDTH, "height": 844}, has_touch=True, is_mobile=True
    )
    window.log_in()
    yield window
    assert window.complaints() == []
    window.context.close()


def fits(phone: Browser) -> bool:
    """Say whether the page is no wider than the screen; parts of it may scroll by themselves."""
    wide: int = phone.page.evaluate("document.documentElement.scrollWidth")
    # A page that is wider than the screen makes a phone show it smaller.
    seen: float = phone.page.evaluate("visualViewport.width")
    return wide <= WIDTH and round(seen) == WIDTH


def touch(phone: Browser, path: list[tuple[float, float]]) -> None:
    """Put a finger on the first place of *path*, move it to each of the others, and lift it."""
    engine = phone.context.new_cdp_session(phone.page)
    for place, (x, y) in enumerate(path):
        kind = "touchMove" if place else "touchStart"
        engine.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    engine.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    engine.detach()


def middle(place: Locator) -> tuple[float, float]:
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_runs_are_ticked_drawn_opened_and_compared_with_a_finger(
    server: Server, phone: Browser
) -> None:
    row = {"step": 0, "time": 0.0, "timestamp": "2026-01-01T00:00:00.000000"}
    for place in range(3):
        run = server.new_run(name=f"held-{place}", folder="/in-hand", status="completed")
        server.send_rows(run, [{**row, "values": {"loss": place + 1.0}}])
    phone.open("/dashboard/runs?folder=/in-hand")
    boxes = phone.find(".runs tbody input[type=checkbox]")
    expect(boxes).to_have_count(3)
    boxes.nth(0).tap()
    boxes.nth(1).tap()
    phone.see_label("loss", "2 runs")
    assert fits(phone)
    phone.page.get_by_role("link", name="Compare", exact=True).last.tap()
    expect(phone.page).to_have_url(re.compile("/dashboard/compare"))
    expect(phone.find(".matrix thead .name")).to_have_count(2)
    assert fits(phone)
    phone.page.go_back()
    phone.find(".runs a.name", has_text="held-0").tap()
    expect(phone.find("h1")).to_have_text("held-0")
    phone.see_label("loss", "1 row")


def test_every_part_of_a_run_fits_the_screen(server: Server, phone: Browser) -> None:
    run = shared_run(server, RANKS, SLOW, ODD)
    server.put(f"/runs/{run}", {"metadata": {"a-key-without-an-end-" * 4: "value" * 40}})
    phone.open_run(run)
    phone.see_label("residual", "rows")
    tabs = phone.find("[role=tab]:visible")
    names = tabs.all_inner_texts()
    assert len(names) > 3
    for place, name in enumerate(names):
        tabs.nth(place).tap()
        expect(tabs.nth(place)).to_have_attribute("aria-selected", "true")
        expect(phone.find("#panel")).to_have_text(re.compile(r"\w"))
        assert fits(phone), name


def test_a_tap_on_a_chart_pins_what_it_says(server: Server, phone: Browser) -> None:
    phone.open_run(shared_run(server, 1))
    phone.see_label("residual", "60 rows")
    area = phone.plot("residual").locator(".u-over")
    area.tap()
    expect(phone.find("[aria-label='residual'] .rule.pinned")).to_be_visible()
    expect(phone.find("[aria-label='residual'] .readout")).to_contain_text("at step 30")


def test_the_map_of_a_job_is_tapped_to_its_rank(server: Server, phone: Browser) -> None:
    phone.open_run(shared_run(server, RANKS, SLOW, ODD), "?tab=job")
    phone.see_label("Over all ranks", "greatest")
    assert fits(phone)
    heat = phone.find(".heat canvas")
    box = heat.bounding_box()
    assert box is not None
    heat.tap(position={"x": box["width"] / 2, "y": (ODD + 0.5) / RANKS * box["height"]})
    expect(phone.find(".only")).to_contain_text(f"rank {ODD}")


@pytest.mark.parametrize("show", ["table", "charts", "scatter", "parallel"])
def test_every_way_to_compare_fits_the_screen(server: Server, phone: Browser, show: str) -> None:
    runs = new_runs(server)
    phone.open(address(runs, f"&show={show}"))
    expect(phone.find(".head .total")).to_have_text("3 runs")
    if show == "charts":
        phone.see_label("loss", "3 runs")
    else:
        expect(phone.find(".matrix tbody .key, .plane text").first).to_be_visible()
    assert fits(phone)


def test_a_mark_of_a_scatter_is_tapped(server: Server, phone: Browser) -> None:
    runs = new_runs(server)
    phone.open(address(runs, "&show=scatter&across=metadata.rate&up=metrics.loss.last"))
    phone.find(".plane circle:not(.ring)").nth(1).tap()
    expect(phone.page).to_have_url(re.compile(f"/runs/run/{runs[1]}$"))


def test_a_finger_brushes_an_axis_and_scrolls_beside_it(server: Server, phone: Browser) -> None:
    """The drawing of five axes is wider than the screen, and the page longer."""
    runs = new_runs(server)
    names = [
        "metadata.rate",
        "metadata.mesh.size",
        *(f"metrics.loss.{word}" for word in ("last", "min", "max")),
    ]
    phone.open(address(runs, "&show=parallel" + "".join(f"&axis={name}" for name in names)))
    expect(phone.find(".plane polyline")).to_have_count(3)
    x, y = middle(phone.find(".plane .grip").first)
    # The middle one of the three values lies between.
    touch(phone, [(x, y - 100), (x, y), (x, y + 100)])
    expect(phone.find(".plane polyline.faint")).to_have_count(2)
    expect(phone.page).to_have_url(re.compile("brush="))
    board = phone.find(".plane")
    assert board.evaluate("(it) => it.scrollLeft") == 0
    touch(phone, [(x + 150 - 20 * i, y) for i in range(8)])
    phone.see(lambda: board.evaluate("(it) => it.scrollLeft") > 50, "the other axes")
    expect(phone.find(".plane polyline.faint")).to_have_count(2)
