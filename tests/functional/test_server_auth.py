"""Nothing answers without a token but the log-in page; other sites' pages get nowhere."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from fix_server import Server

from simvue import wire


def bare(server: Server, method: str, path: str, **arguments: Any) -> requests.Response:
    """Send a request without a token."""
    return requests.request(
        method, f"{server.url}{path}", timeout=30, allow_redirects=False, **arguments
    )


@pytest.fixture
def cookies(server: Server) -> dict[str, str]:
    """What a browser holds after it followed the tokened link."""
    answer = bare(server, "GET", "/", params={"token": server.token})
    return answer.cookies.get_dict()


class TestToken:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/version"),
            ("GET", "/api/runs"),
            ("POST", "/api/runs"),
            ("POST", "/api/metrics"),
            ("DELETE", "/api/runs/x"),
            ("GET", "/api/nothing"),
            ("GET", "/nothing"),
            ("GET", "/schema"),
            ("GET", "/ui/app.js"),
            ("OPTIONS", "/api/runs"),
            ("GET", "//"),
            ("GET", "/dashboardX"),
        ],
    )
    def test_a_stranger_is_401_everywhere(self, server: Server, method: str, path: str) -> None:
        for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": server.token}):
            answer = bare(server, method, path, headers=headers)
            assert answer.status_code == 401
            assert isinstance(answer.json()["detail"], str)

    def test_a_refused_body_is_not_read(self, server: Server) -> None:
        answer = bare(server, "POST", "/api/metrics", data=bytes(1 << 20))
        assert answer.status_code == 401

    def test_a_wrong_bearer_is_not_saved_by_a_good_cookie(
        self, server: Server, cookies: dict[str, str]
    ) -> None:
        headers = {"Authorization": "Bearer wrong"}
        answer = bare(server, "GET", "/api/runs", headers=headers, cookies=cookies)
        assert answer.status_code == 401


class TestHost:
    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "LOCALHOST:80", "[::1]:1"])
    def test_a_known_host_answers_on_any_port(self, server: Server, host: str) -> None:
        assert server.ask("GET", "/whoami", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[", ""]
    )
    def test_a_page_that_plays_dns_tricks_gets_nothing(self, server: Server, host: str) -> None:
        answer = server.ask("GET", "/whoami", headers={"Host": host})
        assert answer.status_code == 421
        assert bare(server, "GET", "/", headers={"Host": host}).status_code == 421

    def test_more_names_can_be_given(self, tmp_path: Any) -> None:
        running = Server(tmp_path / "data", "--name", "sim.example")
        try:
            headers = {"Host": "sim.example"}
            assert running.ask("GET", "/whoami", headers=headers).status_code == 200
        finally:
            running.kill()


class TestPages:
    @pytest.mark.parametrize("path", ["/", "/dashboard", "/dashboard/runs/run/xyz", "/login"])
    def test_a_stranger_sees_the_log_in_page(self, server: Server, path: str) -> None:
        answer = bare(server, "GET", path)
        assert answer.status_code == 401
        assert answer.headers["Content-Type"].startswith("text/html")
        assert 'name="token"' in answer.text
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy

    def test_the_tokened_link_becomes_a_cookie_and_a_clean_address(self, server: Server) -> None:
        for path in ("/", "/dashboard/runs/run/abc"):
            answer = bare(server, "GET", path, params={"token": server.token})
            assert answer.status_code == 303
            assert answer.headers["Location"] == path
            cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
        wrong = bare(server, "GET", "/", params={"token": "wrong"})
        assert wrong.status_code == 401
        assert "Set-Cookie" not in wrong.headers

    def test_a_pasted_token_logs_in(self, server: Server) -> None:
        headers = {"Origin": server.url}
        fields = {"token": f" {server.token}\n", "next": "/dashboard/runs/a b"}
        answer = bare(server, "POST", "/login", data=fields, headers=headers)
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/dashboard/runs/a%20b"
        page = bare(server, "GET", "/dashboard/runs", cookies=answer.cookies.get_dict())
        assert page.status_code == 200

    @pytest.mark.parametrize("place", ["//evil.example", "https://evil.example", "/\\evil", "x"])
    def test_a_log_in_leads_nowhere_else(self, server: Server, place: str) -> None:
        fields = {"token": server.token, "next": place}
        answer = bare(server, "POST", "/login", data=fields, headers={"Origin": server.url})
        assert answer.headers["Location"] == "/"

    def test_a_wrong_token_is_told_so_without_being_shown(self, server: Server) -> None:
        fields = {"token": "<script>", "next": '"><script>'}
        answer = bare(server, "POST", "/login", data=fields, headers={"Origin": server.url})
        assert answer.status_code == 401
        assert "<script>" not in answer.text
        assert "does not know that token" in answer.text
        other = bare(server, "POST", "/login", data=fields, headers={"Origin": "http://evil"})
        assert other.status_code == 403
        huge = bare(server, "POST", "/login", data=bytes(1 << 20), headers={"Origin": server.url})
        assert huge.status_code == 413

    def test_the_pages_come_with_their_types_and_a_strict_policy(
        self, server: Server, cookies: dict[str, str]
    ) -> None:
        for path, kind in (
            ("/", "text/html"),
            ("/dashboard/runs/run/xyz", "text/html"),
            ("/ui/api.js", "text/javascript"),
            ("/ui/vendor/uplot/uPlot.min.css", "text/css"),
            ("/ui/icon.svg", "image/svg+xml"),
        ):
            answer = bare(server, "GET", path, cookies=cookies)
            assert answer.status_code == 200, path
            assert answer.headers["Content-Type"].startswith(kind)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "unsafe" not in policy
            tag = {"If-None-Match": answer.headers["ETag"]}
            again = bare(server, "GET", path, cookies=cookies, headers=tag)
            assert (again.status_code, again.content) == (304, b"")

    @pytest.mark.parametrize("path", ["/ui/absent.js", "/ui/../server/app.py", "/ui/%2e%2e/run.py"])
    def test_there_are_no_other_files(
        self, server: Server, cookies: dict[str, str], path: str
    ) -> None:
        request = requests.Request("GET", server.url, cookies=cookies).prepare()
        request.url = server.url + path
        with requests.Session() as session:
            assert session.send(request, timeout=30).status_code == 404


class TestCookie:
    def test_it_reads_without_more(self, server: Server, cookies: dict[str, str]) -> None:
        assert bare(server, "GET", "/api/whoami", cookies=cookies).status_code == 200

    def test_it_writes_only_from_our_own_pages(
        self, server: Server, cookies: dict[str, str]
    ) -> None:
        def write(**headers: str) -> int:
            return bare(
                server, "POST", "/api/tags", json={"name": wire.new_id()}, cookies=cookies,
                headers=headers,
            ).status_code  # fmt: skip

        assert write(Origin=server.url) == 200
        assert write() == 403
        assert write(Origin="null") == 403
        assert write(Origin="http://evil.example") == 403
        another_port = server.url.replace(str(server.port), str(server.port ^ 1))
        assert write(Origin=another_port) == 403, "all ports of a host share their cookies"

    def test_a_bearer_needs_no_origin(self, server: Server) -> None:
        headers = {"Origin": "http://elsewhere.example"}
        name = {"name": wire.new_id()}
        assert server.ask("POST", "/tags", json=name, headers=headers).status_code == 200

    def test_a_careless_cookie_of_another_program_does_no_harm(
        self, server: Server, cookies: dict[str, str]
    ) -> None:
        (name, value), = cookies.items()  # fmt: skip
        headers = {"Cookie": f'prefs={{"a": [1;2]}}; ={name}; {name}={value}; x'}
        assert bare(server, "GET", "/api/whoami", headers=headers).status_code == 200
