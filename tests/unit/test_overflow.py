"""Where memory has no room: segments lie in ``$TMPDIR``, found and removed as all others are."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from fix_disk import Disk
from fix_queue import Shipper

from simvue.inspection import examine_debts
from simvue.queue import Queue
from simvue.runtime import Process, Runtime, parse_segment_name, remove_process, this_process
from simvue.wire import new_id

RUN = "R" * 22
ROW = b"\xc5\x0f\xfd" + bytes(4093)
"""A row of 4 KiB."""


class Memory:
    """A runtime directory on 1 MiB of memory, and a ``$TMPDIR`` elsewhere."""

    def __init__(self, runtime: Runtime, temporary: Path) -> None:
        self.runtime = runtime
        self.temporary = temporary

    @property
    def segments(self) -> list[str]:
        """The names of all segments, wherever they lie."""
        return [name for name in self.runtime.names() if parse_segment_name(name)]

    @property
    def overflow(self) -> Path:
        """Where segments lie that memory does not hold."""
        return self.temporary / f"simvue-{os.getuid()}"

    @property
    def overflowed(self) -> list[Path]:
        """The segments there."""
        return list(self.overflow.glob("*.overflow"))

    def fill(self, left: int = 0) -> None:
        """Leave nothing of the memory, or *left* bytes."""
        (Path(self.runtime.path) / "filler").write_bytes(bytes(self.free - left))

    @property
    def free(self) -> int:
        """How many bytes nobody has."""
        about = os.statvfs(self.runtime.path)
        return about.f_bavail * about.f_frsize


@pytest.fixture
def memory(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Memory:
    """A small memory, which this process begins to use."""
    disk(tmp_path / "memory", 1)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("SIMVUE_RUNTIME_DIRECTORY", str(tmp_path / "memory"))
    monkeypatch.setattr("simvue.runtime._process", None)
    return Memory(this_process().runtime, tmp_path / "tmp")


def in_a_child(act: Callable[[], object]) -> int:
    """Fork, run *act* in the child to its end; return how it ended."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]


def test_rows_beyond_memory_are_taken_found_and_removed(memory: Memory) -> None:
    made = Queue(RUN, "metrics", size_max=4 << 20, policy="drop")
    for _ in range(500):
        assert made.stream.write(ROW)
    assert made.stream.dropped == 0
    # Half of a memory of 1 MiB takes the first of 256 KiB, and no second of 512 KiB.
    assert len(memory.segments) == len(memory.overflowed) + 1 == 4
    (debt,) = examine_debts(memory.runtime)
    assert debt.rows == 500
    shipper = Shipper(memory.runtime, made.writer)
    assert shipper.ship() == [ROW[3:]] * 500
    shipper.intake.remove()
    assert memory.segments == []
    assert memory.overflowed == []


def test_half_of_what_is_free_is_left_in_memory_and_in_the_overflow(
    memory: Memory, disk: Disk
) -> None:
    disk(memory.temporary, 8)
    made = Queue(RUN, "metrics", policy="drop")
    while made.stream.write(ROW):
        pass
    assert memory.free >= 512 << 10
    about = os.statvfs(memory.temporary)
    assert about.f_bavail * about.f_frsize >= 4 << 20
    # Of 512 KiB, 1 MiB and 2 MiB; the next would be one of 4 MiB.
    assert len(memory.overflowed) == 3
    assert made.stream.dropped == 1


def test_a_process_begins_though_memory_is_full(memory: Memory) -> None:
    """A name and a link take none of it."""
    memory.fill()
    entry = Process(memory.runtime)
    assert f"{entry.id}.alive" in memory.runtime.names()
    made = Queue(RUN, "calls", policy="drop")
    assert made.stream.write(ROW)
    assert len(memory.overflowed) == len(memory.segments) == 1
    assert Shipper(memory.runtime, made.writer).ship() == [ROW[3:]]


def test_the_overflow_is_as_private_as_the_runtime_directory(memory: Memory) -> None:
    memory.fill()
    before = os.umask(0)
    try:
        assert memory.runtime.make_segment("a.seg", 4096) is not None
    finally:
        os.umask(before)
    assert stat.S_IMODE(memory.overflow.stat().st_mode) == 0o700
    (file,) = memory.overflowed
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("bait", ["open to all", "a link"])
def test_an_overflow_that_a_stranger_may_have_made_is_not_used(memory: Memory, bait: str) -> None:
    """Where somebody holds the name, a random one is taken, as with the runtime directory."""
    # For a link to so long a path.
    memory.fill(left=4096)
    (memory.temporary / "theirs").mkdir(mode=0o700)
    if bait == "a link":
        memory.overflow.symlink_to("theirs")
    else:
        memory.overflow.mkdir()
        memory.overflow.chmod(0o777)
    assert memory.runtime.make_segment("a.seg", 4096) is not None
    assert memory.overflowed == []
    (own,) = memory.temporary.glob(f"simvue-{os.getuid()}-*/*.overflow")
    assert stat.S_IMODE(own.parent.stat().st_mode) == 0o700
    assert memory.runtime.map_segment("a.seg") is not None
    # Nor is a link followed to a directory that others may enter by now.
    own.parent.chmod(0o755)
    assert memory.runtime.map_segment("a.seg") is None


def test_a_temporary_directory_in_the_same_memory_is_no_help(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take half of what is left, and half of that, until nothing is."""
    monkeypatch.setenv("TMPDIR", memory.runtime.path)
    made = Queue(RUN, "metrics", policy="drop")
    while made.stream.write(ROW):
        pass
    assert len(memory.segments) == 1
    assert memory.free >= 512 << 10


def test_a_temporary_directory_that_is_gone_costs_no_more_than_drops(memory: Memory) -> None:
    """A batch system removes it with the job; what is mapped stays, and nothing raises."""
    made = Queue(RUN, "metrics", policy="drop")
    for _ in range(100):
        assert made.stream.write(ROW)
    shipper = Shipper(memory.runtime, made.writer)
    assert len(memory.overflowed) == 1
    shutil.rmtree(memory.temporary)
    # Who comes later does not find it, and finds the rest.
    assert len(Shipper(memory.runtime, made.writer).intake.names) == 1
    while made.stream.write(ROW):
        pass
    assert len(shipper.ship()) == made.stream.next_row
    assert made.stream.write(ROW)
    shipper.intake.remove()
    assert memory.segments == []


def test_what_a_process_was_killed_over_is_removed_with_its_entry(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies when the file is made, and nobody has seen its name."""
    memory.fill()

    def die() -> None:
        entry = this_process()
        monkeypatch.setattr(os, "rename", lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        entry.runtime.make_segment(f"{entry.id}.{RUN}.metrics.{new_id()}.0.seg", 4096)

    assert in_a_child(die) == signal.SIGKILL
    (dead,) = {name[:22] for name in memory.runtime.names()} - {this_process().id, "filler"}
    assert len(memory.overflowed) == 1
    assert memory.segments == []
    remove_process(memory.runtime, dead)
    assert memory.overflowed == []
    assert sorted(memory.runtime.names()) == sorted([f"{this_process().id}.alive", "filler"])
