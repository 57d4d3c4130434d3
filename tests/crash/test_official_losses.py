"""What the official client loses, measured, and what becomes of the same here.

Each docstring begins with the row of the table in docs/guarantees.md, and gives what the
official client did in that case; ``python -m benches.peers.official_losses`` shows it again.
Rows that are not here are proved by tests elsewhere, which the table names.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fix_node import Node, eventually
from fix_proxy import Proxy

from simvue.destination import IN_FLIGHT_MAX
from simvue.spool import list_files

OFFLINE = {"SIMVUE_URL": "", "SIMVUE_TOKEN": ""}


def ship(node: Node) -> str:
    """Run ``simvue ship`` to its end, whatever its exit status; return all it said."""
    done = subprocess.run(
        [sys.executable, "-m", "simvue", "ship"],
        env=node.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout


def is_socket(descriptor: Path) -> bool:
    """Whether an entry of ``/proc/PID/fd`` is a socket; one that was closed meanwhile is none."""
    try:
        return os.readlink(descriptor).startswith("socket:")
    except FileNotFoundError:
        return False


def record_offline(node: Node, rows: int, *names: str) -> dict[str, tuple[str, Path]]:
    """Record runs offline, each by a shipper of its own; return the id and the file of each."""
    processes = [
        node.start(
            f"""
            run = Run("offline")
            run.init({name!r}, no_color=True)
            for step in range({rows}):
                run.log_metrics({{"x": float(step)}}, step=step)
            print(run.id, run.close())
            """,
            SIMVUE_RUNTIME_DIRECTORY=str(node.runtime / name),
            SIMVUE_OFFLINE_DIRECTORY=str(node.cache / name),
            **OFFLINE,
        )
        for name in names
    ]
    made = {}
    for name, process in zip(names, processes, strict=True):
        output, _ = process.communicate(timeout=60)
        run, closed = output.split()
        assert closed == "True"
        eventually(lambda n=name: list(node.cache.glob(f"{n}/spool/*.done")), "its file is sealed")
        (file,) = node.cache.glob(f"{name}/spool/*")
        made[name] = run, node.cache / "spool" / file.name
    (node.cache / "spool").mkdir()
    for name in names:
        shutil.move(next(node.cache.glob(f"{name}/spool/*")), node.cache / "spool")
    return made


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_an_exception_right_behind_a_burst_loses_neither_rows_nor_traceback(
    node: Node, mode: str
) -> None:
    """S1: officially 35 of 1,000 rows, and no traceback in 18 tries of 18."""
    output = node.simulate(
        f"""
        with Run({mode!r}) as run:
            run.init("burst-{mode}")
            print(run.id, flush=True)
            for step in range(1000):
                run.log_metrics({{"x": float(step)}}, step=step)
            raise FloatingPointError("residual is not finite")
        """,
        status=1,
        **(OFFLINE if mode == "offline" else {}),
    )
    run = next(line for line in output.splitlines() if line.isalnum())
    if mode == "offline":
        eventually(lambda: list(node.cache.rglob("*.done")), "the spool file is sealed")
        node.command("ship")
    assert node.status(run) == "failed"
    assert node.steps(run) == list(range(1000))
    (event,) = node.client.get_events(run)
    assert "FloatingPointError: residual is not finite" in event["message"]


def test_a_500_to_a_heartbeat_stops_neither_heartbeats_nor_the_run(
    proxied: tuple[Node, Proxy],
) -> None:
    """S3: officially the heartbeat's thread ends for good, and a live run is declared lost."""
    node, proxy = proxied
    process = node.start("""
        run = Run()
        run.init("beating", timeout=3)
        print(run.id, flush=True)
        sys.stdin.readline()
        run.log_metrics({"x": 1.0})
        print("closed", run.close())
    """)
    assert process.stdout is not None
    run = next(line for line in process.stdout if line.strip().isalnum()).strip()
    proxy.only = f"/api/runs/{run}/heartbeat"
    proxy.say(1, 500)

    def beats() -> int:
        # Whatever it says between two heartbeats, it never says that the run is lost.
        assert node.status(run) == "running"
        return sum(request.path == proxy.only for request in proxy.requests)

    # One a second: the first meets the 500, and four more outlast the run's timeout of 3 s.
    eventually(lambda: beats() >= 5, "heartbeats after a failed one")
    assert proxy.is_done
    output, _ = process.communicate("\n", timeout=60)
    assert "closed True" in output
    assert node.status(run) == "completed"


def test_an_offline_script_that_never_closes_leaves_every_row_on_disk(node: Node) -> None:
    """S4: officially 0 of 1,000 rows are on disk, and the run stays ``running``."""
    output = node.simulate(
        """
        run = Run("offline")
        run.init("left-open-offline")
        print(run.id)
        for step in range(1000):
            run.log_metrics({"x": float(step)}, step=step)
        """,
        **OFFLINE,
    )
    run = output.split()[-1]
    eventually(lambda: list(node.cache.rglob("*.done")), "the spool file is sealed")
    node.command("ship")
    assert node.steps(run) == list(range(1000))
    assert node.status(run) == "completed"


def test_sys_exit_in_the_block_loses_no_row(node: Node) -> None:
    """S5: officially 849 of 1,000 rows arrive."""
    node.simulate(
        """
        with Run() as run:
            run.init("exit-in-block")
            for step in range(1000):
                run.log_metrics({"x": float(step)}, step=step)
            sys.exit(3)
        """,
        status=3,
    )
    run = node.run_id("exit-in-block")
    assert node.steps(run) == list(range(1000))
    assert node.status(run) == "failed"


def test_offline_runs_share_one_file_however_often_they_are_flushed(node: Node) -> None:
    """S9: officially 21 files and 4.7 MB for 20 s at 100 Hz x 5 metrics: one file a second and run.

    Here the flush comes ten times as often, and two runs log at once: 40 flushes in two seconds.
    """
    output = node.simulate(
        """
        runs = [Run("offline") for _ in range(2)]
        for number, run in enumerate(runs):
            run.init(f"one-file-{number}")
        begin = time.perf_counter()
        for step in range(10_000):
            for run in runs:
                run.log_metrics({k: step * 0.1 for k in "abcde"}, step=step)
            while time.perf_counter() < begin + step / 5000:
                pass
        print([run.close() for run in runs])
        """,
        SIMVUE_FLUSH_INTERVAL="0.1",
        **OFFLINE,
    )
    assert "[True, True]" in output
    (file,) = list_files(node.cache / "spool")
    # 20,000 rows of five: 150 bytes each before they are deflated.
    assert file.stat().st_size < 1_600_000
    assert len([path for path in node.cache.rglob("*") if path.is_file()]) == 1


def test_a_bad_spool_file_is_never_in_the_way_of_another(node: Node) -> None:
    """S10: officially the sender stops at it, 0 rows of any run arrive, and its lock stays."""
    damages: dict[str, Callable[[bytes], bytes]] = {
        "foreign": lambda whole: b"{\n  " + whole,
        "emptied": lambda whole: b"",
        "truncated": lambda whole: whole[: len(whole) // 2],
        # In the last record before END.
        "flipped": lambda whole: whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:],
    }
    made = record_offline(node, 200, "good", *damages, "better")
    for age, (name, damage) in enumerate(damages.items()):
        file = made[name][1]
        file.write_bytes(damage(file.read_bytes()))
        # The bad ones are the oldest, and so the first to be met.
        os.utime(file, (age, age))
    told = ship(node)
    for name in ("good", "better"):
        run, file = made[name]
        assert node.steps(run) == list(range(200)), told
        assert node.status(run) == "completed"
        assert not file.exists()
    assert made["foreign"][1].name in told
    # The next tick of cron finds no lock, and nothing to send but what is whole of the bad ones.
    ship(node)
    assert all(node.status(made[name][0]) == "completed" for name in ("good", "better"))


def test_two_nodes_may_send_one_directory_at_once_and_a_killed_one_leaves_no_lock(
    node: Node,
) -> None:
    """S11: officially a pid without a host is the lock: two log-in nodes lock each other out."""
    made = record_offline(node, 20_000, "one", "two", "three")
    command = [sys.executable, "-m", "simvue", "ship"]
    server = node.server.process.pid
    os.kill(server, signal.SIGSTOP)
    try:
        killed = subprocess.Popen(command, env=node.env, stdout=subprocess.DEVNULL)
        eventually(
            lambda: [fd for fd in Path(f"/proc/{killed.pid}/fd").iterdir() if is_socket(fd)],
            "it speaks to the server",
        )
        killed.kill()
        killed.wait()
    finally:
        os.kill(server, signal.SIGCONT)
    # Another host's name and another pid namespace: to each, the other's pid means nothing.
    elsewhere = ["unshare", "--uts", "--pid", "--fork", "sh", "-c", 'hostname other && "$@"', "sh"]
    namespaces = shutil.which("unshare") is not None and os.geteuid() == 0
    senders = [
        subprocess.Popen(
            [*(elsewhere if namespaces and number else []), *command],
            env=node.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for number in range(2)
    ]  # fmt: skip
    for sender in senders:
        output, _ = sender.communicate(timeout=60)
        assert sender.returncode == 0, output
    for run, _ in made.values():
        assert node.steps(run) == list(range(20_000))
        assert node.status(run) == "completed"
    assert not list_files(node.cache / "spool")


def test_a_deaf_server_costs_the_simulation_no_memory(fresh_node: Node) -> None:
    """S14: officially 15 MB for each 20,000 rows of five, without bound."""
    process = fresh_node.start("""
        def anonymous():
            with open("/proc/self/smaps_rollup") as rollup:
                return next(int(line.split()[1]) for line in rollup if line.startswith("Anonymous"))
        run = Run()
        run.init("deaf")
        print(run.id, flush=True)
        sys.stdin.readline()
        def log(steps):
            for step in steps:
                run.log_metrics({k: step * 0.1 for k in "abcdx"}, step=step)
        log(range(1000))
        before = anonymous()
        log(range(1000, 101_000))
        print("KiB", anonymous() - before)
        folder = os.environ["SIMVUE_RUNTIME_DIRECTORY"]
        print("segments", sum(os.stat(os.path.join(folder, f)).st_size for f in os.listdir(folder)))
        print("closed", run.close(), run.dropped)
    """)
    assert process.stdout is not None
    run = next(line for line in process.stdout if line.strip().isalnum()).strip()
    pid = fresh_node.server.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        output, _ = process.communicate("\n", timeout=60)
    finally:
        os.kill(pid, signal.SIGCONT)
    figures = dict(line.split(" ", 1) for line in output.splitlines() if " " in line)
    assert int(figures["KiB"]) <= 1024, "measured 0; the official client would add 75 MB"
    assert int(figures["segments"]) <= 64 << 20, "what buffer_size allows"
    assert figures["closed"] == "True 0"
    eventually(lambda: fresh_node.status(run) == "completed", "it is sent")
    assert fresh_node.steps(run) == list(range(101_000))


def test_connections_are_kept_and_not_made_for_each_request(proxied: tuple[Node, Proxy]) -> None:
    """S16: officially a new TCP and TLS connection for every request."""
    node, proxy = proxied
    node.simulate(
        """
        run = Run()
        run.init("kept")
        begin = time.perf_counter()
        for step in range(2000):
            run.log_metrics({"x": float(step)}, step=step)
            while time.perf_counter() < begin + step / 1000:
                pass
        run.close()
        """,
        SIMVUE_FLUSH_INTERVAL="0.05",
    )
    assert node.steps(node.run_id("kept")) == list(range(2000))
    assert len(proxy.requests) >= 20, "two seconds of twenty flushes each"
    assert proxy.connections <= IN_FLIGHT_MAX


@pytest.mark.parametrize("version", ["0.9.0", "2.0.0", "not a version"])
def test_no_version_of_a_server_is_refused(proxied: tuple[Node, Proxy], version: str) -> None:
    """S17: officially only 1.1.0 <= version < 2.0.0, and the error calls it the Python API's."""
    node, proxy = proxied
    proxy.only = "/api/version"
    proxy.say(10**6, 200, body=json.dumps({"version": version}).encode())
    output = node.simulate(f"""
        run = Run()
        run.init("version {version}", no_color=True)
        for step in range(300):
            run.log_metrics({{"x": float(step)}}, step=step)
        print(run.close())
    """)
    assert output == "True\n"
    run = node.run_id(f"version {version}")
    assert node.status(run) == "completed"
    assert node.steps(run) == list(range(300))


def test_init_in_a_git_repository_starts_no_process_but_the_shipper(
    node: Node, tmp_path: Path
) -> None:
    """S18: officially eight children for each rank (git 7 times, lscpu), 8,192 for 1,024 ranks."""
    repository = tmp_path / "repository"
    repository.mkdir()
    for arguments in (
        ["init", "--quiet"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-mx"],
    ):
        subprocess.run(["git", *arguments], cwd=repository, check=True)
    source = f"""
        os.chdir({str(repository)!r})
        started = []
        words = ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec",
                 "os.spawn", "os.system", "pty.spawn")
        sys.addaudithook(lambda event, arguments: event in words and started.append(event))
        run = Run()
        run.init("in-git")
        print("started", started)
        run.close()
    """
    # The first of a node starts the shipper, by a shell; the next find it.
    assert "started ['os.posix_spawn']" in node.simulate(source)
    assert "started []" in node.simulate(source)
