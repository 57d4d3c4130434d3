"""``simvue ship`` and ``simvue spool``: from a disk to the server, once or for a while."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fix_node import Node, eventually

from simvue.backlog import Backlog
from simvue.destination import Destination
from simvue.spool import Record, RecordKind, SpoolFile, list_files
from simvue.wire import body_header, new_id

OFFLINE = """
run = Run()
run.init({name!r}, offline=True)
for step in range({rows}):
    run.log_metrics({{"x": float(step)}}, step=step)
print(run.id, run.close())
"""

LIVE = """
run = Run()
run.init("live", offline=True)
print(run.id, flush=True)
step = 0
for line in sys.stdin:
    for _ in range(100):
        run.log_metrics({"x": float(step)}, step=step)
        step += 1
    print("logged", flush=True)
run.close()
print("closed", flush=True)
"""


def offline_run(node: Node, name: str, rows: int) -> str:
    """Record a run offline, wait until its file is sealed, return its id."""
    sealed = len(list(node.cache.rglob("*.done")))
    run, closed = node.simulate(OFFLINE.format(name=name, rows=rows)).split()[-2:]
    assert closed == "True"
    for shipper in node.shippers():
        # It would leave by itself after two seconds.
        os.kill(shipper, signal.SIGTERM)
    eventually(lambda: len(list(node.cache.rglob("*.done"))) > sealed, "the file is sealed")
    return run


def ask(node: Node, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    """Run a ``simvue`` command, whatever its status."""
    return subprocess.run(
        [sys.executable, "-m", "simvue", *arguments],
        env=node.env, capture_output=True, text=True, timeout=60, check=False, input=answer,
    )  # fmt: skip


def start(node: Node, *arguments: str) -> subprocess.Popen[str]:
    """Start a ``simvue`` command."""
    return subprocess.Popen(
        [sys.executable, "-m", "simvue", *arguments],
        env={**node.env, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


# ---- From a script --------------------------------------------------------------------------

SENDER = """
from simvue.sender import Sender

Sender(cache_directory={cache!r}, throw_exceptions=True, max_workers=5).upload(["runs", "metrics"])
print("sent")
"""


def test_the_sender_of_the_official_package_is_simvue_ship(node: Node) -> None:
    run = offline_run(node, "by script", 100)
    script = [sys.executable, "-c", SENDER.format(cache=str(node.cache))]
    away = {**node.env, "SIMVUE_URL": "http://127.0.0.1:9"}
    failed = subprocess.run(script, env=away, capture_output=True, text=True, timeout=60)
    assert failed.returncode == 1
    assert "ServerError" in failed.stderr
    sent = subprocess.run(script, env=node.env, capture_output=True, text=True, timeout=60)
    assert sent.stdout == "sent\n", sent.stderr
    assert node.steps(run) == list(range(100))


# ---- While it is being written -----------------------------------------------------------------


def test_a_live_offline_run_is_on_the_server_within_five_seconds(node: Node) -> None:
    process = node.start(LIVE)
    assert process.stdout is not None
    assert process.stdin is not None
    run = next(line for line in process.stdout if " " not in line.strip()).strip()
    shipping = start(node, "ship", "--forever")
    try:
        for round_ in range(1, 4):
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "logged\n"
            begin = time.monotonic()
            eventually(
                lambda rows=100 * round_: (
                    node.server.ask("GET", f"/runs/{run}").status_code == 200
                    and len(node.steps(run)) == rows
                ),
                "the rows are on the server",
            )
            # The first time includes the start of the interpreter that ships.
            assert time.monotonic() - begin < (5 if round_ > 1 else 8)
            # Its writer lives: the file is not touched.
            (file,) = list_files(node.cache / "spool")
            assert file.suffix == ".open"
        process.communicate(timeout=30)
        eventually(lambda: not list_files(node.cache / "spool"), "the sealed file goes")
        eventually(lambda: node.status(run) == "completed", "its end")
        assert node.steps(run) == list(range(300))
    finally:
        shipping.send_signal(signal.SIGINT)
        output, _ = shipping.communicate(timeout=30)
    assert shipping.returncode == 0, output
    assert "300 rows" not in output, "what was sent is not sent again"


def test_ship_for_a_while_ends_in_time_and_sends_what_comes_meanwhile(node: Node) -> None:
    shipping = start(node, "ship", "--for", "8s")
    begin = time.monotonic()
    assert shipping.stdout is not None
    assert "nothing to send" in shipping.stdout.readline()
    run = offline_run(node, "late", 10)
    output, _ = shipping.communicate(timeout=60)
    assert shipping.returncode == 0, output
    assert time.monotonic() - begin < 20
    assert node.steps(run) == list(range(10))
    assert not list_files(node.cache / "spool")


def test_ship_forever_is_the_agent_of_a_node_where_nothing_may_be_started(node: Node) -> None:
    shipping = start(node, "ship", "--forever")
    try:
        output = node.simulate(
            """
            run = Run()
            run.init("served")
            for step in range(100):
                run.log_metrics({"x": float(step)}, step=step)
            print(run.id, run.close())
            """,
            SIMVUE_SHIPPER="external",
        )
        run = output.split()[-2]
        eventually(
            lambda: (
                node.server.ask("GET", f"/runs/{run}").status_code == 200
                and node.status(run) == "completed"
            ),
            "the run's end",
        )
        assert node.steps(run) == list(range(100))
    finally:
        shipping.send_signal(signal.SIGINT)
        output, _ = shipping.communicate(timeout=30)
    assert "a shipper is started" in output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--for", "soon"], "is not a time such as 30s"),
        (["--for", "1m", "--forever"], "exclude each other"),
    ],
)
def test_a_time_that_is_none_is_refused(node: Node, arguments: list[str], told: str) -> None:
    done = ask(node, "ship", *arguments)
    assert done.returncode == 2
    assert told in done.stderr


# ---- What is told ------------------------------------------------------------------------------


def test_on_a_terminal_there_is_a_bar_and_in_cron_there_are_lines(node: Node) -> None:
    offline_run(node, "shown", 20_000)
    (file,) = list_files(node.cache / "spool")
    copy = file.read_bytes()
    plain = node.command("ship")
    assert plain.splitlines() == [
        f"{file.name}: 1 runs, 20000 rows sent, 0 known before; delivered"
    ]
    file.write_bytes(copy)
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "simvue", "ship"],
            env={**node.env, "TERM": "xterm"}, stdout=theirs, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0
        shown = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "sending" in shown
    assert "100%" in shown
    assert "20000 known before; delivered" in shown


def test_the_names_of_the_official_sender_ship_too(node: Node) -> None:
    run = offline_run(node, "old habits", 5)
    subprocess.run(
        [sys.executable, "-c", "from simvue.cli.ship import sender; sender()"],
        env=node.env, check=True, timeout=60, capture_output=True,
    )  # fmt: skip
    assert node.steps(run) == list(range(5))
    scripts = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for name in ("simvue-sender", "simvue_sender"):
        assert f'{name} = "simvue.cli.ship:sender"' in scripts


# ---- Several, and what is in the way -----------------------------------------------------------


def test_several_at_once_store_each_row_once(node: Node) -> None:
    runs = [offline_run(node, f"shared {i}", 300) for i in range(2)]
    shipping = [start(node, "ship") for _ in range(4)]
    for process in shipping:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
    for run in runs:
        assert node.steps(run) == list(range(300))
        (ranges,) = node.server.get(f"/runs/{run}/writers").values()
        assert ranges == [[0, 300]]
    assert not list_files(node.cache / "spool")


def test_a_file_that_ship_delivers_first_is_no_trouble_to_the_shipper(fresh_node: Node) -> None:
    """The shipper meant to send it, too, and finds nothing where it lay."""
    fresh_node.server.kill()
    first = fresh_node.simulate("""
        run = Run()
        run.init("first", timeout=None)
        run.log_metrics({"x": 0.0})
        print(run.id, run.close())
    """).split()[-2]
    (shipper,) = fresh_node.shippers()
    os.kill(shipper, signal.SIGTERM)
    eventually(lambda: list(fresh_node.cache.rglob("*.done")), "its file is sealed")
    process = fresh_node.start("""
        run = Run()
        run.init("second", timeout=None)
        print(run.id, flush=True)
        for step in range(2):
            run.log_metrics({"x": float(step)}, step=step)
            sys.stdin.readline()
        print("closed", run.close(), flush=True)
    """)
    assert process.stdout is not None
    second = next(line for line in process.stdout if " " not in line.strip()).strip()
    eventually(lambda: list(fresh_node.cache.rglob("*.open")), "the next one has read it")
    (shipper,) = fresh_node.shippers()
    os.kill(shipper, signal.SIGSTOP)
    try:
        fresh_node.server.restart()
        fresh_node.command("ship")
        assert not list(fresh_node.cache.rglob("*.done"))
    finally:
        os.kill(shipper, signal.SIGCONT)
    output, _ = process.communicate("\n\n", timeout=60)
    assert "closed True" in output
    eventually(lambda: fresh_node.status(second) == "completed", "the second run's end")
    assert fresh_node.steps(second) == [0, 1]
    assert fresh_node.steps(first) == [0]
    eventually(lambda: not list_files(fresh_node.cache / "spool"), "the spool is drained")


def test_nobody_removes_a_file_in_which_another_server_has_runs(node: Node) -> None:
    """A file is a shipper's, and a shipper serves many servers; the next may know but one."""
    file = SpoolFile(node.cache / "spool")
    runs = {url: new_id() for url in (node.server.url, "http://elsewhere.invalid")}
    for url, run in runs.items():
        opening = {
            "call": "open",
            "server": {"url": url},
            "run": {"id": run, "name": "one of two", "folder": "/", "status": "running"},
        }
        file.append(Record(RecordKind.CALL, run, "0" * 22, 0, 1, json.dumps(opening).encode()))
    file.finish(delivered=False)
    (path,) = list_files(node.cache / "spool")
    destination = Destination({"url": node.server.url, "token": node.server.token}, lambda: None)
    backlog = Backlog(node.cache / "spool", keep=False, arrived=lambda *_: None)
    backlog.adopt(destination)

    def drained() -> bool:
        backlog.drain(time.monotonic())
        destination.collect(time.monotonic())
        return backlog.is_drained

    eventually(drained, "what is for this server")
    assert node.status(runs[node.server.url]) == "running"
    (state,) = json.loads(node.command("spool", "--json"))
    assert state["file"] == str(path)
    assert {run["id"] for run in state["runs"]} == set(runs.values())
    # Nor does the courier, or send it to the wrong one, unless it is told to.
    other = runs["http://elsewhere.invalid"]
    done = ask(node, "ship")
    assert done.returncode == 1
    assert "runs for another server (http://elsewhere.invalid; --any-server" in done.stdout
    assert node.server.ask("GET", f"/runs/{other}").status_code == 404
    node.command("ship", "--any-server")
    assert node.status(other) == "running"
    assert not list_files(node.cache / "spool")


def test_a_server_that_is_away_costs_nothing_but_an_exit_status(fresh_node: Node) -> None:
    run = offline_run(fresh_node, "patient", 10)
    fresh_node.server.kill()
    before = list_files(fresh_node.cache / "spool")
    done = ask(fresh_node, "ship")
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert list_files(fresh_node.cache / "spool") == before
    fresh_node.server.restart()
    fresh_node.command("ship")
    assert fresh_node.steps(run) == list(range(10))


def write_rejected(node: Node) -> tuple[str, Path]:
    """Write a file with a run, of which one body is none, and return both."""
    run, writer = new_id(), new_id()
    opening = {
        "call": "open",
        "run": {"id": run, "name": "half understood", "folder": "/", "status": "running"},
        "created": False,
    }
    file = SpoolFile(node.cache / "spool")
    file.append(Record(RecordKind.CALL, run, "0" * 22, 0, 1, json.dumps(opening).encode()))
    bad = body_header(run, "metrics", 1) + b"\xc1"
    file.append(Record(RecordKind.METRICS, run, writer, 0, 1, bad))
    ending = {"call": "update", "changes": {"status": "completed"}}
    file.append(Record(RecordKind.CALL, run, "0" * 22, 1, 2, json.dumps(ending).encode()))
    file.finish(delivered=False)
    (path,) = list_files(node.cache / "spool")
    return run, path


def test_what_the_server_does_not_take_is_set_aside_and_can_be_tried_again(node: Node) -> None:
    run, path = write_rejected(node)
    for repetition in range(2):
        done = ask(node, "ship", *(["--retry-rejected"] if repetition else []))
        assert done.returncode == 1, done.stdout
        assert "1 records set aside" in done.stdout
        assert not path.exists()
        assert node.status(run) == "completed"
        (rejected,) = list_files(node.cache / "spool" / "rejected")
        assert "metrics 0-1" in rejected.with_suffix(".answers").read_text()
        # Without being asked to, it is not sent again.
        assert "nothing to send" in node.command("ship")


# ---- simvue spool ------------------------------------------------------------------------------


def test_spool_lists_what_waits(node: Node) -> None:
    assert "nothing waits" in node.command("spool")
    run = offline_run(node, "listed", 50)
    line = node.command("spool")
    assert "listed" in line
    assert "50 rows" in line
    assert os.uname().nodename in line
    (entry,) = json.loads(node.command("spool", "--json"))
    (file,) = list_files(node.cache / "spool")
    assert entry["file"] == str(file)
    assert entry["state"] == "done"
    assert entry["runs"] == [{"id": run, "name": "listed", "rows": 50}]
    assert entry["bytes"] == file.stat().st_size
    assert entry["damage"] == []


def test_spool_delete_asks_says_what_is_lost_and_deletes(node: Node) -> None:
    run = offline_run(node, "doomed", 50)
    (file,) = list_files(node.cache / "spool")
    done = ask(node, "spool", "delete", file.name, answer="n\n")
    assert done.returncode == 1
    assert "50 rows of doomed are lost" in done.stdout
    assert file.exists()
    done = ask(node, "spool", "delete", "nothing.done", "--yes")
    assert done.returncode == 1
    assert "there is no nothing.done" in done.stderr
    assert ask(node, "spool", "delete").returncode == 2
    assert "deleted 50 rows" in node.command("spool", "delete", "--run", run, "--yes")
    assert not list_files(node.cache / "spool")


def test_one_run_can_be_deleted_from_a_file_of_several(node: Node) -> None:
    source = "".join(
        OFFLINE.format(name=f"number {i}", rows=20).replace("run.close()", "None") for i in (1, 2)
    )
    # Open at the same time, so that one shipper writes both into one file.
    lines = node.simulate(source).splitlines()
    first, second = [line.split()[0] for line in lines if line.endswith("None")]
    eventually(lambda: list(node.cache.rglob("*.done")), "the file is sealed")
    assert len(list_files(node.cache / "spool")) == 1
    assert "deleted 20 rows" in node.command("spool", "delete", "--run", first, "--yes")
    node.command("ship")
    assert node.server.ask("GET", f"/runs/{first}").status_code == 404
    assert node.steps(second) == list(range(20))


def test_a_file_that_is_being_written_is_not_deleted(node: Node) -> None:
    process = node.start(LIVE)
    assert process.stdout is not None
    next(line for line in process.stdout if " " not in line.strip())
    eventually(lambda: list_files(node.cache / "spool"), "the file")
    (file,) = list_files(node.cache / "spool")
    done = ask(node, "spool", "delete", file.name, "--yes")
    assert done.returncode == 1
    assert f"is being written by process {node.shippers()[0]}" in done.stderr
    assert file.exists()
    process.communicate(timeout=30)
