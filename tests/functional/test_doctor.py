"""``simvue doctor``: it finds each thing that is wrong, names it, and is content otherwise."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from fix_disk import Disk
from fix_node import Node, eventually
from fix_server import Server

LOG_TWICE = """
run = Run()
run.init("patient")
print(run.id, flush=True)
run.log_metrics({"x": 0.0})
run.log_event("begun")
sys.stdin.readline()
for step in range(1, 101):
    run.log_metrics({"x": float(step)}, step=step)
print("logged", flush=True)
sys.stdin.readline()
run.close()
"""


def doctor(node: Node, *arguments: str, **env: str) -> tuple[int, str]:
    """Run the doctor; return its status and all it said."""
    done = subprocess.run(
        [sys.executable, "-m", "simvue", "doctor", *arguments],
        env={**node.env, **env}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def lines(text: str, how: str) -> list[str]:
    """Return the findings of one kind."""
    found = [line.split(None, 1) for line in text.splitlines() if line.startswith("  ")]
    return [told for kind, told in found if kind == how]


def test_a_healthy_node_is_told_so_and_nothing_is_changed(node: Node) -> None:
    before = sorted(os.listdir(node.runtime))
    status, text = doctor(node)
    assert status == 0, text
    assert not lines(text, "wrong")
    told = "\n".join(lines(text, "ok"))
    assert f"the server is {node.server.url}, from the environment variable SIMVUE_URL" in told
    assert "the token is accepted" in told
    assert "is yours alone" in told
    assert "nothing waits in" in told
    assert node.server.token not in text
    assert sorted(os.listdir(node.runtime)) == before
    assert not node.cache.exists()


# ---- Settings and the way to the server ---------------------------------------------------------


def test_an_offline_node_needs_no_server(node: Node) -> None:
    status, text = doctor(node, SIMVUE_URL="", SIMVUE_TOKEN="")
    assert status == 0, text
    assert "runs have to be offline=True" in text


def test_a_setting_that_cannot_be_read_is_named_and_the_rest_is_checked(node: Node) -> None:
    status, text = doctor(node, SIMVUE_FLUSH_INTERVAL="often")
    assert status == 1
    assert "SIMVUE_FLUSH_INTERVAL" in lines(text, "wrong")[0]
    assert "is yours alone" in text


def test_an_expired_token_is_named_with_where_it_came_from(node: Node) -> None:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": 1}).encode()).decode()
    status, text = doctor(node, SIMVUE_TOKEN=f"a.{payload}.c")
    assert status == 1
    expired, refused = lines(text, "wrong")
    assert "the token from the environment variable SIMVUE_TOKEN has expired" in expired
    assert "token: the token from the environment variable SIMVUE_TOKEN is refused: 40" in refused


def test_each_hop_that_fails_is_named(node: Node) -> None:
    status, text = doctor(node, SIMVUE_URL="http://no-such-host.invalid")
    assert status == 1
    assert lines(text, "wrong")[0].startswith("name: no-such-host.invalid is not known")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    status, text = doctor(node, SIMVUE_URL=f"http://127.0.0.1:{port}")
    assert status == 1
    assert lines(text, "wrong") == [
        f"connection: 127.0.0.1 port {port} takes no connection: connection refused"
    ]
    # The server of this test speaks no TLS.
    status, text = doctor(node, SIMVUE_URL=node.server.url.replace("http:", "https:"))
    assert status == 1
    (wrong,) = lines(text, "wrong")
    assert wrong.startswith("TLS: 127.0.0.1: no encrypted connection")
    status, text = doctor(node, SIMVUE_URL=f"{node.server.url}/elsewhere")
    assert status == 1
    (wrong,) = lines(text, "wrong")
    assert wrong.startswith("HTTP: ")
    outside = {"SIMVUE_URL": "http://simvue.invalid", "http_proxy": f"http://127.0.0.1:{port}"}
    status, text = doctor(node, **outside)
    assert status == 1
    (wrong,) = lines(text, "wrong")
    assert wrong.startswith("proxy connection: 127.0.0.1")


# ---- The node -----------------------------------------------------------------------------------


def test_a_stopped_shipper_and_what_is_owed_are_named(node: Node) -> None:
    process = node.start(LOG_TWICE)
    assert process.stdout is not None
    assert process.stdin is not None
    run = next(line for line in process.stdout if " " not in line.strip()).strip()
    eventually(lambda: node.steps(run) == [0], "the first row")
    (shipper,) = node.shippers()
    status, text = doctor(node)
    assert status == 0, text
    assert f"the shipper is alive, process {shipper}" in text
    os.kill(shipper, signal.SIGSTOP)
    try:
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "logged\n"
        status, text = doctor(node)
        assert status == 1
        stopped, debt = lines(text, "wrong")
        assert f"process {shipper}, is stopped and ships nothing" in stopped
        assert f"run {run} of process {process.pid}: 100 rows in memory to be sent" in debt
    finally:
        os.kill(shipper, signal.SIGCONT)
    process.communicate("\n", timeout=60)
    assert node.steps(run) == list(range(101)), "the doctor took nothing away"


def test_what_the_dead_left_in_memory_is_found_and_ship_has_it_sent(node: Node) -> None:
    process = node.start(LOG_TWICE)
    assert process.stdout is not None
    assert process.stdin is not None
    run = next(line for line in process.stdout if " " not in line.strip()).strip()
    eventually(lambda: node.steps(run) == [0], "the first row")
    (shipper,) = node.shippers()
    os.kill(shipper, signal.SIGSTOP)
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "logged\n"
    process.kill()
    process.wait()
    os.kill(shipper, signal.SIGKILL)
    eventually(lambda: not node.shippers(), "the shipper is gone")
    status, text = doctor(node)
    assert status == 1
    (debt,) = lines(text, "wrong")
    assert f"run {run} of a process that died: 100 rows in memory to be sent" in debt
    node.command("ship")
    eventually(lambda: node.steps(run) == list(range(101)), "all of it")
    eventually(lambda: doctor(node)[0] == 0, "nothing is owed")


def test_a_runtime_directory_that_others_can_enter_is_refused(node: Node) -> None:
    node.runtime.chmod(0o755)
    status, text = doctor(node)
    assert status == 1
    assert "is not yours alone" in lines(text, "wrong")[0]


def test_full_memory_is_named_and_where_rows_go_instead(
    node: Node, disk: Disk, tmp_path: Path
) -> None:
    disk(node.runtime, 1)
    (node.runtime / "filler").write_bytes(bytes(1 << 20))
    status, text = doctor(node, TMPDIR=str(tmp_path))
    assert status == 0, text
    (told,) = (told for told in lines(text, "note") if "is full" in told)
    assert told.endswith(f"go through {tmp_path}/simvue-{os.getuid()}")
    status, text = doctor(node, TMPDIR=str(tmp_path / "missing"))
    assert status == 1
    (told,) = lines(text, "wrong")
    assert f"{node.runtime} is full: a new run finds no memory for its rows" in told
    assert f"{tmp_path}/missing" in told


# ---- The spool ----------------------------------------------------------------------------------


def test_a_file_that_stopped_growing_a_week_ago_is_listed(node: Node) -> None:
    node.simulate("""
        run = Run()
        run.init("old", offline=True)
        run.log_metrics({"x": 1.0})
        run.close()
    """)
    eventually(lambda: list(node.cache.rglob("*.done")), "the file is sealed")
    (file,) = node.cache.rglob("*.done")
    old = file.with_suffix(".open")
    file.rename(old)
    week = time.time() - 7 * 86400 - 60
    os.utime(old, (week, week))
    status, text = doctor(node)
    assert status == 0, text
    (stale,) = [note for note in lines(text, "note") if str(old) in note]
    assert "it has not grown for 7 days" in stale
    assert "1 rows are on disk to be sent" in text


# ---- A store ------------------------------------------------------------------------------------


def fill(server: Server) -> str:
    run = server.new_run()
    rows = [
        {"values": {"x": float(i)}, "time": float(i), "timestamp": "2026-01-01 00:00:00.0",
         "step": i}
        for i in range(50)
    ]  # fmt: skip
    server.send_rows(run, rows[:20], writer="W" * 22)
    # Other names in the same body: its rows lie in two blocks.
    rows[30]["values"] = {"y": 1.0}
    server.send_rows(run, rows[15:], writer="W" * 22, first=15)
    return run


def test_a_store_in_use_is_whole(fresh_node: Node) -> None:
    fill(fresh_node.server)
    status, text = doctor(fresh_node, "--data", str(fresh_node.server.data))
    assert status == 0, text
    counted = "1 runs, 1 writers, 50 rows of metrics, 0 events, 0 files of artifacts"
    assert f"{counted}: the file is whole" in text
    fresh_node.server.kill()
    fresh_node.server.restart()
    assert fresh_node.server.new_run()


@pytest.mark.parametrize("harm", ["a body is gone", "a body is twice", "a chunk is damaged"])
def test_rows_that_are_not_there_or_twice_are_counted(fresh_node: Node, harm: str) -> None:
    run = fill(fresh_node.server)
    assert fresh_node.server.stop() == 0
    with sqlite3.connect(fresh_node.server.data / "simvue.db") as database:
        if harm == "a body is gone":
            database.execute("DELETE FROM body WHERE first = 0")
            told = f"writer {'W' * 22} of run {run}: 20 rows are noted as stored and are not there"
        elif harm == "a body is twice":
            database.execute(
                "INSERT INTO body (shape, writer, first, chunk) "
                "SELECT shape, writer, first, chunk FROM body WHERE first = 0"
            )
            told = f"writer {'W' * 22} of run {run}: 20 rows are there twice"
        else:
            database.execute("UPDATE body SET chunk = substr(chunk, 1, 40) WHERE first = 0")
            told = "a chunk of the store is damaged"
    database.close()
    status, text = doctor(fresh_node, "--data", str(fresh_node.server.data))
    assert status == 1
    assert any(told in wrong for wrong in lines(text, "wrong")), text
    fresh_node.server.restart()


@pytest.mark.parametrize("harm", ["is not there", "has 3 bytes of 7"])
def test_a_file_of_an_artifact_that_is_gone_or_cut_is_named(fresh_node: Node, harm: str) -> None:
    server = fresh_node.server
    checksum = hashlib.sha256(b"content").hexdigest()
    made = server.post("/artifacts", {"name": "n", "size": 7, "checksum": checksum})
    assert requests.put(made["url"], b"content", timeout=30).status_code == 200
    (file,) = (path for path in (server.data / "blobs").rglob("*") if path.is_file())
    if harm == "is not there":
        file.unlink()
    else:
        file.write_bytes(b"con")
    status, text = doctor(fresh_node, "--data", str(server.data))
    assert status == 1
    (wrong,) = lines(text, "wrong")
    assert str(file) in wrong
    assert harm in wrong


def test_a_damaged_database_file_is_named(fresh_node: Node) -> None:
    fill(fresh_node.server)
    assert fresh_node.server.stop() == 0
    copy = fresh_node.directory / "copy"
    shutil.copytree(fresh_node.server.data, copy)
    fresh_node.server.restart()
    file = copy / "simvue.db"
    spoilt = bytearray(file.read_bytes())
    # A page in the middle, zeroed as by a disk that lost a sector.
    page = len(spoilt) // 16384 // 2 * 16384
    spoilt[page : page + 16384] = bytes(16384)
    file.write_bytes(spoilt)
    status, text = doctor(fresh_node, "--data", str(copy))
    assert status == 1
    store = text.partition("\nstore\n")[2]
    assert "damaged" in store or "malformed" in store
    status, text = doctor(fresh_node, "--data", str(fresh_node.directory / "nowhere"))
    assert status == 1
    assert "there is no store in" in text
