"""Trouble of the network or the server: the simulation goes on, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import time

from fix_node import Node, eventually

from simvue.spool import RecordKind, list_files, read_records

LOG_UNTIL_TOLD = """
run = Run()
run.init({name!r}, timeout={timeout})
print(run.id, flush=True)
told = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(1), told.set()), daemon=True).start()
step = 0
while not told.is_set():
    run.log_metrics({{"x": float(step)}}, step=step)
    step += 1
    if step % 50 == 0:
        time.sleep(0.005)
print(step, flush=True)
print("closed", run.close(), run.dropped, flush=True)
"""


def test_init_against_a_dead_server_warns_and_the_run_arrives_later(fresh_node: Node) -> None:
    fresh_node.server.kill()
    process = fresh_node.start("""
        begin = time.monotonic()
        run = Run()
        run.init("patient", tags=["t"])
        print("init", time.monotonic() - begin, run.id, flush=True)
        for step in range(1000):
            run.log_metrics({"x": float(step)}, step=step)
        run.update_tags(["late"])
        print("closed", run.close(), flush=True)
        sys.stdin.read(1)
    """)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("closed"):
            break
    output = "".join(lines)
    assert "is not registered yet" in output
    seconds, run = next(line for line in lines if line.startswith("init")).split()[1:]
    # Two seconds of patience, and the start of a shipper on a busy machine.
    assert float(seconds) < 4.0
    assert "closed True" in output
    # All of it is on disk, and the token is not.
    (file,) = list_files(fresh_node.cache / "spool")
    assert fresh_node.server.token.encode() not in file.read_bytes()
    fresh_node.server.restart()
    eventually(lambda: fresh_node.server.ask("GET", f"/runs/{run}").status_code == 200, "the run")
    eventually(lambda: fresh_node.status(run) == "completed", "its end")
    assert fresh_node.steps(run) == list(range(1000))
    assert fresh_node.server.get(f"/runs/{run}")["tags"] == ["t", "late"]
    eventually(lambda: not list_files(fresh_node.cache / "spool"), "the spool is empty")
    process.communicate("q")


def test_a_server_killed_and_restarted_has_every_row_once(fresh_node: Node) -> None:
    process = fresh_node.start(LOG_UNTIL_TOLD.format(name="survivor", timeout=180))
    assert process.stdout is not None
    lines = iter(process.stdout)
    run = next(line for line in lines if " " not in line.strip()).strip()
    eventually(lambda: len(fresh_node.steps(run)) > 100, "rows flow")
    for _ in range(2):
        fresh_node.server.kill()
        eventually(lambda: list_files(fresh_node.cache / "spool"), "rows go to disk")
        fresh_node.server.restart()
        eventually(lambda: not list_files(fresh_node.cache / "spool"), "the spool is drained")
    output, _ = process.communicate("q", timeout=60)
    step = int(next(line for line in output.splitlines() if line.isdigit()))
    assert "closed True 0" in output
    assert fresh_node.steps(run) == list(range(step))
    assert fresh_node.status(run) == "completed"
    (ranges,) = fresh_node.server.get(f"/runs/{run}/writers").values()
    assert ranges == [[0, step]]


def test_a_killed_shipper_is_replaced_and_every_row_is_stored_once(node: Node) -> None:
    process = node.start(LOG_UNTIL_TOLD.format(name="orphan", timeout=180))
    assert process.stdout is not None
    lines = iter(process.stdout)
    run = next(line for line in lines if " " not in line.strip()).strip()
    for _ in range(3):
        known = len(node.steps(run))
        eventually(lambda known=known: len(node.steps(run)) > known, "rows flow")
        before = node.shippers()
        node.kill_shipper()
        eventually(lambda before=before: set(node.shippers()) - set(before), "a new shipper")
    output, _ = process.communicate("q", timeout=60)
    step = int(next(line for line in output.splitlines() if line.isdigit()))
    assert "closed True 0" in output
    assert node.steps(run) == list(range(step))
    assert node.status(run) == "completed"


def test_a_killed_simulation_loses_no_returned_row_and_turns_lost(node: Node) -> None:
    process = node.start("""
        run = Run()
        run.init("killed", timeout=1)
        print(run.id, flush=True)
        step = 0
        while True:
            run.log_metrics({"x": float(step)}, step=step)
            step += 1
            if step % 100 == 0:
                os.write(1, b"%d\\n" % step)
    """)
    assert process.stdout is not None
    lines = iter(process.stdout)
    run = next(line for line in lines if " " not in line.strip()).strip()
    returned = 0
    for line in lines:
        returned = int(line)
        if returned >= 100_000:
            break
    process.kill()
    rest = process.stdout.read().split()
    process.wait()
    returned = max([returned, *(int(count) for count in rest[:-1])])
    eventually(lambda: node.status(run) == "lost", "the run is lost")
    steps = node.steps(run)
    assert len(steps) >= returned
    assert steps == list(range(len(steps)))


def test_a_lost_run_is_running_again_when_data_resume(fresh_node: Node) -> None:
    process = fresh_node.start("""
        run = Run()
        run.init("asleep", timeout=1)
        print(run.id, flush=True)
        sys.stdin.readline()
        run.log_metrics({"x": 1.0})
        sys.stdin.readline()
        run.close()
    """)
    assert process.stdout is not None
    assert process.stdin is not None
    run = next(line for line in process.stdout if " " not in line.strip()).strip()
    eventually(lambda: fresh_node.status(run) == "running", "the run")
    # A stopped shipper keeps its office, so nobody beats for the run.
    (shipper,) = fresh_node.shippers()
    os.kill(shipper, signal.SIGSTOP)
    eventually(lambda: fresh_node.status(run) == "lost", "silence")
    os.kill(shipper, signal.SIGCONT)
    process.stdin.write("\n")
    process.stdin.flush()
    eventually(lambda: fresh_node.status(run) == "running", "data resume")
    process.communicate("\n")
    assert fresh_node.status(run) == "completed"


def test_an_offline_run_lies_on_disk_whole_until_ship_sends_it(node: Node) -> None:
    """S12: without address and token, where the official client refuses to start."""
    output = node.simulate(
        """
        run = Run()
        run.init("offline", metadata={"a": 1}, offline=True)
        for step in range(500):
            run.log_metrics({"x": float(step)}, step=step)
        run.log_event("an event")
        run.update_tags(["t"])
        print(run.id, run.close())
        """,
        SIMVUE_URL="",
        SIMVUE_TOKEN="",
    )
    assert output.split()[-1] == "True"
    run = output.split()[-2]
    eventually(lambda: list(node.cache.rglob("*.done")), "the spool file is sealed")
    (file,) = list_files(node.cache / "spool")
    records = [record for _, record in read_records(file)]
    assert all(record.run == run for record in records)
    calls = [json.loads(r.payload)["call"] for r in records if r.kind is RecordKind.CALL]
    assert calls == ["open", "tags", "update", "end"]
    assert sum(r.end - r.first for r in records if r.kind is RecordKind.METRICS) == 500
    assert sum(r.end - r.first for r in records if r.kind is RecordKind.EVENTS) == 1
    assert node.server.ask("GET", f"/runs/{run}").status_code == 404
    copy = file.read_bytes()
    for repetition in range(2):
        shipped = node.command("ship")
        sent, known = (500, 0) if repetition == 0 else (0, 501)
        assert f"{sent + (repetition == 0)} rows sent, {known} known before" in shipped
        assert not file.exists()
        assert node.steps(run) == list(range(500))
        stored = node.server.get(f"/runs/{run}")
        assert (stored["status"], stored["tags"]) == ("completed", ["t"])
        assert len(list(node.client.get_events(run))) == 1
        # The same file once more, as after a crash between its delivery and its removal.
        file.write_bytes(copy)


def test_close_on_a_stopped_server_returns_within_its_deadline(fresh_node: Node) -> None:
    process = fresh_node.start("""
        run = Run()
        run.init("hurried")
        print(run.id, flush=True)
        sys.stdin.readline()
        for step in range(1000):
            run.log_metrics({"x": float(step)}, step=step)
        begin = time.monotonic()
        print("closed", run.close(), time.monotonic() - begin, flush=True)
    """)
    assert process.stdout is not None
    run = next(line for line in process.stdout if " " not in line.strip()).strip()
    pid = fresh_node.server.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        output, _ = process.communicate("\n", timeout=60)
    finally:
        os.kill(pid, signal.SIGCONT)
    closed = next(line for line in output.splitlines() if line.startswith("closed")).split()
    assert closed[1] == "True"
    assert float(closed[2]) < 10.0
    begin = time.monotonic()
    eventually(lambda: fresh_node.status(run) == "completed", "it is sent")
    assert time.monotonic() - begin < 30
    assert fresh_node.steps(run) == list(range(1000))
