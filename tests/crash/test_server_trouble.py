"""A server that is away, deaf or long in coming back: the simulation does not feel it.

What each single answer leads to is in tests/functional/test_answers.py, kills are in test_kill.py.
"""

from __future__ import annotations

import os
import signal
import statistics
import time

from fix_node import Node, eventually
from fix_proxy import Proxy

from simvue.spool import list_files

PAIRS = 5
"""Windows with the server up and away in alternation; the median of their ratios is held."""


def test_a_call_costs_no_more_while_the_server_is_away(proxied: tuple[Node, Proxy]) -> None:
    """An outage of any length is this second again and again: rows go to disk once a second.

    One row each 0.2 ms, p99 of 2,500 calls in each window; officially 31 us a call in either.
    """
    node, proxy = proxied
    node.env["SIMVUE_INIT_TIMEOUT"] = "20"
    process = node.start("""
        run = Run()
        run.init("paced", no_color=True)
        print(run.id, flush=True)
        clock, log, step = time.perf_counter, run.log_metrics, 0
        while sys.stdin.readline() != "\\n":
            spent, begin = [], clock()
            for call in range(2500):
                while clock() < begin + call * 0.0002:
                    pass
                before = clock()
                log({"x": float(step), "y": 1.0}, step=step)
                spent.append(clock() - before)
                step += 1
            print(sorted(spent)[2475], flush=True)
        print("closed", run.close(), run.dropped, step, flush=True)
    """)
    assert process.stdin is not None
    assert process.stdout is not None
    run = process.stdout.readline().strip()

    def p99_s() -> float:
        process.stdin.write("go\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        line = ""
        while not line.startswith(("0.", "1", "2", "3", "4", "5", "6", "7", "8", "9")):
            line = process.stdout.readline()  # type: ignore[union-attr]
        return float(line)

    p99_s()  # pages, caches, the first segments
    ratios = []
    for _ in range(PAIRS):
        up = p99_s()
        proxy.cut(10**6)
        away = p99_s()
        proxy.behave()
        eventually(lambda: not list_files(node.cache / "spool"), "it is up again")
        ratios.append(away / up)
    output, _ = process.communicate("\n", timeout=60)
    rows = 2500 * (2 * PAIRS + 1)
    assert f"closed True 0 {rows}" in output
    eventually(lambda: node.status(run) == "completed", "its end")
    assert node.steps(run) == list(range(rows))
    # Measured 1.0; half more is the target, and the rest is for a busy machine.
    assert statistics.median(ratios) < 2, ratios


def test_a_backlog_drains_at_ten_times_the_speed_it_was_logged_at(
    proxied: tuple[Node, Proxy],
) -> None:
    """Ten minutes of rows at 1 kHz x 5 metrics are logged while the server is away."""
    node, proxy = proxied
    node.env["SIMVUE_INIT_TIMEOUT"] = "20"
    rows = 600_000
    process = node.start(f"""
        run = Run()
        run.config(queue_blocking=True)
        run.init("backlog", no_color=True)
        print(run.id, flush=True)
        sys.stdin.readline()
        for step in range({rows}):
            run.log_metrics({{"a": 0.1, "b": 0.2, "c": 0.3, "d": step * 0.1, "x": 1.0}}, step=step)
        print("closed", run.close(), run.dropped, flush=True)
        sys.stdin.readline()
    """)
    assert process.stdin is not None
    assert process.stdout is not None
    run = process.stdout.readline().strip()
    proxy.cut(10**6)
    process.stdin.write("\n")
    process.stdin.flush()
    while not (line := process.stdout.readline()).startswith("closed"):
        assert line
    assert line == "closed True 0\n"
    assert list_files(node.cache / "spool")
    before = len(proxy.requests)
    proxy.behave()
    # The shipper's own pause between two tries is not the backlog's.
    eventually(lambda: len(proxy.requests) > before, "the shipper asks again")
    begin = time.monotonic()
    eventually(lambda: node.status(run) == "completed", "its end")
    assert time.monotonic() - begin < rows / 1000 / 10
    assert node.steps(run) == list(range(rows))
    eventually(lambda: not list_files(node.cache / "spool"), "the spool is empty")
    process.communicate("\n")


def test_close_on_a_deaf_server_says_where_the_data_lies_and_which_command_sends_it(
    fresh_node: Node,
) -> None:
    """It listens and never answers: ``close`` keeps its deadline, and all is on disk."""
    process = fresh_node.start(
        """
        run = Run()
        run.init("unheard", no_color=True)
        print(run.id, flush=True)
        sys.stdin.readline()
        for step in range(1000):
            run.log_metrics({"x": float(step)}, step=step)
        begin = time.monotonic()
        print("closed", run.close(), time.monotonic() - begin, flush=True)
        """,
        SIMVUE_CLOSE_TIMEOUT="4",
        SIMVUE_INIT_TIMEOUT="20",
    )
    assert process.stdout is not None
    run = process.stdout.readline().strip()
    pid = fresh_node.server.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        output, _ = process.communicate("\n", timeout=60)
        closed, seconds = output.split("closed ")[1].split()[:2]
        assert closed == "True", output
        assert float(seconds) < 4.5, "its deadline is 4 s"
        assert list_files(fresh_node.cache / "spool")
        assert str(fresh_node.cache / "spool") in output, output
        assert "simvue ship" in output, output
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: fresh_node.status(run) == "completed", "it is sent")
    assert fresh_node.steps(run) == list(range(1000))
