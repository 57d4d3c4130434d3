"""Who has no token sees the log-in page and nothing else."""

from __future__ import annotations

from fix_browser import Browser
from fix_server import Server


def test_a_stranger_sees_only_the_log_in_page(server: Server, stranger: Browser) -> None:
    run = server.new_run(name="secret-run")
    stranger.open_run(run)
    stranger.see(lambda: stranger.all("input[name=token]"), "the log-in page")
    assert "secret-run" not in stranger.driver.page_source


def test_a_wrong_token_is_said_and_the_right_one_leads_to_the_page_asked_for(
    server: Server, stranger: Browser
) -> None:
    run = server.new_run(name="asked-for")
    stranger.open_run(run)

    def send(token: str) -> None:
        field = stranger.driver.find_element("name", "token")
        field.send_keys(token)
        field.submit()

    send("nonsense")
    stranger.see(lambda: "does not know" in stranger.driver.page_source, "that it is wrong")
    send(server.token)
    stranger.see(lambda: stranger.driver.title.startswith("asked-for"), "the run asked for")


def test_the_address_that_the_server_prints_logs_in_and_forgets_the_token(
    server: Server, stranger: Browser
) -> None:
    stranger.log_in()
    stranger.see(lambda: stranger.all("h1"), "the runs")
    assert server.token not in stranger.driver.current_url
    # No script can read it.
    assert stranger.driver.execute_script("return document.cookie") == ""


def test_a_log_in_that_ends_while_the_page_is_open_is_said(
    server: Server, stranger: Browser
) -> None:
    stranger.log_in()
    stranger.open("/dashboard/runs")
    stranger.see(lambda: stranger.all(".head h1"), "the runs")
    stranger.driver.delete_all_cookies()
    stranger.see(lambda: stranger.all("a.button[href='/login']"), "the way to log in again")
