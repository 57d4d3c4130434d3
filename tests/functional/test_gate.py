"""A server behind TLS and a proxy with a password: the way through, and which hop fails."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from fix_gate import HOST, PASSWORD, Front, Site
from fix_node import Node, eventually

from simvue.config import Config, Proxy, load
from simvue.exception import ServerError
from simvue.reach import trace
from simvue.remote import Remote

LOG_A_FILE_AND_100_ROWS = """
run = Run()
run.init("behind")
for step in range(100):
    run.log_metrics({"x": float(step)}, step=step)
open("result.txt", "w").write("42")
run.save_file("result.txt", category="output")
assert run.close()
"""


def settings(site: Site, **changes: str) -> Config:
    """Load the settings with which one reaches the site, some of them changed."""
    env = {**site.env, "SIMVUE_TOKEN": site.server.token, **changes}
    return load(environ=env, cwd=site.ca_file.parent)


def refusal(config: Config) -> str:
    """Return what the error of a request says."""
    with (
        Remote(*config.require_server(), ca_file=config.ca_file, proxy=config.proxy) as remote,
        pytest.raises(ServerError) as caught,
    ):
        remote.send("GET", "/version")
    # Silence: whatever was to be sent is kept and sent again.
    assert caught.value.status is None
    return str(caught.value)


def test_a_run_and_its_files_reach_a_server_behind_tls_and_a_proxy(outside: Node, site: Site):
    output = outside.simulate(LOG_A_FILE_AND_100_ROWS)
    run = outside.run_id("behind")
    assert outside.steps(run) == list(range(100))
    assert outside.client.get_artifact(run, "result.txt") == b"42"
    # The file goes where the server says, and this front does not tell it of the encryption.
    ways = {line.split("/api")[0].rpartition(" ")[0] or line for line in site.proxy.passed}
    assert ways == {f"CONNECT {HOST}:443", "PUT"}
    assert PASSWORD not in output


def test_the_password_stands_in_no_file_no_argument_and_no_message(outside: Node, site: Site):
    """With a proxy that fails, so that rows go to the spool and messages are written."""
    site.proxy.status = 503
    process = outside.start(
        """
        run = Run()
        run.init("unlucky")
        run.log_metrics({"x": 1.0}, step=1)
        print("logged", flush=True)
        sys.stdin.readline()
        run.close()
        """,
        SIMVUE_CLOSE_TIMEOUT="1",
    )
    assert process.stdout is not None
    for line in process.stdout:
        assert PASSWORD not in line
        if line == "logged\n":
            break
    eventually(outside.shippers, "a shipper")
    for pid in outside.shippers():
        assert PASSWORD.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    output, _ = process.communicate("\n", timeout=60)
    assert PASSWORD not in output
    doctor = subprocess.run(
        [sys.executable, "-m", "simvue", "doctor"],
        env=outside.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert doctor.returncode == 1
    assert "tunnel: the proxy" in doctor.stdout
    told = doctor.stdout + doctor.stderr
    spool = [path for path in outside.cache.rglob("*") if path.is_file()]
    assert spool
    logs = [path for path in outside.runtime.rglob("*.log") if path.is_file()]
    for text in [told.encode(), *(path.read_bytes() for path in [*spool, *logs])]:
        assert PASSWORD.encode() not in text
        assert b"b3BlbiUyMHNlc2FtZUB4" not in text  # the same in base64


def test_a_plain_request_is_forwarded_with_the_credentials(site: Site):
    config = settings(site, SIMVUE_URL=f"http://{HOST}")
    with Remote(*config.require_server(), proxy=config.proxy) as remote:
        assert remote.send("GET", "/whoami").ok
        assert remote.send("GET", "/version").ok
    assert site.proxy.passed[0] == f"GET http://{HOST}/api/whoami HTTP/1.1"


def test_the_settings_beat_the_proxy_that_the_environment_names(site: Site, monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    config = settings(site)
    with Remote(*config.require_server(), ca_file=config.ca_file, proxy=config.proxy) as remote:
        assert remote.send("GET", "/whoami").ok


# ---- What goes wrong, and which hop is named ---------------------------------------------------


def another_authority(site: Site) -> None:
    trustme.CA().cert_pem.write_to_path(site.ca_file)


def an_expired_certificate(site: Site) -> None:
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    site.put_before(Front(site.server, site.authority, until=yesterday))


def a_certificate_for_another_host(site: Site) -> None:
    site.put_before(Front(site.server, site.authority, "elsewhere.test"))


def another_password(site: Site) -> None:
    site.env["SIMVUE_PROXY_AUTH"] = "me:nonsense"


def no_password(site: Site) -> None:
    del site.env["SIMVUE_PROXY_AUTH"]


def a_proxy_that_forbids(site: Site) -> None:
    site.proxy.status = 403


def no_proxy_there(site: Site) -> None:
    site.proxy.close()


@pytest.mark.parametrize(
    ("break_it", "hop", "cause", "next_step"),
    [
        (another_authority, "TLS", "is not trusted (", "server_ca_cert"),
        (an_expired_certificate, "TLS", "certificate has expired", "renews it"),
        (a_certificate_for_another_host, "TLS", "is for another host", "address"),
        (another_password, "tunnel", "wants a user and password, or others (407)", "PROXY_AUTH"),
        (no_password, "tunnel", "wants a user and password, or others (407)", "PROXY_AUTH"),
        (a_proxy_that_forbids, "tunnel", "does not let through to it (403)", "who runs the proxy"),
        (no_proxy_there, "proxy connection", "connection refused", None),
    ],
)
def test_each_hop_that_fails_is_named_with_the_next_step(
    site: Site, break_it: Callable[[Site], None], hop: str, cause: str, next_step: str | None
):
    break_it(site)
    config = settings(site)
    failed = [found for found in trace(config) if not found.good]
    assert [found.name for found in failed] == [hop]
    told = refusal(config)
    for text in (failed[0].told, told):
        assert cause in text
        assert next_step is None or next_step in text
        assert "nonsense" not in text
        assert PASSWORD not in text
    if hop != "TLS":
        assert site.proxy.address in told
    if next_step is None:
        assert "SIMVUE_PROXY, or proxy in [server], names another" in told


def test_a_refusal_of_the_proxy_is_not_taken_for_an_answer_of_the_server(site: Site):
    """Over plain HTTP its 407 comes where the server's would; taken for one, it costs rows."""
    config = settings(site, SIMVUE_URL=f"http://{HOST}", SIMVUE_PROXY_AUTH="me:nonsense")
    told = refusal(config)
    assert f"the proxy {site.proxy.address} wants a user and password, or others (407)" in told


def test_a_whole_way_is_all_good_and_says_until_when(site: Site):
    hops = list(trace(settings(site)))
    assert [hop.name for hop in hops] == [
        "proxy name", "proxy connection", "tunnel", "TLS", "HTTP", "clock", "token",
    ]  # fmt: skip
    assert all(hop.good for hop in hops)
    assert "days more" in hops[3].told
    assert hops[6].told.startswith("the token is accepted, as ")


def test_the_way_of_the_environment_is_followed_too(site: Site, monkeypatch):
    monkeypatch.setenv(
        "https_proxy", site.proxy.address.replace("://", "://me:open%2520sesame%40x@")
    )
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    config = settings(site, SIMVUE_PROXY="", SIMVUE_PROXY_AUTH="")
    assert config.proxy == Proxy()
    hops = list(trace(config))
    assert all(hop.good for hop in hops), hops
    assert hops[0].name == "proxy name"
    assert "sesame" not in "".join(hop.told for hop in hops)


# ---- As people meet it --------------------------------------------------------------------------


def simvue(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command; neither token nor password may be in what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "simvue", *arguments],
        env=node.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    for secret in (PASSWORD, node.env["SIMVUE_TOKEN"], "b3BlbiUyMHNlc2FtZUB4"):
        assert secret not in said
    assert "Traceback" not in said
    return done


def test_the_doctor_looks_at_one_thing_after_the_other(outside: Node, site: Site):
    done = simvue(outside, "doctor", "--json")
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    chapters = list(dict.fromkeys(finding["chapter"] for finding in found))
    assert chapters == [
        "settings", "token", "server", "clock", "proxy", "TLS", "shipper", "spool", "disk",
    ]  # fmt: skip
    assert {finding["is"] for finding in found} <= {"ok", "note"}
    told = {finding["told"] for finding in found}
    assert f"tunnel: {site.proxy.address} connects to {HOST}:443" in told
    assert "clock: this machine's clock agrees with the server's" in told
    assert any(text.startswith("token: the token is accepted, as ") for text in told)
    assert any("is good for" in text for text in told)


def test_commands_go_through_and_tell_no_secret_however_much_they_tell(outside: Node, site: Site):
    assert simvue(outside, "-v", "whoami").returncode == 0
    assert simvue(outside, "config", "show").returncode == 0
    site.proxy.close()
    refused = simvue(outside, "run", "list")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"Error: https://{HOST} does not answer: the proxy {site.proxy.address} is not reached: "
        "connection refused; SIMVUE_PROXY, or proxy in [server], names another, or none\n"
    )


def test_what_lay_in_the_spool_is_sent_through_the_proxy(outside: Node, site: Site):
    outside.simulate(
        """
        run = Run()
        run.init("offline", offline=True)
        run.log_metrics({"x": 1.0}, step=1)
        run.close()
        """
    )
    assert simvue(outside, "ship").returncode == 0
    assert outside.steps(outside.run_id("offline")) == [1]
    assert site.proxy.passed


def test_a_clock_that_is_wrong_is_named(site: Site, monkeypatch):
    """By the header of an answer, and a clock that was set an hour ahead."""
    now = time.time
    monkeypatch.setattr("simvue.reach.time.time", lambda: now() + 3600)
    (wrong,) = (hop for hop in trace(settings(site)) if not hop.good)
    assert wrong.chapter == "clock"
    assert re.match(r"this machine's clock is 3(600|59\d|60\d) s ahead of the server's", wrong.told)
