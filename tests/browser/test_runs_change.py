"""What is done in the table of runs: filtered, tagged, moved, deleted; and what must do no harm."""

from __future__ import annotations

import pytest
import requests
from fix_browser import Browser
from fix_server import Server, tomllib
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Locator, expect

from simvue.wire import new_id


def names(browser: Browser) -> Locator:
    return browser.find(".runs a.name")


def test_a_filter_is_made_changed_and_taken_away(server: Server, browser: Browser) -> None:
    for seed in (1, 2, 3):
        server.new_run(name=f"seed-{seed}", folder="/chips", metadata={"seed": seed})
    browser.open("/dashboard/runs?filter=folder.path == /chips&sort=name&order=up")
    expect(names(browser)).to_have_text(["seed-1", "seed-2", "seed-3"])

    browser.find("button", has_text="+ Filter").click()
    dialog = browser.find("dialog")
    dialog.get_by_label("Field").select_option(label="Metadata")
    dialog.get_by_label("Key").fill("seed")
    dialog.get_by_label("Comparison").select_option(label="≥")
    dialog.get_by_label("Value").fill("2")
    dialog.get_by_role("button", name="Filter", exact=True).click()
    expect(names(browser)).to_have_text(["seed-2", "seed-3"])

    browser.find(".chips button", has_text="metadata.seed >= 2").click()
    expect(dialog.get_by_label("Value")).to_have_value("2")
    dialog.get_by_label("Value").fill("3")
    dialog.get_by_label("Value").press("Enter")
    expect(names(browser)).to_have_text(["seed-3"])
    browser.page.go_back()
    expect(names(browser)).to_have_text(["seed-2", "seed-3"])
    browser.find("[aria-label='Remove the filter metadata.seed >= 2']").click()
    expect(names(browser)).to_have_count(3)


@pytest.mark.parametrize(
    "filter",
    [
        "name contains a == b",
        "has tag.night run",
        "has not tag.draft",
        "starred",
        "created < 3d",
        "metadata.a key > 2.0",
        "metadata.seed not exists",
        "system.platform.system != Linux",
        "folder.path not contains /x",
        "alert.status == critical",
        "what nobody knows",
    ],
)
def test_the_editor_gives_back_the_filter_that_it_was_given(bench: Browser, filter: str) -> None:
    assert bench.run_module("filters.js", "return it.compose(it.parse(rest[0]))", filter) == filter


def test_a_filter_that_the_server_refuses_is_said_beside_it(
    server: Server, stranger: Browser
) -> None:
    # As a stranger who logs in: the 422 stands in the console, which `browser` forbids.
    stranger.log_in()
    stranger.open("/dashboard/runs?filter=created == yesterday")
    expect(stranger.find(".filters .wrong")).to_contain_text("an age reads created < N")
    expect(stranger.find("h1")).to_have_text("Runs")


def test_a_folder_narrows_the_table_to_itself_and_what_is_below(
    server: Server, browser: Browser
) -> None:
    server.new_run(name="above", folder="/boughs")
    server.new_run(name="below", folder="/boughs/twig")
    browser.open("/dashboard/runs?folder=/boughs&sort=name&order=up")
    expect(names(browser)).to_have_text(["above", "below"])
    browser.find(".tree a", has_text="twig").click()
    expect(names(browser)).to_have_text(["below"])
    expect(browser.find(".tree [aria-current]")).to_contain_text("twig")
    browser.find(".tree a[title='/boughs']").click()
    expect(names(browser)).to_have_text(["above", "below"])
    browser.find(".tree a[title='/boughs'] .turn").click()
    expect(browser.find(".tree a", has_text="twig")).to_have_count(0)


def test_ticked_runs_are_tagged_moved_and_deleted(server: Server, browser: Browser) -> None:
    runs = [server.new_run(name=f"bulk-{i}", folder="/bulk", tags=["old"]) for i in range(3)]
    ticked = ",".join(runs[:2])
    browser.open(f"/dashboard/runs?folder=/bulk&sort=name&order=up&runs={ticked}")
    dialog = browser.find("dialog")

    browser.find(".bulk button", has_text="Tag").click()
    dialog.get_by_label("Tag", exact=True).last.fill("new")
    dialog.get_by_label("Tag", exact=True).last.press("Enter")
    expect(browser.find(".runs .tag", has_text="new")).to_have_count(2)
    assert server.get(f"/runs/{runs[0]}")["tags"] == ["old", "new"]
    assert server.get(f"/runs/{runs[2]}")["tags"] == ["old"]

    browser.find(".bulk button", has_text="Tag").click()
    dialog.get_by_label("Tag", exact=True).last.fill("old")
    dialog.get_by_label("take this tag away").check()
    dialog.get_by_role("button", name="Tag", exact=True).click()
    expect(browser.find(".runs .tag", has_text="old")).to_have_count(1)
    assert [server.get(f"/runs/{run}")["tags"] for run in runs] == [["new"], ["new"], ["old"]]

    browser.find(".bulk button", has_text="Move").click()
    dialog.get_by_label("Folder").fill("/bulk/moved")
    dialog.get_by_label("Folder").press("Enter")
    expect(dialog).to_have_count(0)
    assert [server.get(f"/runs/{run}")["folder"] for run in runs] == [
        "/bulk/moved",
        "/bulk/moved",
        "/bulk",
    ]

    browser.find(".bulk button", has_text="Delete").click()
    sure = dialog.get_by_role("button", name="Delete for good")
    expect(sure).to_be_disabled()
    dialog.get_by_label("Type 2 to confirm").fill("2")
    sure.click()
    expect(names(browser)).to_have_text(["bulk-2"])
    assert "runs=" not in browser.page.url
    assert server.ask("GET", f"/runs/{runs[0]}").status_code == 404


def test_tags_are_edited_in_their_place(server: Server, browser: Browser) -> None:
    run = server.new_run(name="in-place", folder="/tagged", tags=["first"])
    browser.open("/dashboard/runs?folder=/tagged")
    browser.find("[data-column=tags]").click()
    field = browser.find(".edited input")
    field.fill("second")
    field.press("Enter")
    browser.see(lambda: server.get(f"/runs/{run}")["tags"] == ["first", "second"], "both tags")
    browser.find("[aria-label='Remove the tag first']").click()
    browser.see(lambda: server.get(f"/runs/{run}")["tags"] == ["second"], "the one that is left")
    field.press("Escape")
    expect(browser.find(".runs .tag")).to_have_text(["second"])


def test_a_cell_of_tags_is_left_to_who_types_and_ends_when_it_is_left(
    server: Server, browser: Browser
) -> None:
    run = server.new_run(name="typed", folder="/typed", tags=["kept", "last"])
    browser.open("/dashboard/runs?folder=/typed")
    browser.find("[data-column=tags]").click()
    field = browser.find(".edited input")
    # In an empty field, Backspace takes the last one away.
    field.press("Backspace")
    browser.see(lambda: server.get(f"/runs/{run}")["tags"] == ["kept"], "the one that is left")
    field.fill("half-typ")
    server.put(f"/runs/{run}", {"name": "typed-on"})
    expect(names(browser)).to_have_text(["typed-on"])
    expect(field).to_have_value("half-typ")
    expect(field).to_be_focused()
    browser.find("h1").click()
    expect(field).to_have_count(0)
    expect(browser.find(".runs .tag")).to_have_text(["kept"])
    assert server.get(f"/runs/{run}")["tags"] == ["kept"]


def test_a_simulation_is_connected_from_the_header_too(server: Server, browser: Browser) -> None:
    server.new_run(name="there-already", folder="/connected")
    browser.context.grant_permissions(["clipboard-read", "clipboard-write"])
    browser.open("/dashboard/runs?folder=/connected")
    expect(names(browser)).to_have_text(["there-already"])
    browser.page.get_by_role("button", name="Connect a simulation").click()
    dialog = browser.find("dialog")
    dialog.get_by_role("button", name="Make a token").click()
    expect(dialog.get_by_role("status")).to_contain_text("shown this once")
    copy = dialog.get_by_role("button", name="Copy", exact=True)
    expect(copy).to_have_count(2)
    copied = []
    for place in range(2):
        dialog.locator(".copy").nth(place).click()
        expect(dialog.locator(".copy").nth(place)).to_have_text("Copied")
        copied.append(browser.page.evaluate("navigator.clipboard.readText()"))
    file, script = copied
    settings = tomllib.loads(file)["server"]
    assert settings["url"] == server.url
    compile(script, "first.py", "exec")
    headers = {"Authorization": f"Bearer {settings['token']}"}
    run = {"folder": "/connected", "name": "connected", "status": "running"}
    made = requests.post(f"{settings['url']}/api/runs", json=run, headers=headers, timeout=30)
    assert made.status_code == 200
    browser.page.keyboard.press("Escape")
    expect(names(browser)).to_have_text(["connected", "there-already"])


HOSTILE = [
    "<img src=x onerror=alert(1)><script>alert(2)</script>",
    "\u202eright to left\u202c مرحبا",
    "🚀👩🏽‍🔬 " * 20,
    "n" * 10_000,
    "${alert(1)} {{7*7}} javascript:alert(1)",
]


def test_what_strangers_wrote_is_text(server: Server, browser: Browser) -> None:
    """Names, tags, folders and metadata; any script in them that ran would open a dialog."""
    opened: list[str] = []
    browser.page.on("dialog", lambda dialog: (opened.append(dialog.message), dialog.dismiss()))
    folder = f"/hostile-{new_id()}"
    for text in HOSTILE:
        run = server.new_run(
            folder=folder, description=text, tags=[text[:1000]], metadata={"k": text}
        )
        # What our clients would refuse, another may send.
        changed = server.ask("PUT", f"/runs/{run}", json={"name": text})
        assert changed.status_code in (200, 422)
    browser.open(
        f"/dashboard/runs?folder={folder}&col=name&col=tags&col=description&col=metadata.k"
    )
    expect(names(browser)).to_have_count(len(HOSTILE))
    shown = browser.find("[data-column='metadata.k']")
    assert {cell.text_content() for cell in shown.all()} == set(HOSTILE)
    assert {cell.text_content() for cell in browser.find(".runs .tag").all()} == {
        text[:1000] for text in HOSTILE
    }
    assert browser.find("#view img, #view script").count() == 0
    # The longest of them makes no row higher than the others.
    heights = browser.find(".runs tbody tr:has(a)").evaluate_all(
        "rows => [...new Set(rows.map((row) => row.offsetHeight))]"
    )
    assert heights == [36]
    browser.open(f"/dashboard/runs?folder={folder}&group=metadata.k")
    expect(browser.find(".runs .group")).to_have_count(len(HOSTILE))
    assert opened == []


def test_a_newcomer_is_told_what_to_do_and_gets_a_token(
    fresh_server: Server, chromium: Chromium
) -> None:
    window = Browser(chromium, fresh_server)
    window.log_in()
    window.open("/")
    expect(window.find(".board .empty h2")).to_have_text("No runs yet")
    window.find("button", has_text="Make a token").click()
    file = window.find(".empty pre").first
    expect(file).not_to_contain_text("…")
    settings = tomllib.loads(file.inner_text())["server"]
    assert settings["url"] == fresh_server.url
    headers = {"Authorization": f"Bearer {settings['token']}"}
    run = {"folder": "/", "name": "the-first", "status": "running"}
    made = requests.post(f"{settings['url']}/api/runs", json=run, headers=headers, timeout=30)
    assert made.status_code == 200
    expect(names(window)).to_have_text(["the-first"])
    assert window.complaints() == []
    window.context.close()
