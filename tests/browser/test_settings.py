"""Settings: tokens shown once, people for administrators only, storages, the way out."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Locator, expect

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def line(browser: Browser, name: str) -> Locator:
    return browser.find(f".list tbody tr:has(th:text-is('{name}'), th bdi:text-is('{name}'))")


def whoami(server: Server, token: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{server.url}/api/whoami", headers=headers, timeout=30).json()


def test_a_token_is_shown_once_with_the_file_a_simulation_needs(
    server: Server, browser: Browser
) -> None:
    browser.open("/dashboard/settings")
    page = browser.page
    page.get_by_label("Name", exact=True).fill("cluster")
    page.get_by_label("May").select_option("read")
    page.get_by_label("Lives for").select_option("30 days")
    page.get_by_role("button", name="Make a token").click()
    expect(browser.find(".once pre")).to_have_count(2)
    shown, alone = browser.find(".once pre").all_inner_texts()
    settings = tomllib.loads(shown)["server"]
    assert settings == {"url": server.url, "token": alone}
    assert whoami(server, alone)["scope"] == "read"
    expect(line(browser, "cluster")).to_contain_text("only read")
    page.reload()
    expect(line(browser, "cluster")).to_be_visible()
    assert alone not in page.content()
    page.get_by_label("Revoke cluster").click()
    browser.find("dialog").get_by_role("button", name="Revoke").click()
    expect(line(browser, "cluster")).to_have_count(0)
    assert "detail" in whoami(server, alone)


def test_a_user_is_made_gets_a_token_and_is_shut_out(server: Server, browser: Browser) -> None:
    browser.open("/dashboard/settings?tab=users")
    page = browser.page
    page.get_by_role("button", name="New user").click()
    dialog = browser.find("dialog")
    dialog.get_by_label("User name").fill("ada")
    dialog.get_by_label("Full name").fill("Ada Lovelace")
    dialog.get_by_role("button", name="Make it").click()
    expect(line(browser, "ada")).to_contain_text("Ada Lovelace")
    page.get_by_role("link", name="Tokens").click()
    page.get_by_label("Name", exact=True).fill("hers")
    page.get_by_label("Speaks for").select_option("ada")
    page.get_by_role("button", name="Make a token").click()
    token = browser.find(".once pre").last.inner_text()
    assert whoami(server, token)["user"] == "ada"
    page.get_by_role("link", name="Users").click()
    page.get_by_label("ada is enabled").uncheck()
    browser.see(lambda: "detail" in whoami(server, token), "the token refused")
    page.get_by_label("Delete ada").click()
    dialog.get_by_role("textbox").fill("ada")
    dialog.get_by_role("button", name="Delete").click()
    expect(line(browser, "ada")).to_have_count(0)


def test_a_tenant_is_made_and_deleted(server: Server, browser: Browser) -> None:
    browser.open("/dashboard/settings?tab=tenants")
    browser.page.get_by_role("button", name="New tenant").click()
    browser.find("dialog").get_by_label("Name").fill("guests")
    browser.find("dialog").get_by_role("button", name="Make it").click()
    expect(line(browser, "guests")).to_be_visible()
    browser.page.get_by_label("Delete guests").click()
    browser.find("dialog").get_by_role("textbox").fill("guests")
    browser.find("dialog").get_by_role("button", name="Delete").click()
    expect(line(browser, "guests")).to_have_count(0)


@pytest.mark.parametrize(
    ("words", "member"), [("manager", "is_manager"), ("may only read", "is_readonly")]
)
def test_a_user_is_made_with_a_role(
    server: Server, browser: Browser, words: str, member: str
) -> None:
    name = f"with-{member}"
    browser.open("/dashboard/settings?tab=users")
    browser.page.get_by_role("button", name="New user").click()
    dialog = browser.find("dialog")
    dialog.get_by_label("User name").fill(name)
    dialog.get_by_label(words, exact=True).check()
    dialog.get_by_role("button", name="Make it").click()
    expect(line(browser, name).locator("td").nth(1)).to_have_text(words)
    user = next(user for user in server.get("/users")["data"] if user["username"] == name)
    roles = {role for role in ("is_admin", "is_manager", "is_readonly") if user[role]}
    assert roles == {member}


def test_a_tenant_that_is_disabled_shuts_its_users_out(server: Server, browser: Browser) -> None:
    tenant = server.post("/tenants", {"name": "shut"})["id"]
    user = server.post(
        "/users",
        {"tenant": tenant, "user": {"username": "inside", "fullname": "", "email": ""}},
    )["id"]
    token = server.post("/tokens", {"name": "of inside", "user": user})["token"]
    browser.open("/dashboard/settings?tab=tenants")
    box = browser.page.get_by_label("shut is enabled")
    box.uncheck()
    browser.see(lambda: "detail" in whoami(server, token), "the token refused")
    browser.page.reload()
    expect(box).not_to_be_checked()
    box.check()
    browser.see(lambda: whoami(server, token).get("user") == "inside", "the token taken")


def test_the_arrows_walk_from_line_to_line(server: Server, browser: Browser) -> None:
    for name in ("upper", "lower"):
        server.post("/tenants", {"name": f"{name} line"})
    browser.open("/dashboard/settings?tab=tenants")
    first, second = (line(browser, f"{name} line") for name in ("upper", "lower"))
    first.get_by_role("checkbox").focus()
    browser.page.keyboard.press("ArrowDown")
    expect(second.get_by_role("checkbox")).to_be_focused()
    browser.page.keyboard.press("Tab")
    browser.page.keyboard.press("ArrowUp")
    expect(first.get_by_role("button", name="Delete")).to_be_focused()


def test_the_last_administrator_stays_and_the_box_says_so(server: Server, browser: Browser) -> None:
    browser.open("/dashboard/settings?tab=users")
    box = browser.page.get_by_label("admin is enabled")
    box.click()
    expect(browser.find("dialog")).to_contain_text("no administrator would be left")
    expect(box).to_be_checked()
    # The browser's own log of the refusal is no complaint of the page's.
    assert all("422" in text for text in browser.complaints())


def test_a_bucket_is_registered_its_secret_never_comes_back(
    server: Server, browser: Browser
) -> None:
    browser.open("/dashboard/settings?tab=storages")
    browser.page.get_by_role("button", name="New S3 storage").click()
    dialog = browser.find("dialog")
    for label, value in {
        "Name": "tape",
        "Bucket": "runs",
        "Address of the store": "http://127.0.0.1:1/",
        "Access key": "who",
        "Secret key": "hush-hush",
    }.items():
        dialog.get_by_label(label, exact=True).fill(value)
    dialog.get_by_label("Do not try to reach it now").check()
    dialog.get_by_role("button", name="Make it").click()
    expect(line(browser, "tape")).to_contain_text("S3: runs at http://127.0.0.1:1/")
    assert "hush-hush" not in browser.page.content()
    browser.page.get_by_label("Delete tape").click()
    browser.find("dialog").get_by_role("button", name="Delete").click()
    expect(line(browser, "tape")).to_have_count(0)


@pytest.fixture
def own(chromium: Chromium, fresh_server: Server) -> Iterator[Browser]:
    """A browser at a server of the test's own: where files go concerns all of a server's users."""
    window = Browser(chromium, fresh_server)
    window.log_in()
    yield window
    window.context.close()


def test_one_storage_is_the_default_and_others_can_be_disabled(own: Browser) -> None:
    first = own.server.get("/storage")[0]["name"]
    disk = own.server.post("/storage", {"name": "disk", "backend": "File"})["id"]
    own.open("/dashboard/settings?tab=storages")
    default, on = (own.page.get_by_label(f"disk is {word}") for word in ("the default", "enabled"))
    default.check()
    # What is stored in by default can be neither disabled nor deleted.
    expect(on).to_be_disabled()
    expect(line(own, "disk").get_by_role("button")).to_have_count(0)
    assert own.server.get(f"/storage/{disk}")["is_default"]

    own.page.get_by_label(f"{first} is the default").check()
    expect(on).to_be_enabled()
    on.uncheck()
    own.see(lambda: not own.server.get(f"/storage/{disk}")["is_enabled"], "the storage disabled")
    assert not own.server.get(f"/storage/{disk}")["is_default"]
    own.page.reload()
    expect(on).not_to_be_checked()
    assert own.complaints() == []


def test_a_bucket_is_refused_as_the_default_and_the_boxes_say_what_is(own: Browser) -> None:
    first = own.server.get("/storage")[0]["name"]
    bucket = {"name": "tape", "backend": "S3", "disable_check": True, "config": {"bucket": "runs"}}
    own.server.post("/storage", bucket)
    own.open("/dashboard/settings?tab=storages")
    own.page.get_by_label("tape is the default").click()
    expect(own.find("dialog")).to_contain_text("can be registered, but not be the default")
    own.page.keyboard.press("Escape")
    expect(own.page.get_by_label(f"{first} is the default")).to_be_checked()
    expect(own.page.get_by_label("tape is the default")).not_to_be_checked()
    # The browser's own log of the refusal is no complaint of the page's.
    assert all("422" in text for text in own.complaints())


@pytest.fixture
def guest(chromium: Chromium, server: Server) -> Iterator[Browser]:
    """A browser whose token may only read."""
    window = Browser(chromium, server)
    token = server.post("/tokens", {"name": "guest", "scope": "read"})["token"]
    headers = {"Origin": server.url}
    window.context.request.post(
        "/login", form={"token": token, "next": "/ui/icon.svg"}, headers=headers
    )
    yield window
    window.context.close()


def test_who_may_only_read_is_offered_no_administration_and_can_log_out(guest: Browser) -> None:
    guest.open("/dashboard/settings")
    expect(guest.find(".tabs a")).to_have_text(["Tokens", "Storages", "About"])
    assert guest.page.get_by_label("May").locator("option").all_inner_texts() == ["only read"]
    guest.page.get_by_role("link", name="About").click()
    expect(guest.find(".pairs")).to_contain_text("Your token may")
    guest.page.get_by_role("button", name="Log out").click()
    expect(guest.page).to_have_url(re.compile("/login$"))
    guest.open("/dashboard/settings")
    expect(guest.find("input[name=token]")).to_be_visible()
