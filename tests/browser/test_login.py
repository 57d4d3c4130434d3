"""Who has no token sees the log-in page and nothing else."""

from __future__ import annotations

import re

from fix_browser import Browser
from fix_server import Server
from playwright.sync_api import expect


def test_a_stranger_sees_only_the_log_in_page(server: Server, stranger: Browser) -> None:
    run = server.new_run(name="secret-run")
    stranger.open_run(run)
    expect(stranger.find("input[name=token]")).to_be_visible()
    assert "secret-run" not in stranger.page.content()


def test_a_wrong_token_is_said_and_the_right_one_leads_to_the_page_asked_for(
    server: Server, stranger: Browser
) -> None:
    run = server.new_run(name="asked-for")
    stranger.open_run(run)
    token = stranger.find("input[name=token]")
    token.fill("nonsense")
    token.press("Enter")
    expect(stranger.find(".wrong")).to_contain_text("does not know")
    token.fill(server.token)
    token.press("Enter")
    expect(stranger.page).to_have_title(re.compile("^asked-for"))


def test_the_address_that_the_server_prints_logs_in_and_forgets_the_token(
    server: Server, stranger: Browser
) -> None:
    stranger.open(f"/?token={server.token}")
    expect(stranger.find("h1")).to_have_text("Runs")
    assert server.token not in stranger.page.url
    # No script can read it.
    assert stranger.page.evaluate("document.cookie") == ""


def test_a_log_in_that_ends_while_the_page_is_open_is_said(
    server: Server, stranger: Browser
) -> None:
    stranger.log_in()
    stranger.open("/dashboard/runs")
    expect(stranger.find("h1")).to_have_text("Runs")
    stranger.context.clear_cookies()
    server.new_run()
    expect(stranger.find("a.button[href='/login']")).to_be_visible()


def test_the_log_in_keeps_how_the_view_was_shown(server: Server, stranger: Browser) -> None:
    server.new_run(name="Größe 1/2", folder="/kept")
    stranger.open("/dashboard/runs?find=Gr%C3%B6%C3%9Fe+1/2&folder=/kept")
    token = stranger.find("input[name=token]")
    token.fill(server.token)
    token.press("Enter")
    expect(stranger.find(".find")).to_have_value("Größe 1/2")
    assert stranger.page.url.endswith("/dashboard/runs?find=Gr%C3%B6%C3%9Fe+1/2&folder=/kept")


def test_nobody_is_led_elsewhere_by_the_log_in(server: Server, stranger: Browser) -> None:
    for place in ("//elsewhere.example/", "/\\elsewhere.example/", "https://elsewhere.example/"):
        answer = stranger.context.request.post(
            "/login",
            form={"token": server.token, "next": place},
            headers={"Origin": server.url},
            max_redirects=0,
        )
        assert answer.headers["location"] == "/"
