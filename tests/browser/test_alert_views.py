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
