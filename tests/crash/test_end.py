"""A run's end and its cause are recorded, whoever ended it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_node import Node, eventually

from simvue.wire import new_id

VICTIM = """
run = Run()
run.init({name!r}, timeout={timeout})
for step in range(3000):
    run.log_metrics({{"x": float(step)}}, step=step)
print("ready", flush=True)
{wait}
"""


def end(node: Node, name: str, number: int, timeout: int = 180) -> str:
    """End a simulation by a signal; return its run."""
    process = node.start(VICTIM.format(name=name, timeout=timeout, wait="sys.stdin.read()"))
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready"):
            break
    process.send_signal(number)
    assert process.wait(timeout=30) == -number, "it dies as it would have without us"
    return node.run_id(name)


def last_event(node: Node, run: str) -> str:
    eventually(lambda: list(node.client.get_events(run)), "the event that tells the end")
    return str(list(node.client.get_events(run))[-1]["message"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU])
def test_a_batch_systems_signal_terminates_the_run_and_loses_nothing(
    node: Node, number: signal.Signals
) -> None:
    """S7: of at least 4,200 rows the official client keeps 3,908, and the run stays running."""
    run = end(node, f"ended by {number.name}", number)
    eventually(lambda: node.status(run) == "terminated", "its status")
    assert node.steps(run) == list(range(3000))
    assert f"ended by {number.name}" in last_event(node, run)
    assert "ended by" in node.server.get(f"/runs/{run}")["metadata"]["simvue"]["end"]


def test_a_run_killed_from_outside_is_lost_and_its_cause_told(node: Node) -> None:
    run = end(node, "killed from outside", signal.SIGKILL, timeout=2)
    assert "killed by signal 9 (SIGKILL)" in last_event(node, run)
    assert node.steps(run) == list(range(3000))
    eventually(lambda: node.status(run) == "lost", "silence")


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group of 256 MiB, as a batch system makes one for a job."""
    version_2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    parent = Path("/sys/fs/cgroup") / ("" if version_2 else "memory")
    group = parent / f"simvue-test-{new_id()}"
    try:
        group.mkdir()
        limit = group / ("memory.max" if version_2 else "memory.limit_in_bytes")
        limit.write_text(str(256 << 20))
    except OSError as error:
        pytest.skip(f"only who may make a control group can run out of its memory: {error}")
    yield group
    for pid in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(OSError):
            (parent / "cgroup.procs").write_text(pid)
    group.rmdir()


def test_a_job_out_of_memory_loses_no_row_and_its_cause_is_told(
    node: Node, memory_group: Path
) -> None:
    """The real thing: the kernel picks the largest process of the job, which the shipper is not."""
    process = node.start(
        f"""
        with open("{memory_group}/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))
        run = Run()
        run.init("out of memory", timeout=2, no_color=True)
        held, step = [], 0
        while True:
            run.log_metrics({{"x": float(step)}}, step=step)
            step += 1
            if step == 3000:
                print("logged", flush=True)
            if step > 3000:
                held.append(bytearray(os.urandom(4096)) * 256)
        """
    )
    output, _ = process.communicate(timeout=60)
    assert "logged" in output
    assert process.returncode == -signal.SIGKILL, output
    run = node.run_id("out of memory")
    assert "probably because the memory of its job was used up" in last_event(node, run)
    steps = node.steps(run)
    assert steps == list(range(len(steps)))
    assert len(steps) >= 3000
    eventually(lambda: node.status(run) == "lost", "silence")


def test_a_segmentation_fault_fails_the_run(node: Node) -> None:
    run = end(node, "segfault", signal.SIGSEGV)
    eventually(lambda: node.status(run) == "failed", "its status")
    assert "SIGSEGV" in last_event(node, run)
    assert node.steps(run) == list(range(3000))


def test_a_process_that_leaves_by_the_back_door_fails_the_run(node: Node) -> None:
    node.simulate(VICTIM.format(name="back door", timeout=180, wait="os._exit(7)"), status=7)
    run = node.run_id("back door")
    eventually(lambda: node.status(run) == "failed", "its status")
    assert "status 7" in last_event(node, run)


def test_a_handler_of_the_simulations_own_is_left_alone(node: Node) -> None:
    process = node.start("""
        signal.signal(signal.SIGTERM, lambda *_: told.set())
        told = threading.Event()
        run = Run()
        run.init("own handler")
        print("ready", flush=True)
        told.wait()
        run.log_event("checkpoint written")
        run.close()
    """)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready"):
            break
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    run = node.run_id("own handler")
    assert node.status(run) == "completed"
    assert last_event(node, run) == "checkpoint written"


def test_a_fork_that_is_terminated_does_not_end_the_run(node: Node) -> None:
    node.simulate("""
        run = Run()
        run.init("terminated fork")
        pid = os.fork()
        if pid == 0:
            run.log_metrics({"child": 1.0})
            os.kill(os.getpid(), signal.SIGTERM)
        assert os.waitpid(pid, 0)[1] == signal.SIGTERM
        run.log_metrics({"parent": 1.0})
        run.close()
    """)
    run = node.run_id("terminated fork")
    assert node.status(run) == "completed"
    eventually(lambda: node.steps(run, "child") == [0], "the child's row")
    assert list(node.client.get_events(run)) == []


ABORTED = """
def told(run):
    print("callback", run.name, flush=True)

run = Run(abort_callback=told)
run.config(abort_on_alert={action!r})
try:
    with run:
        run.init({name!r})
        print(run.id, flush=True)
        step = 0
        while step < 5 or {forever}:
            run.log_metrics({{"x": float(step)}}, step=step)
            step += 1
            time.sleep(0.01)
            if sys.stdin in __import__("select").select([sys.stdin], [], [], 0)[0]:
                break
finally:
    print("finally", flush=True)
"""


@pytest.mark.parametrize(
    ("action", "status", "ended"),
    [("terminate", "terminated", -signal.SIGINT), ("ignore", "completed", 0)],
)
def test_an_abort_reaches_the_simulation_and_lets_it_clean_up(
    node: Node, action: str, status: str, ended: int
) -> None:
    """S13: the official client polls once a minute, purges its queue and calls ``os._exit``."""
    name = f"abort {action}"
    process = node.start(ABORTED.format(action=action, name=name, forever=True))
    assert process.stdout is not None
    assert process.stdin is not None
    lines = iter(process.stdout)
    run = next(line for line in lines if " " not in line.strip()).strip()
    eventually(lambda: node.steps(run), "rows")
    node.server.put(f"/runs/{run}/abort", {"reason": "enough"})
    for line in lines:
        if line.startswith("callback"):
            break
    if action == "ignore":
        process.stdin.write("\n")
        process.stdin.flush()
    output, _ = process.communicate(timeout=60)
    assert "finally" in output
    assert process.returncode == ended
    assert node.status(run) == status
    steps = node.steps(run)
    assert steps == list(range(len(steps)))
