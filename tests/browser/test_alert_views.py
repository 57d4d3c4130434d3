"""Alerts: the four kinds made in the page, and where each is critical now."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import Locator, expect


def line(browser: Browser, alert: str) -> Locator:
    return browser.find(f".list tbody tr:has(th bdi:text-is('{alert}'))")


def alert_named(server: Server, name: str) -> dict[str, Any]:
    """Return the alert called *name*."""
    return next(alert for alert in server.get("/alerts")["data"] if alert["name"] == name)


KINDS: dict[str, tuple[dict[str, str], dict[str, Any] | None, str]] = {
    "threshold": (
        {"Metric": "loss", "Threshold": "0.5", "over the last minutes": "3"},
        {"metric": "loss", "rule": "is above", "threshold": 0.5, "window": 3, "frequency": 5,
         "aggregation": "average"},
        "average of loss is above 0.5, over 3 min",
    ),
    "range": (
        {"Metric": "energy.*", "From": "-1", "To": "1e3"},
        {"metric": "energy.*", "rule": "is outside range", "range_low": -1.0, "range_high": 1000.0,
         "window": 5, "frequency": 5, "aggregation": "average"},
        "average of energy.* is outside range -1 to 1,000, over 5 min",
    ),
    "events": (
        {"Text": "diverged"},
        {"pattern": "diverged", "frequency": 5},
        "an event holds “diverged”",
    ),
    "user": ({}, None, "somebody says so"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_alert_of_each_kind_is_made(server: Server, browser: Browser, kind: str) -> None:
    fields, definition, words = KINDS[kind]
    name = f"made {kind}"
    browser.open(f"/dashboard/alerts?find={name}")
    browser.find(".head").get_by_role("button", name="New alert").click()
    dialog = browser.find("dialog")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_label("Kind").select_option(kind)
    for label, value in fields.items():
        dialog.get_by_label(label, exact=True).fill(value)
    dialog.get_by_label("End the run when it is critical").check()
    dialog.get_by_role("button", name="Make it").click()
    expect(line(browser, name)).to_contain_text(words)
    alert = alert_named(server, name)
    assert alert["alert"] == definition
    assert alert["abort"] is True


def test_an_alert_is_changed_switched_off_and_deleted(server: Server, browser: Browser) -> None:
    rule = {"metric": "loss", "rule": "is above", "threshold": 1.0}
    server.post("/alerts", {"name": "changed", "source": "metrics", "alert": rule})
    browser.open("/dashboard/alerts")
    browser.page.get_by_label("Edit changed").click()
    browser.find("dialog").get_by_label("Threshold", exact=True).fill("2.5")
    browser.find("dialog").get_by_label("Rule").first.select_option("is below")
    browser.find("dialog").get_by_role("button", name="Save").click()
    expect(line(browser, "changed")).to_contain_text("loss is below 2.5")
    browser.page.get_by_label("Watch changed").uncheck()
    browser.see(lambda: not alert_named(server, "changed")["enabled"], "the alert switched off")
    browser.page.get_by_label("Delete changed").click()
    browser.find("dialog").get_by_role("button", name="Delete").click()
    expect(line(browser, "changed")).to_have_count(0)


def test_a_rule_that_cannot_be_is_refused_in_words(server: Server, browser: Browser) -> None:
    browser.open("/dashboard/alerts")
    browser.find(".head").get_by_role("button", name="New alert").click()
    dialog = browser.find("dialog")
    dialog.get_by_label("Name").fill("backwards")
    dialog.get_by_label("Kind").select_option("range")
    for label, value in {"Metric": "loss", "From": "2", "To": "1"}.items():
        dialog.get_by_label(label, exact=True).fill(value)
    dialog.get_by_role("button", name="Make it").click()
    expect(dialog.get_by_role("alert")).to_contain_text("the range begins at 2.0, behind 1.0")
    # The browser's own log of the refusal is no complaint of the page's.
    assert all("422" in text for text in browser.complaints())


def test_where_an_alert_is_critical_is_seen_as_soon_as_it_is(
    server: Server, browser: Browser
) -> None:
    alert = server.post("/alerts", {"name": "raised", "source": "user"})["id"]
    runs = [server.new_run(name=f"watched-{i}", alerts=[alert]) for i in range(2)]
    browser.open("/dashboard/alerts?find=raised")
    expect(line(browser, "raised")).to_contain_text("not critical")
    server.put(f"/alerts/{alert}/status/{runs[1]}", {"status": "critical"})
    expect(line(browser, "raised")).to_contain_text("critical on 1 run")
    expect(line(browser, "raised").get_by_role("link", name="watched-1")).to_be_visible()
    line(browser, "raised").get_by_role("link", name="critical on 1 run").click()
    expect(browser.page).to_have_url(re.compile("/dashboard/runs.filter="))
    expect(browser.find(".runs .name")).to_have_text("watched-1")


# ---- On a run's page ----------------------------------------------------------------------------


def watch(browser: Browser, alert: str) -> Locator:
    """Return what a run's page says of the alert called *alert*."""
    heading = browser.page.get_by_role("heading", name=alert, exact=True)
    return browser.find(".watches li", has=heading)


def test_a_run_says_what_it_is_watched_for_and_hears_of_a_change_at_once(
    server: Server, browser: Browser
) -> None:
    rule = {"metric": "temperature", "rule": "is above", "threshold": 400, "window": 1}
    hot = server.post("/alerts", {"name": "too hot", "source": "metrics", "alert": rule})["id"]
    said = server.post("/alerts", {"name": "said so", "source": "user", "description": "By us"})[
        "id"
    ]
    off = server.post("/alerts", {"name": "asleep", "source": "user", "enabled": False})["id"]
    run = server.new_run(alerts=[hot, said, off])
    browser.open_run(run, "?tab=alerts")
    expect(watch(browser, "too hot")).to_contain_text(
        "Critical when: average of temperature is above 400, over 1 min"
    )
    expect(watch(browser, "said so")).to_contain_text("By us")
    verdicts = browser.find(".watches .verdict")
    expect(verdicts).to_have_text(["not yet known", "not yet known", "turned off"])
    for status in ("ok", "critical"):
        server.put(f"/alerts/{said}/status/{run}", {"status": status})
        expect(verdicts).to_have_text(["not yet known", status, "turned off"])


def test_an_alert_is_attached_to_a_run_and_detached(server: Server, browser: Browser) -> None:
    first, second = (
        server.post("/alerts", {"name": f"{place} to be attached", "source": "user"})["id"]
        for place in ("first", "second")
    )
    run = server.new_run(alerts=[first])

    def attached() -> list[str]:
        return [item["alert"]["id"] for item in server.get(f"/runs/{run}")["alerts"]]

    browser.open_run(run, "?tab=alerts")
    browser.page.get_by_role("button", name="Attach an alert").click()
    choice = browser.find("dialog").get_by_role("combobox", name="Alert")
    expect(choice.locator("option", has_text="first to be attached")).to_have_count(0)
    choice.select_option("second to be attached")
    browser.find("dialog").get_by_role("button", name="Attach", exact=True).click()
    expect(watch(browser, "second to be attached")).to_be_visible()
    assert attached() == [first, second]

    browser.page.get_by_role("button", name="Detach first to be attached").click()
    expect(watch(browser, "first to be attached")).to_have_count(0)
    assert attached() == [second]
    browser.page.get_by_role("button", name="Detach second to be attached").click()
    expect(browser.page.get_by_text("No alert watches this run.")).to_be_visible()
    # The alerts themselves stay.
    assert alert_named(server, "first to be attached")["id"] == first


def test_an_alert_made_on_a_run_s_page_watches_it(server: Server, browser: Browser) -> None:
    run = server.new_run()
    browser.open_run(run, "?tab=alerts")
    browser.page.get_by_role("button", name="New alert").click()
    dialog = browser.find("dialog")
    dialog.get_by_label("Name").fill("made on a run's page")
    dialog.get_by_label("Kind").select_option("events")
    dialog.get_by_label("Text", exact=True).fill("diverged")
    dialog.get_by_role("button", name="Make it").click()
    expect(watch(browser, "made on a run's page")).to_contain_text("an event holds “diverged”")
    made = alert_named(server, "made on a run's page")["id"]
    assert [item["alert"]["id"] for item in server.get(f"/runs/{run}")["alerts"]] == [made]
