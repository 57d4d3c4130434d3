"""The transport against a real server on loopback that says what a test tells it to say."""

import email
import io
import json
import math
import os
import socket
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgpack
import pytest

from simvue import wire
from simvue.exception import (
    ConfigurationError,
    ObjectNotFoundError,
    ServerError,
    UnauthorisedError,
)
from simvue.remote import ATTEMPTS, Remote, route
from simvue.version import __version__

SECRET = "tk-never-shown-123"
RUN = "a" * 22


@dataclass
class Say:
    """One answer of the scripted server."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict = field(default_factory=dict)
    cut_after: int | None = None
    """Bytes of the body after which the connection is cut; -1 cuts before the status line."""


@dataclass
class Heard:
    method: str
    path: str
    headers: dict
    body: bytes
    peer: tuple


class Scripted(ThreadingHTTPServer):
    """Gives the answers of `script` in turn, then ``{}`` for ever, and keeps what it heard."""

    def __init__(self) -> None:
        self.script: deque[Say] = deque()
        self.heard: list[Heard] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Header and body leave in two packets, and the second would wait 40 ms for an ACK.
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        heard = Heard(self.command, self.path, dict(self.headers), body, self.client_address)
        self.server.heard.append(heard)
        say = self.server.script.popleft() if self.server.script else Say()
        if say.cut_after == -1:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(say.status)
        headers = {"Content-Type": "application/json", **say.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(say.body)))
        self.end_headers()
        self.wfile.write(say.body[: say.cut_after])
        if say.cut_after is not None:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = _answer

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def scripted():
    server = Scripted()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def remote(scripted):
    """A client of the scripted server that hardly waits between attempts."""
    with Remote(scripted.url, SECRET, token_source="the test", wait=0.001) as remote:
        yield remote


# ---- Files ---------------------------------------------------------------------------------


def test_a_file_goes_where_the_server_says_without_the_token(scripted, remote):
    data = os.urandom(3 << 20)
    answer = remote.upload(f"{scripted.url}/store/a?signature=s", io.BytesIO(data), len(data))
    assert answer.ok
    (heard,) = scripted.heard
    assert (heard.method, heard.path, heard.body) == ("PUT", "/store/a?signature=s", data)
    assert "Authorization" not in heard.headers
    assert "Transfer-Encoding" not in heard.headers


def test_an_address_may_be_relative_and_a_file_empty(scripted, remote):
    assert remote.upload("/store/empty", io.BytesIO(b""), 0).ok
    (heard,) = scripted.heard
    assert (heard.path, heard.headers["Content-Length"]) == ("/store/empty", "0")


def test_a_form_has_its_fields_before_the_file(scripted, remote):
    data = b"\r\n--not the end" * 1000
    fields = {"key": "a/b", "policy": "p" * 500}
    scripted.script.append(Say(204, b""))
    assert remote.upload(scripted.url + "/bucket", io.BytesIO(data), len(data), fields).ok
    (heard,) = scripted.heard
    assert heard.method == "POST"
    # Its form is that of mail, whose parser is the oracle.
    head = f"Content-Type: {heard.headers['Content-Type']}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + heard.body).get_payload()
    found = [
        (part.get_param("name", header="content-disposition"), part.get_payload(decode=True))
        for part in parts
    ]
    assert found == [("key", b"a/b"), ("policy", b"p" * 500), ("file", data)]


def test_what_a_store_says_is_the_detail_and_silence_is_an_outage(scripted, remote):
    scripted.script.append(Say(403, b"<Error>expired</Error>", {"Content-Type": "text/plain"}))
    answer = remote.upload(scripted.url + "/a", io.BytesIO(b"x"), 1)
    assert (answer.status, answer.ok) == (403, False)
    assert "expired" in answer.detail
    scripted.script.append(Say(cut_after=-1))
    with pytest.raises(ServerError, match="does not take a file"):
        remote.upload(scripted.url + "/a", io.BytesIO(b"x"), 1)


# ---- One attempt ---------------------------------------------------------------------------


def test_send_carries_the_token_the_version_and_the_body_as_it_is(scripted, remote):
    remote.send("POST", "/metrics", body=b"\x82rows", headers={wire.ROWS_HEADER: "0-5"})
    heard = scripted.heard[0]
    assert (heard.method, heard.path, heard.body) == ("POST", "/api/metrics", b"\x82rows")
    assert heard.headers["Authorization"] == f"Bearer {SECRET}"
    assert heard.headers["User-Agent"] == f"simvue-python/{__version__}"
    assert heard.headers["Content-Type"] == "application/msgpack"
    assert heard.headers[wire.ROWS_HEADER] == "0-5"


def test_an_entry_in_netrc_does_not_replace_the_token(scripted, tmp_path, monkeypatch):
    """requests prefers ~/.netrc to a header; on a cluster such an entry is nobody's intention."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\ndefault login me password mine")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with Remote(scripted.url, SECRET) as remote:
        # Loopback ignores the environment by itself; a host outside would not.
        remote._session.trust_env = True
        remote.send("GET", "/version")
    assert scripted.heard[0].headers["Authorization"] == f"Bearer {SECRET}"


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(scripted, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Remote(scripted.url, SECRET) as remote:
        assert remote.send("GET", "/version").ok


def test_one_connection_serves_many_requests(scripted, remote):
    for _ in range(20):
        remote.send("PUT", "/runs/x/heartbeat")
    assert len({heard.peer for heard in scripted.heard}) == 1


def test_a_forked_child_opens_its_own_connection(scripted, remote):
    remote.send("GET", "/version")
    child = os.fork()
    if child == 0:
        os._exit(0 if remote.send("GET", "/version").ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert remote.send("GET", "/version").ok
    peers = [heard.peer for heard in scripted.heard]
    assert peers[0] == peers[2]
    assert peers[0] != peers[1]


def test_two_threads_may_share_one_remote(scripted, remote):
    def ask() -> None:
        for _ in range(25):
            assert remote.send("GET", "/version").ok

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(scripted.heard) == 50
    assert len({heard.peer for heard in scripted.heard}) <= 2


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 422, 429, 500, 503])
def test_send_never_raises_for_a_status_and_never_asks_twice(scripted, remote, status):
    scripted.script.append(Say(status, b'{"detail": "why"}'))
    answer = remote.send("POST", "/metrics", body=b"x")
    assert (answer.status, answer.ok, answer.detail) == (status, False, "why")
    assert len(scripted.heard) == 1


def test_numbers_that_are_not_finite_cross_both_ways(scripted, remote):
    scripted.script.append(Say(body=b'{"a": NaN, "b": -Infinity, "c": 1}'))
    sent = {"x": math.nan, "y": math.inf, "z": -math.inf, "text": "é"}
    content = remote.send("PUT", f"/runs/{RUN}", json={"metadata": sent}).content
    assert math.isnan(content["a"])
    assert (content["b"], content["c"]) == (-math.inf, 1)
    heard = scripted.heard[0]
    assert heard.headers["Content-Type"] == "application/json"
    assert heard.body == b'{"metadata":{"x":NaN,"y":Infinity,"z":-Infinity,"text":"\\u00e9"}}'


def test_msgpack_is_decoded_with_its_bytes(scripted, remote):
    body = msgpack.packb({"loss": {"step": b"\x01" + bytes(7)}})
    scripted.script.append(Say(body=body, headers={"Content-Type": "application/msgpack"}))
    assert remote.send("GET", "/x").content == {"loss": {"step": b"\x01" + bytes(7)}}


def test_parameters_are_written_as_the_wire_has_them(scripted, remote):
    remote.send("GET", "/runs", params={"a": True, "b": None, "c": 3, "d": '["x y"]'})
    assert scripted.heard[0].path == "/api/runs?a=True&c=3&d=%5B%22x+y%22%5D"


def test_a_path_keeps_what_is_in_a_name(scripted, remote):
    path = route("runs", RUN, "metrics", "a/b c%?#é")
    assert path == f"/runs/{RUN}/metrics/a%2Fb%20c%25%3F%23%C3%A9"
    remote.send("GET", path)
    assert scripted.heard[0].path == "/api" + path


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("3", 3, 3),
        ("0.5", 0.5, 0.5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 1e9, 1e10),
    ],
)
def test_retry_after_is_read_as_seconds_in_both_of_its_forms(scripted, remote, header, least, most):
    scripted.script.append(Say(503, headers={"Retry-After": header}))
    assert least <= remote.send("GET", "/x").retry_after <= most


@pytest.mark.parametrize("header", ["soon", "nan", "inf", ""])
def test_a_retry_after_that_means_nothing_is_none(scripted, remote, header):
    scripted.script.append(Say(503, headers={"Retry-After": header}))
    assert remote.send("GET", "/x").retry_after is None


def test_a_validation_error_reads_as_a_sentence(scripted, remote):
    detail = [
        {"type": "x", "loc": ["body", "metrics", 3, "step"], "msg": "must be 0 or more"},
        {"type": "x", "loc": ["body"], "msg": "and more"},
    ]
    scripted.script.append(Say(422, json.dumps({"detail": detail}).encode()))
    answer = remote.send("POST", "/metrics", body=b"x")
    assert answer.detail == "metrics.3.step: must be 0 or more; and more"


def test_a_redirection_is_not_followed_but_explained(scripted, remote):
    """A followed POST becomes a GET, and its 200 would count as rows that were stored."""
    target = "https://simvue.example.org/api/metrics"
    scripted.script.append(Say(301, b"", {"Location": target}))
    answer = remote.send("POST", "/metrics", body=b"x")
    assert answer.status == 301
    assert target in answer.detail
    assert len(scripted.heard) == 1


def test_a_page_that_says_200_but_is_not_a_servers_answer_is_no_answer(scripted, remote):
    """A captive portal must not acknowledge rows."""
    for body in (b"<html>Please log in</html>", b""):
        scripted.script.append(Say(200, body, {"Content-Type": "text/html"}))
        with pytest.raises(ServerError, match="log-in page") as caught:
            remote.send("POST", "/metrics", body=b"x")
        assert caught.value.status is None


def test_an_error_page_of_a_proxy_becomes_its_reason(scripted, remote):
    scripted.script.append(Say(502, b"<html>nginx</html>", {"Content-Type": "text/html"}))
    assert remote.send("GET", "/x").detail == "Bad Gateway"


def test_a_cookie_is_not_kept(scripted, remote):
    scripted.script.append(Say(headers={"Set-Cookie": "session=1; Path=/"}))
    remote.send("GET", "/x")
    remote.send("GET", "/x")
    assert "Cookie" not in scripted.heard[1].headers


# ---- Silence, in words -------------------------------------------------------------------------


def silence(remote: Remote, **options) -> str:
    with pytest.raises(ServerError) as caught:
        remote.send("GET", "/version", **options)
    assert caught.value.status is None
    assert remote.url in str(caught.value)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_a_port_nobody_listens_on_is_connection_refused():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        # Bound, so that nobody else takes the port, and not listening.
        assert silence(Remote(f"http://127.0.0.1:{port}", SECRET)).endswith("connection refused")


def test_a_deaf_server_is_given_up_after_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        remote = Remote(f"http://127.0.0.1:{deaf.getsockname()[1]}", SECRET)
        assert silence(remote, timeout=0.05).endswith("nothing came within 0.05 s")


def test_an_unknown_name_is_said_to_be_unknown():
    # The reserved domain that never resolves; without a resolver the error is another gaierror.
    assert "its name is not known" in silence(Remote("http://simvue.invalid", SECRET))


@pytest.mark.parametrize("cut_after", [-1, 0, 3])
def test_a_connection_cut_before_the_whole_answer_is_no_answer(scripted, remote, cut_after):
    scripted.script.append(Say(body=b'{"stored": 5}', cut_after=cut_after))
    assert "cut" in silence(remote)


def test_a_server_without_tls_is_named_as_such(scripted):
    url = scripted.url.replace("http:", "https:")
    assert "encrypted" in silence(Remote(url, SECRET))


def test_a_proxy_that_does_not_answer_is_named_as_the_reason(monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        told = silence(Remote("http://simvue.invalid", SECRET))
        assert f"the proxy http://127.0.0.1:{listener.getsockname()[1]} is not reached" in told
        assert "connection refused" in told


def test_a_missing_file_of_certificates_is_named(tmp_path):
    remote = Remote("https://127.0.0.1:9", SECRET, ca_file=tmp_path / "none.pem")
    assert "none.pem" in silence(remote)


def test_a_token_that_no_header_can_carry_is_refused_without_repeating_it():
    with pytest.raises(ConfigurationError) as caught:
        Remote("http://x", f"{SECRET}\r\nX-Evil: 1", token_source="/home/simvue.toml")
    assert "/home/simvue.toml" in str(caught.value)
    assert SECRET not in str(caught.value)


# ---- A few attempts ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_get_asks_again_after_an_answer_that_may_pass(scripted, remote, status):
    scripted.script.extend([Say(status)] * 2 + [Say(body=b'{"version": "1.2.3"}')])
    assert remote.get("/version") == {"version": "1.2.3"}
    assert len(scripted.heard) == 3


def test_get_asks_again_after_a_cut(scripted, remote):
    scripted.script.extend([Say(cut_after=-1)] * 2)
    assert remote.get("/x") == {}
    assert len(scripted.heard) == 3


def test_get_gives_up_after_the_last_attempt_with_the_servers_words(scripted, remote):
    scripted.script.extend([Say(503, b'{"detail": "busy"}')] * (ATTEMPTS + 1))
    with pytest.raises(ServerError, match="503: busy") as caught:
        remote.get("/x")
    assert caught.value.status == 503
    assert len(scripted.heard) == ATTEMPTS


def test_get_obeys_retry_after_but_not_for_longer_than_a_person_waits(scripted, remote):
    scripted.script.append(Say(503, headers={"Retry-After": "0"}))
    assert remote.get("/x") == {}
    scripted.script.append(Say(503, headers={"Retry-After": "3600"}))
    with pytest.raises(ServerError):
        remote.get("/x")
    assert len(scripted.heard) == 3


@pytest.mark.parametrize("trouble", [Say(500), Say(502), Say(504), Say(cut_after=-1)])
def test_post_does_not_ask_again_where_the_first_may_have_worked(scripted, remote, trouble):
    scripted.script.append(trouble)
    with pytest.raises(ServerError):
        remote.post("/tags", {"name": "x"})
    assert len(scripted.heard) == 1


def test_post_asks_again_where_the_server_refused_to_work(scripted, remote):
    scripted.script.extend([Say(503), Say(429)])
    assert remote.post("/tags", {"name": "x"}) == {}
    assert len(scripted.heard) == 3


def test_delete_succeeds_if_only_the_answer_of_an_earlier_attempt_was_lost(scripted, remote):
    scripted.script.extend([Say(cut_after=-1), Say(404)])
    assert remote.delete(f"/runs/{RUN}") == {}
    scripted.script.append(Say(404))
    with pytest.raises(ObjectNotFoundError):
        remote.delete(f"/runs/{RUN}")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_unauthorised_and_says_where_it_came_from(scripted, remote, status):
    scripted.script.append(Say(status, b'{"detail": "token expired"}'))
    with pytest.raises(UnauthorisedError, match=r"from the test.*token expired") as caught:
        remote.get("/runs")
    assert SECRET not in str(caught.value)
    assert len(scripted.heard) == 1


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize(
    ("path", "kind"),
    [(f"/runs/{RUN}", "Run"), (f"/runs/{RUN}/series", "Run"), (f"/tags/{RUN}", "Tag")],
)
def test_a_missing_object_is_not_found(scripted, remote, status, path, kind):
    scripted.script.append(Say(status))
    with pytest.raises(ObjectNotFoundError, match=f"{kind} '{RUN}'"):
        remote.get(path)


def test_a_missing_list_is_trouble_of_the_server(scripted, remote):
    scripted.script.append(Say(404))
    with pytest.raises(ServerError) as caught:
        remote.get("/runs")
    assert caught.value.status == 404


def test_what_is_made_already_is_the_answer_to_making_it(scripted, remote):
    """Folders, tags and alerts: 409 with the id of the one that is there."""
    scripted.script.append(Say(409, json.dumps({"id": RUN, "detail": "there"}).encode()))
    assert remote.post("/folders", {"path": "/a"})["id"] == RUN
    scripted.script.append(Say(409, b'{"detail": "there"}'))
    with pytest.raises(ServerError, match="there") as caught:
        remote.post("/folders", {"path": "/a"})
    assert caught.value.status == 409


def test_a_post_carries_msgpack_and_a_get_a_body_where_the_wire_wants_them(scripted, remote):
    remote.post("/metrics", body=b"\x80")
    remote.get("/metrics/span", json=[RUN])
    post, get = scripted.heard
    assert (post.headers["Content-Type"], post.body) == ("application/msgpack", b"\x80")
    assert (get.method, get.body) == ("GET", json.dumps([RUN]).encode())


# ---- Downloads ---------------------------------------------------------------------


def test_a_download_yields_the_bytes_and_never_carries_the_token(scripted, remote):
    content = bytes(range(256)) * 10_000
    scripted.script.append(Say(body=content, headers={"Content-Type": "x/y"}))
    url = f"{scripted.url}/files/a%2Fb?signature=s"
    assert b"".join(remote.download(url)) == content
    (heard,) = scripted.heard
    assert heard.path == "/files/a%2Fb?signature=s"
    assert SECRET not in str(heard.headers)


def test_a_download_that_does_not_come_whole_is_an_error(scripted, remote):
    scripted.script.append(Say(body=b"x" * 1000, cut_after=500))
    with pytest.raises(ServerError, match="whole"):
        list(remote.download(f"{scripted.url}/files/a?signature=secret-s"))
    scripted.script.append(Say(403, b'{"detail": "expired"}'))
    with pytest.raises(ServerError, match="403: expired") as caught:
        list(remote.download(f"{scripted.url}/files/a?signature=secret-s"))
    assert caught.value.status == 403
    assert "secret-s" not in str(caught.value)


# ---- Streams -----------------------------------------------------------------------

STREAM = {"Content-Type": f"{wire.EVENT_STREAM}; charset=utf-8"}


def test_a_stream_is_its_events_without_the_comments_between_them(scripted, remote):
    body = b'retry: 1000\nevent: hello\ndata: {}\n\n:\n\nevent: rows\ndata: {"run":"r"}\n\n'
    scripted.script.append(Say(body=body, headers=STREAM))
    events = list(remote.listen("/live", {"topics": "rows"}))
    assert events == [("hello", {}), ("rows", {"run": "r"})]
    assert scripted.heard[0].path == "/api/live?topics=rows"
    assert scripted.heard[0].headers["Accept-Encoding"] == "identity"


def test_a_stream_that_breaks_off_is_trouble_of_the_server(scripted, remote):
    body = b"event: hello\ndata: {}\n\nevent: rows\ndata: "
    scripted.script.append(Say(body=body, headers=STREAM, cut_after=len(body) - 6))
    events = remote.listen("/live", {})
    assert next(events) == ("hello", {})
    with pytest.raises(ServerError, match="cut"):
        next(events)


@pytest.mark.parametrize(
    ("say", "what"),
    [
        (Say(body=b"event: a\ndata: {\n\n", headers=STREAM), "events that are none"),
        (Say(body=b"<html>", headers={"Content-Type": "text/html"}), "not as a Simvue server"),
        (Say(body=b"{}"), "answered GET /live with 200"),
        (Say(503, b'{"detail": "full"}'), "503: full"),
        (Say(302, b"", {"Location": "/login"}), "redirects to /login"),
    ],
)
def test_what_is_no_stream_is_trouble_of_the_server(scripted, remote, say, what):
    scripted.script.append(say)
    with pytest.raises(ServerError, match=what):
        next(remote.listen("/live", {}))


# ---- What the server is ------------------------------------------------------------


def test_features_are_asked_for_once(scripted, remote):
    scripted.script.append(Say(body=b'{"version": "1.2.3", "features": ["rows", "run-id"]}'))
    assert remote.features == {"rows", "run-id"}
    assert remote.version == "1.2.3"
    assert [heard.path for heard in scripted.heard] == ["/api/version"]


def test_an_official_server_has_no_features(scripted, remote):
    scripted.script.append(Say(body=b'{"version": "1.2.3"}'))
    assert remote.features == frozenset()


def test_something_else_on_that_port_is_not_a_simvue_server(scripted, remote):
    scripted.script.append(Say(body=b"[]"))
    with pytest.raises(ServerError, match="not a Simvue server"):
        _ = remote.version
