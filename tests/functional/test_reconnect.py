"""Reconnecting to a queued run where the server cannot be asked: it is found when the data goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fix_node import Node, eventually
from fix_server import Server

from simvue.calls import deliver_call
from simvue.delivery import Reply
from simvue.remote import Remote
from simvue.spool import list_files
from simvue.wire import new_id

CREATE = """
run = Run({mode!r})
run.init({name!r}, status="created", tags=["q"], metadata={{"seed": 7}})
run.close()
print(run.id)
"""

RECONNECT = """
run = Run({mode!r})
run.reconnect({name!r})
for step in range({rows}):
    run.log_metrics({{"x": float(step)}}, step=step)
run.update_metadata({{"found": True}})
run.close()
print(run.id)
"""

BY_HAND = """
run = Run({mode!r})
run.reconnect({name!r})
print("reconnected", flush=True)
step = 0
for line in sys.stdin:
    for _ in range(100):
        run.log_metrics({{"x": float(step)}}, step=step)
        step += 1
    print("logged", flush=True)
run.close()
print("closed", flush=True)
"""


def simulate(node: Node, source: str, name: str, rows: int = 0, mode: str = "offline") -> str:
    """Run one of the programs above to its end; return the run's id as it knew it."""
    return node.simulate(source.format(mode=mode, name=name, rows=rows)).split()[-1]


def seal(node: Node) -> None:
    """Have the node's shipper leave, and so end its file; it would by itself, a little later."""
    for shipper in node.shippers():
        os.kill(shipper, signal.SIGTERM)
    eventually(lambda: not list(node.cache.rglob("*.open")), "the file is sealed")


def ship(node: Node, *arguments: str) -> tuple[int, str]:
    """Run ``simvue ship``; return its exit status, and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "simvue", "ship", *arguments],
        env=node.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def runs_named(node: Node, name: str) -> list[dict[str, Any]]:
    """Return the server's runs of that name."""
    query = {"filters": f'["name == {name}"]', "count": 100, "start": 0}
    found: list[dict[str, Any]] = node.server.get("/runs", **query)["data"]
    return found


def assert_is_whole(node: Node, name: str, rows: int) -> dict[str, Any]:
    """Assert that there is one run of that name, completed, with each row once; return it."""
    (run,) = runs_named(node, name)
    assert run["status"] == "completed"
    assert node.steps(run["id"]) == list(range(rows))
    assert run["tags"] == ["q"]
    assert run["metadata"]["seed"] == 7
    assert node.server.ask("GET", f"/runs/{run['id']}").status_code == 200
    assert not list_files(node.cache / "spool")
    return run


def start_by_hand(node: Node, name: str, mode: str) -> subprocess.Popen[str]:
    """Start a program that logs 100 rows for each line it is given."""
    process = node.start(BY_HAND.format(mode=mode, name=name))
    wait_for(process, "reconnected")
    return process


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert word in (line.strip() for line in process.stdout), "it ended before"


def log(process: subprocess.Popen[str]) -> None:
    """Have it log 100 rows."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    wait_for(process, "logged")


# ---- One run of that name waits ----------------------------------------------------------------


def test_a_job_queued_online_and_run_offline_is_one_run(node: Node) -> None:
    name = f"queued {new_id()}"
    created = simulate(node, CREATE, name, mode="online")
    provisional = simulate(node, RECONNECT, name, 500)
    assert provisional != created
    seal(node)
    (entry,) = node.command("spool").splitlines()
    assert name in entry
    assert node.status(created) == "created"
    node.command("ship")
    run = assert_is_whole(node, name, 500)
    assert run["id"] == created
    assert run["metadata"]["found"] is True
    assert run["system"]["hostname"] == os.uname().nodename
    assert node.server.ask("GET", f"/runs/{provisional}").status_code == 404


def test_a_job_queued_and_run_offline_is_one_run(node: Node) -> None:
    name = f"offline {new_id()}"
    older = simulate(node, CREATE, name)
    created = simulate(node, CREATE, name)
    assert simulate(node, RECONNECT, name, 500) == created
    # What is started waits no longer: the next one gets the other.
    assert simulate(node, RECONNECT, name, 3) == older
    seal(node)
    node.command("ship")
    assert {run["id"]: run["status"] for run in runs_named(node, name)} == {
        created: "completed",
        older: "completed",
    }
    assert node.steps(created) == list(range(500))
    assert node.steps(older) == list(range(3))
    assert not list_files(node.cache / "spool")


def test_a_job_is_continued_by_its_id_whatever_file_is_sent_first(node: Node) -> None:
    name = f"by id {new_id()}"
    created = simulate(node, CREATE, name)
    seal(node)
    (creating,) = list_files(node.cache / "spool")
    assert simulate(node, RECONNECT, created, 10) == created
    seal(node)
    # On another machine's disk, say, until now.
    elsewhere = creating.rename(node.directory / creating.name)
    status, told = ship(node)
    assert status == 1
    assert f"there is no run {created}" in told
    elsewhere.rename(creating)
    os.utime(creating)
    assert ship(node)[0] == 0
    assert assert_is_whole(node, name, 10)["id"] == created


def test_a_server_that_is_back_while_the_job_runs_says_which_run_it_is(fresh_node: Node) -> None:
    created = simulate(fresh_node, CREATE, "live", mode="online")
    fresh_node.server.kill()
    process = start_by_hand(fresh_node, "live", "online")
    log(process)
    eventually(lambda: list(fresh_node.cache.rglob("*.open")), "it waits on disk")
    fresh_node.server.restart()
    eventually(lambda: fresh_node.steps(created) == list(range(100)), "the first rows")
    assert fresh_node.status(created) == "running"
    log(process)
    eventually(lambda: len(fresh_node.steps(created)) == 200, "rows that were never on disk")
    fresh_node.kill_shipper()
    log(process)
    process.communicate(timeout=60)
    eventually(lambda: fresh_node.status(created) == "completed", "its end")
    eventually(lambda: not list_files(fresh_node.cache / "spool"), "the spool is drained")
    assert_is_whole(fresh_node, "live", 300)


def test_two_senders_of_several_files_of_a_run_agree_which_it_is(node: Node) -> None:
    """A newer queued job of the name, which any of them might take, is left alone."""
    name = f"shared {new_id()}"
    created = simulate(node, CREATE, name, mode="online")
    process = start_by_hand(node, name, "offline")
    files = node.cache / "spool"
    for count in (1, 2):
        log(process)
        eventually(lambda: node.shippers() and list(files.glob("*.open")), "the next shipper")
        seal(node)
        assert len(list_files(files)) == count
    process.communicate("\n", timeout=60)
    seal(node)
    first, *rest = list_files(files)
    assert len(rest) == 2
    aside = [path.rename(node.directory / path.name) for path in rest]
    node.command("ship")
    assert node.status(created) == "running"
    newer = simulate(node, CREATE, name, mode="online")
    for path in aside:
        path.rename(files / path.name)
    shipping = [
        subprocess.Popen(
            [sys.executable, "-m", "simvue", "ship"],
            env=node.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for sender in shipping:
        output, _ = sender.communicate(timeout=60)
        assert sender.returncode == 0, output
    assert node.status(newer) == "created"
    assert node.status(created) == "completed"
    assert node.steps(created) == list(range(300))
    writers = node.server.get(f"/runs/{created}/writers").values()
    assert [[0, 300]] in list(writers)
    assert not first.exists()
    assert not list_files(files)


def test_senders_at_one_moment_take_one_of_the_runs_that_wait(server: Server) -> None:
    name, provisional = f"contended {new_id()}", new_id()
    waiting = [server.new_run(name=name, status="created") for _ in range(4)]
    call = {
        "call": "open",
        "run": None,
        "find": name,
        "provisional": provisional,
        "changes": {"status": "running", "metadata": {"simvue": {"launch": {"rank": 0}}}},
    }
    together = threading.Barrier(8)

    def send(_: int) -> Reply:
        with Remote(server.url, server.token) as remote:
            together.wait(timeout=30)
            return deliver_call(remote, provisional, call)

    with ThreadPoolExecutor(8) as senders:
        replies = list(senders.map(send, range(8)))
    assert {reply.content["id"] for reply in replies} == {waiting[-1]}
    statuses = [server.get(f"/runs/{run}")["status"] for run in waiting]
    assert statuses == ["created"] * 3 + ["running"]
    metadata = server.get(f"/runs/{waiting[-1]}")["metadata"]
    assert metadata["simvue"] == {"launch": {"rank": 0}, "provisional": {provisional: True}}


# ---- None of that name, or several -------------------------------------------------------------


def test_an_unknown_run_waits_while_others_go_and_is_told_of(node: Node) -> None:
    name, other = f"unknown {new_id()}", f"other {new_id()}"
    simulate(node, RECONNECT, name, 50)
    simulate(node, RECONNECT, simulate(node, CREATE, other), 20)
    seal(node)
    status, told = ship(node)
    assert status == 1
    assert f"there is no run named '{name}'" in told
    assert f"--map '{name}=ID'" in told
    assert node.steps(runs_named(node, other)[0]["id"]) == list(range(20))
    assert list_files(node.cache / "spool")
    assert not (node.cache / "spool" / "rejected").exists()
    target = node.server.new_run(name="of another name", tags=["q"], metadata={"seed": 7})
    assert ship(node, "--map", f"{name}={new_id()}")[0] == 1
    status, told = ship(node, "--map", f"{name}={target}")
    assert status == 0, told
    assert node.steps(target) == list(range(50))
    assert node.status(target) == "completed"
    assert not runs_named(node, name)
    assert not list_files(node.cache / "spool")


def test_an_unknown_run_goes_as_soon_as_there_is_one_of_that_name(node: Node) -> None:
    name = f"late {new_id()}"
    simulate(node, RECONNECT, name, 50)
    seal(node)
    assert ship(node)[0] == 1
    simulate(node, CREATE, name, mode="online")
    node.command("ship")
    assert_is_whole(node, name, 50)


def test_several_runs_of_a_name_are_listed_and_one_is_chosen(node: Node) -> None:
    name = f"ambiguous {new_id()}"
    runs = [
        node.server.new_run(name=name, status="completed", tags=["q"], metadata={"seed": 7})
        for _ in range(2)
    ]
    simulate(node, RECONNECT, name, 50)
    seal(node)
    status, told = ship(node)
    assert status == 1
    assert "2 runs are named" in told
    for run in runs:
        assert run in told
        assert node.steps(run) == []
    status, told = ship(node, "--map", f"{name}={runs[0]}")
    assert status == 0, told
    assert node.steps(runs[0]) == list(range(50))
    assert node.steps(runs[1]) == []
    assert not list_files(node.cache / "spool")


def test_a_map_that_is_none_is_refused(node: Node) -> None:
    for text in ("name", "name=short", f"={new_id()}"):
        status, told = ship(node, "--map", text)
        assert status == 2
        assert "is not NAME=ID" in told


AFTER_A_RUN = """
first = Run()
first.init("before")
print("ready", flush=True)
sys.stdin.readline()
second = Run()
second.reconnect({name!r})
second.log_metrics({{"x": 0.0}})
sys.stdin.readline()
second.close()
"""


def start_without_shipper(node: Node, name: str) -> subprocess.Popen[str]:
    """Start a program whose shipper is stopped once it reconnects to *name*."""
    process = node.start(AFTER_A_RUN.format(name=name), SIMVUE_INIT_TIMEOUT="2")
    wait_for(process, "ready")
    (shipper,) = node.shippers()
    os.kill(shipper, signal.SIGSTOP)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process


def resume(node: Node, process: subprocess.Popen[str], when: str) -> None:
    """Have the shipper go on once the program says *when*."""
    assert process.stdout is not None
    assert any(when in line for line in process.stdout)
    (shipper,) = node.shippers()
    os.kill(shipper, signal.SIGCONT)


def test_reconnect_raises_if_the_answer_comes_late_and_leaves_nothing(node: Node) -> None:
    name = f"too late {new_id()}"
    process = start_without_shipper(node, name)
    resume(node, process, "could not be looked up")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"there is no run named '{name}'" in output
    seal(node)
    assert not list_files(node.cache / "spool")


def test_what_nobody_hears_of_in_time_waits_on_disk(node: Node) -> None:
    name = f"unheard {new_id()}"
    process = start_without_shipper(node, name)
    resume(node, process, "is not registered yet")
    process.communicate("\n", timeout=60)
    assert process.returncode == 0
    seal(node)
    assert list_files(node.cache / "spool")
    simulate(node, CREATE, name, mode="online")
    node.command("ship")
    assert_is_whole(node, name, 1)


def test_a_shipper_keeps_an_unknown_run_on_disk_and_sends_the_others(fresh_node: Node) -> None:
    fresh_node.server.kill()
    process = start_by_hand(fresh_node, "unknown", "online")
    log(process)
    other = fresh_node.start("""
        run = Run()
        run.init("other")
        run.log_metrics({"x": 0.0})
        sys.stdin.readline()
        run.close()
    """)
    eventually(lambda: list(fresh_node.cache.rglob("*.open")), "it waits on disk")
    fresh_node.server.restart()
    eventually(lambda: runs_named(fresh_node, "other"), "the other is there")
    other.communicate("\n", timeout=60)
    other_id = fresh_node.run_id("other")
    eventually(lambda: fresh_node.status(other_id) == "completed", "the other's end")
    assert fresh_node.steps(other_id) == [0]
    log(process)
    output, _ = process.communicate(timeout=60)
    assert "is sent when it answers, or by 'simvue ship'" in output
    assert not runs_named(fresh_node, "unknown")
    simulate(fresh_node, CREATE, "unknown", mode="online")
    assert ship(fresh_node)[0] == 0
    seal(fresh_node)
    assert ship(fresh_node)[0] == 0
    assert_is_whole(fresh_node, "unknown", 200)
