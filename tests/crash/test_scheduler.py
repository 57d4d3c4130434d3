"""What launchers, terminals and batch systems do to a simulation and its shipper."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from fix_node import PROLOGUE, Node, eventually


@pytest.fixture
def unreachable(node: Node) -> Node:
    """A node whose server is away, so that its shipper has data owed and lives on."""
    node.env["SIMVUE_URL"] = "http://127.0.0.1:9"  # the port of `discard`, where nobody listens
    node.env["SIMVUE_LINGER"] = "60"
    return node


LOG_AND_LEAVE = """
run = Run()
run.init("brief", no_color=True)
run.log_metrics({"x": 1.0})
run.close()
print("ends", time.time(), flush=True)
"""


@pytest.mark.parametrize("channel", ["capture_output", "shell pipe", "inherited descriptor"])
def test_whoever_waits_for_a_simulations_output_does_not_wait_for_its_shipper(
    unreachable: Node, channel: str
) -> None:
    """As mpirun, ssh and ``$( )`` do: they wait until the last holder of the pipe is gone."""
    node = unreachable
    command = [sys.executable, "-c", PROLOGUE + LOG_AND_LEAVE]
    if channel == "shell pipe":
        command = ["sh", "-c", '"$0" "$@" | cat', *command]
    read, write = os.pipe()
    with os.fdopen(read, "rb") as end:
        done = subprocess.run(
            command,
            env=node.env,
            cwd=node.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            pass_fds=[write] if channel == "inherited descriptor" else [],
        )
        returned = time.time()
        os.close(write)
        if channel == "inherited descriptor":
            assert end.read() == b"", "its other end is closed by all"
            returned = time.time()
    ended = float(done.stdout.split("ends ")[1])
    (shipper,) = node.shippers()
    # An interpreter's end takes a tenth of that; the shipper lingers for a minute.
    assert returned - ended < 5
    assert node.shippers() == [shipper]
    assert {os.readlink(f"/proc/{shipper}/fd/{fd}") for fd in range(3)} == {"/dev/null"}


def test_a_parent_that_waits_for_any_child_sees_only_its_own(node: Node) -> None:
    """``os.wait()`` in a loop, as job farms and ``mpirun`` do it; the shipper is nobody's child."""
    output = node.simulate("""
        run = Run()
        run.init("farm", no_color=True)
        children = {os.posix_spawn("/bin/true", ["true"], os.environ) for _ in range(3)}
        seen = set()
        while True:
            try:
                seen.add(os.wait()[0])
            except ChildProcessError:
                break
        print("foreign", seen - children, "missing", children - seen)
        run.log_metrics({"x": 1.0})
        print("closed", run.close())
    """)
    assert "foreign set() missing set()" in output
    assert "closed True" in output


def test_a_simulation_that_reaps_its_children_by_itself_starts_a_shipper_all_the_same(
    node: Node,
) -> None:
    """With SIGCHLD ignored, as daemons have it, the kernel takes the shell's status away."""
    output = node.simulate("""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        run = Run()
        run.init("reaper", no_color=True)
        run.log_metrics({"x": 1.0})
        print("closed", run.close())
    """)
    assert "closed True" in output
    assert node.status(node.run_id("reaper")) == "completed"


def test_the_shipper_is_in_no_session_group_or_directory_of_the_simulation(node: Node) -> None:
    """A batch system's signals, quotas of processes and unmounts are for the simulation."""
    process = node.start(
        """
        run = Run()
        run.init("apart", no_color=True)
        print("ready", flush=True)
        sys.stdin.readline()
        run.close()
        """,
        PMI_RANK="0",
        OMPI_COMM_WORLD_RANK="0",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    (shipper,) = node.shippers()
    assert os.getsid(shipper) == os.getpgid(shipper) == shipper
    assert os.readlink(f"/proc/{shipper}/cwd") == "/"
    there = Path(f"/proc/{shipper}/environ").read_bytes()
    assert b"PMI_RANK" not in there
    assert b"OMPI_" not in there
    process.communicate("\n")


def test_ctrl_c_in_a_terminal_ends_the_run_terminated_with_every_row(node: Node) -> None:
    """By a real terminal: all of its foreground process group gets SIGINT, and the shipper too."""
    source = PROLOGUE + textwrap.dedent("""
        run = Run()
        step = 0
        try:
            with run:
                run.init("interrupted", no_color=True)
                print("logging", flush=True)
                while True:
                    run.log_metrics({"x": float(step)}, step=step)
                    step += 1
        except KeyboardInterrupt:
            print("returned", step, run.dropped, flush=True)
    """)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        # In a session of its own, of which the terminal is the controlling one.
        ["setsid", "--ctty", "--wait", sys.executable, "-c", source],
        env=node.env, cwd=node.directory, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        said = b""

        def read_until(pattern: bytes) -> re.Match[bytes]:
            nonlocal said
            while (found := re.search(pattern, said)) is None:
                said += terminal.read(1024)
            return found

        read_until(b"logging\r\n")
        run = node.run_id("interrupted")
        eventually(lambda: len(node.steps(run)) > 1000, "rows flow")
        (shipper,) = node.shippers()
        # What a shell without job control would do to it, besides.
        os.kill(shipper, signal.SIGINT)
        terminal.write(b"\x03")
        step, dropped = map(int, read_until(rb"returned (\d+) (\d+)\r\n").groups())
        assert process.wait(30) == 0
    assert dropped == 0
    eventually(lambda: node.status(run) != "running", "its end")
    assert node.status(run) == "terminated"
    steps = node.steps(run)
    # The row under way at the signal may be in shared memory though its call did not return.
    assert len(steps) - step in (0, 1)
    assert steps == list(range(len(steps)))
    (event,) = node.client.get_events(run)
    assert "KeyboardInterrupt" in event["message"]


def test_a_stalled_shipper_keeps_its_office_and_no_second_one_starts(node: Node) -> None:
    """Two shippers of one segment would both move its words; alive is a lock, not a silence."""
    source = """
        run = Run()
        begin = time.monotonic()
        run.init({name!r}, no_color=True, timeout=None)
        print("init", time.monotonic() - begin, flush=True)
        sys.stdin.readline()
        for step in range(20_000):
            run.log_metrics({{"x": float(step)}}, step=step)
        print("logged", run.dropped, flush=True)
        sys.stdin.readline()
        print("closed", run.close(), run.dropped, flush=True)
    """
    first = node.start(source.format(name="before-the-stall"))
    assert first.stdout is not None
    assert first.stdin is not None
    assert first.stdout.readline().startswith("init")
    (shipper,) = node.shippers()
    os.kill(shipper, signal.SIGSTOP)
    try:
        second = node.start(source.format(name="during-the-stall"))
        assert second.stdout is not None
        assert second.stdin is not None
        lines = [second.stdout.readline(), second.stdout.readline()]
        (init,) = (line for line in lines if line.startswith("init"))
        (warning,) = (line for line in lines if not line.startswith("init"))
        assert "is not registered yet" in warning
        # Two seconds of patience, and an interpreter on a busy machine.
        assert 2.0 <= float(init.split()[1]) < 4.0
        for process in (first, second):
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "logged 0\n"
        assert node.shippers() == [shipper]
    finally:
        os.kill(shipper, signal.SIGCONT)
    for process in (first, second):
        output, _ = process.communicate("\n", timeout=60)
        assert "closed True 0" in output
    assert node.shippers() == [shipper]
    for name in ("before-the-stall", "during-the-stall"):
        run = node.run_id(name)
        assert node.steps(run) == list(range(20_000))
        assert node.status(run) == "completed"
