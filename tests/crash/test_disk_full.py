"""A disk that fills: the simulation goes on, is told once in words, and loss is a number.

The disks are small ones in memory, mounted over the spool directory and over the runtime
directory, which takes root; elsewhere tests/unit/test_spool.py has the disk in its stead.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from fix_disk import Disk
from fix_node import Node, eventually
from fix_proxy import Proxy
from fix_server import Server

SIMULATION = """
import random
run = Run()
run.init("full", no_color=True, timeout=None)
print(run.id, flush=True)
sys.stdin.readline()
kept, step = [], 0
def log(rows):
    # Random numbers, which no packing makes smaller: some 40 bytes a row, on disk too.
    global step
    for _ in range(rows):
        if run.log_metrics({{"x": random.random(), "y": random.random()}}, step=step):
            kept.append(step)
        step += 1
begin = time.monotonic()
log({rows})
print("took", time.monotonic() - begin, flush=True)
sys.stdin.readline()
log(1000)
closed = run.close()
print("closed", closed, run.dropped, step, len(kept), flush=True)
open("kept", "w").write(" ".join(map(str, kept)))
"""


class Story:
    """What a simulation says, read as far as it matters."""

    def __init__(self, node: Node, rows: int, **env: str) -> None:
        env = {"SIMVUE_CLOSE_TIMEOUT": "20", "SIMVUE_INIT_TIMEOUT": "20", **env}
        self._process = node.start(SIMULATION.format(rows=rows), **env)
        assert self._process.stdout is not None
        self.run = self._process.stdout.readline().strip()
        self.told = ""

    def proceed(self) -> None:
        """Let the simulation take its next step."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def wait_for(self, words: str) -> str:
        """Read on until *words* were said; return the rest of their line."""
        assert self._process.stdout is not None
        while words not in self.told:
            line = self._process.stdout.readline()
            assert line, f"it ended without {words!r}:\n{self.told}"
            self.told += line
        return self.told.split(words, 1)[1].split("\n")[0]

    def kill(self) -> None:
        """End the simulation as nobody can defend against."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Wait for the simulation's end."""
        output, _ = self._process.communicate(timeout=30)
        self.told += output
        assert self._process.returncode == 0, self.told


def test_a_full_spool_leaves_rows_in_memory_and_loses_none(
    proxied: tuple[Node, Proxy], disk: Disk
) -> None:
    """The disk of the spool is full while the server is away: memory holds the rest."""
    node, proxy = proxied
    disk(node.cache / "spool", 1)
    story = Story(node, 100_000)
    proxy.cut(10**6)
    story.proceed()
    # It did not wait for the disk: 100,000 rows take a tenth of a second.
    assert float(story.wait_for("took ")) < 5
    story.wait_for("nothing more fits on disk")
    assert len(list((node.cache / "spool").glob("*.open"))) == 1
    proxy.behave()
    story.proceed()
    assert story.wait_for("closed ").startswith("True 0 101000 101000")
    story.end()
    assert story.told.count("nothing more fits on disk") == 1, story.told
    eventually(lambda: node.status(story.run) == "completed", "its end")
    assert node.steps(story.run) == list(range(101_000))


def test_a_full_disk_and_full_memory_drop_rows_counted_and_all_others_arrive(
    proxied: tuple[Node, Proxy], disk: Disk, tmp_path: Path
) -> None:
    """All are full, and the server is away: each row that was refused was refused by its call."""
    node, proxy = proxied
    disk(node.cache / "spool", 1)
    # Full from the start: whether rows fill it before the last is dropped is a matter of speed.
    (node.cache / "spool" / "filler").write_bytes(bytes(1020 << 10))
    disk(node.runtime, 4)
    # Nor has $TMPDIR room for what memory does not hold.
    disk(tmp_path / "tmp", 1)
    (tmp_path / "tmp" / "filler").write_bytes(bytes(1020 << 10))
    story = Story(node, 80_000, TMPDIR=str(tmp_path / "tmp"))
    proxy.cut(10**6)
    story.proceed()
    # A wait of a second or two for the shipper; what is dropped behind it does not wait again.
    assert float(story.wait_for("took ")) < 10
    story.wait_for("nothing more fits on disk")
    proxy.behave()
    # After its pause of at most a few seconds the shipper hands segments back.
    eventually(lambda: node.steps(story.run), "rows arrive")
    story.proceed()
    closed, dropped, logged, kept = story.wait_for("closed ").split()[:4]
    story.end()
    assert closed == "True", story.told
    assert int(dropped) > 0, "5 MB of rows do not fit into 1 MiB and 2 MiB"
    assert int(dropped) == int(logged) - int(kept)
    assert story.told.count("nothing more fits on disk") == 1, story.told
    assert story.told.count("queue is full") == 1, story.told
    eventually(lambda: node.status(story.run) == "completed", "its end")
    returned_true = list(map(int, (node.directory / "kept").read_text().split()))
    assert node.steps(story.run) == returned_true


def test_rows_that_memory_does_not_hold_go_through_the_temporary_directory(
    node: Node, disk: Disk, tmp_path: Path
) -> None:
    """Memory is full from the start, so that even the first call finds none."""
    disk(node.runtime, 1)
    (node.runtime / "filler").write_bytes(bytes(1 << 20))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    story = Story(node, 80_000, TMPDIR=str(temporary))
    assert len(overflowed(temporary)) == 1, "the segment of the calls"
    story.proceed()
    story.wait_for("took ")
    story.proceed()
    assert story.wait_for("closed ").startswith("True 0 81000 81000")
    story.end()
    assert node.steps(story.run) == list(range(81_000))
    assert node.status(story.run) == "completed"
    eventually(lambda: not overflowed(temporary), "what was sent is removed")


def test_a_kill_loses_no_row_that_went_through_the_temporary_directory(
    node: Node, disk: Disk, tmp_path: Path
) -> None:
    """Both die, the simulation and its shipper: another finds all of it, wherever it lies."""
    disk(node.runtime, 1)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    story = Story(node, 80_000, TMPDIR=str(temporary), SIMVUE_QUEUE_POLICY="drop")
    (shipper,) = node.shippers()
    os.kill(shipper, signal.SIGSTOP)
    story.proceed()
    story.wait_for("took ")
    assert len(overflowed(temporary)) >= 3, "8 MB of rows, and memory takes 512 KiB"
    story.kill()
    node.kill_shipper()
    node.command("ship")
    eventually(lambda: not overflowed(temporary), "what was sent is removed")
    assert node.steps(story.run) == list(range(80_000))


def overflowed(temporary: Path) -> list[Path]:
    """Return the segments below a temporary directory."""
    return list(temporary.glob(f"simvue-{os.getuid()}/*.overflow"))


def test_an_offline_run_goes_on_behind_a_full_disk_and_is_whole_once_there_is_room(
    node: Node, disk: Disk
) -> None:
    resize = disk(node.cache / "spool", 1)
    process = node.start(
        """
        import random
        run = Run("offline")
        run.init("roomless", no_color=True)
        print(run.id, flush=True)
        for step in range(60_000):
            run.log_metrics({"x": random.random(), "y": random.random()}, step=step)
        print("logged", flush=True)
        begin = time.monotonic()
        print("closed", run.close(), run.dropped, time.monotonic() - begin, flush=True)
        """,
        SIMVUE_URL="",
        SIMVUE_TOKEN="",
        SIMVUE_CLOSE_TIMEOUT="4",
    )
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    run = output.split()[0]
    closed, dropped, seconds = output.split("closed ")[1].split()
    assert (closed, dropped) == ("False", "0")
    assert float(seconds) < 6, "its deadline is 4 s"
    assert output.count("nothing more fits on disk") == 1, output
    # Where it lies, and the one command.
    assert str(node.runtime) in output
    assert "simvue ship" in output
    resize(64)
    eventually(lambda: list(node.cache.rglob("*.done")), "the rest is put on disk")
    node.command("ship")
    assert node.steps(run) == list(range(60_000))
    assert node.status(run) == "completed"


def test_a_server_whose_disk_is_full_loses_nothing_that_it_acknowledged(
    tmp_path: Path, disk: Disk
) -> None:
    """What it refuses waits in the node's spool, until somebody has made room."""
    resize = disk(tmp_path / "small", 16)
    server = Server(tmp_path / "small" / "data")
    node = Node(tmp_path, server)
    try:
        process = node.start(
            """
            import random
            run = Run()
            run.config(queue_blocking=True)
            run.init("server-full", no_color=True, timeout=None)
            print(run.id, flush=True)
            for step in range(1_000_000):
                run.log_metrics({"x": random.random(), "y": random.random()}, step=step)
            print("closed", run.close(), run.dropped, flush=True)
            sys.stdin.readline()
            """,
            SIMVUE_INIT_TIMEOUT="20",
            SIMVUE_CLOSE_TIMEOUT="30",
        )
        assert process.stdout is not None
        run = process.stdout.readline().strip()
        while not (line := process.stdout.readline()).startswith("closed"):
            assert line, "it ended before"
        assert line == "closed True 0\n"
        room = os.statvfs(tmp_path / "small")
        assert room.f_bavail * room.f_frsize < 1 << 20, "16 MiB are too few for the server"
        assert list((node.cache / "spool").glob("*.open"))
        resize(512)
        eventually(lambda: node.status(run) == "completed", "the rest is sent")
        assert node.steps(run) == list(range(1_000_000))
        process.communicate("\n")
    finally:
        node.close()
        server.kill()
