"""From an empty directory to an exit status: what ``simvue server`` leaves, says and survives."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from fix_server import ROOT, Server, run_server

from simvue import wire


def refusal(*arguments: str, log: Path) -> str:
    """Run a server that cannot start; return the one sentence it says."""
    process = run_server(*arguments, log=log)
    out, _ = process.communicate(timeout=60)
    text = log.read_text()
    assert process.returncode == 1, text
    assert out == ""
    assert "Traceback" not in text
    assert text.count("\n") == 1, text
    return text


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_leaves_a_token_that_official_clients_can_read(
    fresh_server: Server,
) -> None:
    settings = fresh_server.data / "simvue.toml"
    assert mode(settings) == 0o600
    assert mode(fresh_server.data) == 0o700
    assert {mode(path) for path in fresh_server.data.rglob("*") if path.is_file()} == {0o600}
    text = settings.read_text()
    assert text.startswith("[server]\n")
    assert f'url = "{fresh_server.url}"' in text
    header, payload, signature = fresh_server.token.split(".")
    decode = base64.urlsafe_b64decode
    assert json.loads(decode(header + "==")) == {"alg": "HS256", "typ": "JWT"}
    claims = json.loads(decode(payload + "=="))
    assert isinstance(claims["exp"], int)
    assert claims["exp"] > time.time() + 10 * 365 * 86_400
    assert len(decode(signature + "==")) == 32
    assert fresh_server.get("/whoami")["user"] == claims["sub"]


def test_the_token_stands_nowhere_but_in_its_file(fresh_server: Server) -> None:
    run = fresh_server.new_run()
    fresh_server.ask("GET", f"/runs/{run}")
    assert fresh_server.stop() == 0
    assert fresh_server.token not in fresh_server.log_text()
    for path in fresh_server.data.rglob("*"):
        if path.is_file() and path.name != "simvue.toml":
            assert fresh_server.token.encode() not in path.read_bytes(), path


def test_a_restart_keeps_the_token_and_the_rest_of_the_file(fresh_server: Server) -> None:
    run = fresh_server.new_run()
    token, old_url = fresh_server.token, fresh_server.url
    settings = fresh_server.data / "simvue.toml"
    settings.write_text(settings.read_text() + '\n[run]\nurl = "mine"\n# and a comment\n')
    assert fresh_server.stop() == 0
    fresh_server.port = 0
    fresh_server.restart()
    assert fresh_server.token == token
    assert fresh_server.url != old_url
    text = settings.read_text()
    assert f'url = "{fresh_server.url}"' in text
    assert text.endswith('\n[run]\nurl = "mine"\n# and a comment\n')
    assert mode(settings) == 0o600
    assert fresh_server.get(f"/runs/{run}")["id"] == run


def test_a_lost_file_is_made_again_with_another_token(fresh_server: Server) -> None:
    token = fresh_server.token
    fresh_server.stop()
    (fresh_server.data / "simvue.toml").unlink()
    fresh_server.restart()
    assert fresh_server.token != token
    fresh_server.get("/whoami")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0(fresh_server: Server, number: int) -> None:
    fresh_server.process.send_signal(number)
    assert fresh_server.wait() == 0, fresh_server.log_text()
    assert fresh_server.log_text() == ""


def test_a_signal_lets_a_request_in_flight_finish(fresh_server: Server) -> None:
    run = fresh_server.new_run()
    body = b'{"tags": ["late"]}'
    with socket.create_connection(("127.0.0.1", fresh_server.port)) as connection:
        connection.sendall(
            f"PUT /api/runs/{run} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            f"Authorization: Bearer {fresh_server.token}\r\n\r\n".encode()
        )
        # A second answered request proves that the first one's head has been read.
        fresh_server.get("/whoami")
        fresh_server.process.send_signal(signal.SIGTERM)
        while not refused(fresh_server.port):
            pass
        connection.sendall(body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert fresh_server.wait() == 0
    fresh_server.restart()
    assert fresh_server.get(f"/runs/{run}")["tags"] == ["late"]


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return True
    return False


def test_what_was_acknowledged_survives_a_kill(fresh_server: Server) -> None:
    run, writer = fresh_server.new_run(), wire.new_id()
    rows = [
        {"values": {"a": float(i)}, "time": i, "timestamp": "2026-01-01T00:00:00.000001", "step": i}
        for i in range(50)
    ]
    assert fresh_server.send_rows(run, rows, writer)["stored"] == 50
    fresh_server.kill()
    fresh_server.restart()
    assert fresh_server.send_rows(run, rows, writer)["stored"] == 0
    assert fresh_server.get(f"/runs/{run}")["metrics"]["a"]["count"] == 50


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal("--data", str(tmp_path / "data"), "--port", str(port), log=tmp_path / "log")
    assert f"port {port}" in said
    assert "--port" in said


def test_a_second_owner_is_one_sentence(fresh_server: Server, tmp_path: Path) -> None:
    said = refusal("--data", str(fresh_server.data), "--port", "0", log=tmp_path / "second.log")
    assert str(fresh_server.data) in said
    fresh_server.get("/whoami")


def test_a_file_in_place_of_the_directory_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = refusal("--data", str(tmp_path / "file/data"), "--port", "0", log=tmp_path / "log")
    assert "file" in said


def test_a_broken_settings_file_is_one_sentence(fresh_server: Server, tmp_path: Path) -> None:
    fresh_server.stop()
    (fresh_server.data / "simvue.toml").write_text("[server\n")
    said = refusal("--data", str(fresh_server.data), "--port", "0", log=tmp_path / "second.log")
    assert "simvue.toml" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_directory_without_leave_to_write_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    said = refusal("--data", str(tmp_path / "locked"), "--port", "0", log=tmp_path / "log")
    assert "locked" in said


def test_on_a_terminal_it_prints_a_link_that_logs_in(tmp_path: Path) -> None:
    outside, inside = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "simvue", "server", "--data", str(tmp_path / "d"), "--port", "0"],
        cwd=ROOT,
        stdout=inside,
        stderr=subprocess.DEVNULL,
    )
    os.close(inside)
    try:
        said = b""
        while b"ready" not in said:
            said += os.read(outside, 4096)
        match = re.search(rb"http://\S+/\?token=\S+", said)
        assert match
        with requests.Session() as browser:
            page = browser.get(match[0].decode(), timeout=30)
            assert page.status_code == 200
            assert "token" not in page.url
    finally:
        process.kill()
        process.wait()
        os.close(outside)


def test_the_command_explains_itself_without_loading_the_server() -> None:
    code = (
        "import sys; from simvue.cli import simvue; "
        "simvue(['server', '--help'], standalone_mode=False); "
        "assert 'litestar' not in sys.modules and 'uvicorn' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--port" in done.stdout
