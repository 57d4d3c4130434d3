"""The shared queue: who may use a runtime directory, what a full queue does, who is alive."""

from __future__ import annotations

import contextlib
import math
import mmap
import multiprocessing
import os
import resource
import shutil
import signal
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fix_queue import Shipper

from simvue import queue
from simvue._batch import SEGMENT_HEADER_SIZE, Stream, Writer
from simvue.exception import ConfigurationError, InvalidValueError
from simvue.queue import SEGMENT_SIZE_FIRST, Queue
from simvue.runtime import (
    Process,
    Runtime,
    is_alive,
    list_processes,
    parse_segment_name,
    remove_process,
    this_process,
)
from simvue.wire import new_id

RUN = "R" * 22
# A row as a call writes it; nothing here looks into it.
ROW = b"\xaasome bytes"
LARGE = b"\xc6" + (99_995).to_bytes(4, "big") + b"x" * 99_995


def segments(runtime: Runtime) -> list[str]:
    return sorted(name for name in runtime.names() if name.endswith(".seg"))


def sizes(runtime: Runtime) -> list[int]:
    """The sizes of all segments, in the order of their making."""
    names = sorted(segments(runtime), key=lambda name: int(name.split(".")[-2]))
    return [os.stat(name, dir_fd=runtime.fd).st_size for name in names]


def fill(stream: Stream, row: bytes = LARGE) -> int:
    """Write rows until one is dropped; return how many were taken."""
    count = 0
    while stream.write(row):
        count += 1
    return count


@pytest.fixture
def full(runtime: Runtime) -> Queue:
    """A queue of 768 KiB in two segments, whose next row has no room."""
    made = Queue(RUN, "metrics", size_max=800 << 10, policy="drop")
    assert fill(made.stream) == 7
    made.policy = "wait"
    return made


@contextlib.contextmanager
def alarm(every_s: float, act: Callable[[], object]) -> Iterator[None]:
    """Do *act* in this thread every so many seconds, within whatever waits."""
    before = signal.signal(signal.SIGALRM, lambda *_: act())
    signal.setitimer(signal.ITIMER_REAL, every_s, every_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Have no file grow beyond *size* bytes: a limit that stands for a file system without room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def in_a_child(act: Callable[[], object]) -> None:
    """Fork, run *act* in the child, and assert that it went well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


# ---- The runtime directory ----------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o500, 0o777])
def test_a_directory_that_others_can_enter_is_refused(tmp_path, monkeypatch, mode):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(mode)
    monkeypatch.setenv("SIMVUE_RUNTIME_DIRECTORY", str(tmp_path / "open"))
    with pytest.raises(ConfigurationError, match=f"not yours alone .*mode {mode:o}"):
        Runtime.open()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else_is_refused(tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", 12345, 12345)
    monkeypatch.setenv("SIMVUE_RUNTIME_DIRECTORY", str(tmp_path / "theirs"))
    with pytest.raises(ConfigurationError, match="owner 12345"):
        Runtime.open()


def test_a_link_a_file_and_a_missing_parent_are_refused(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    for name in ("link", "file", "missing/directory"):
        monkeypatch.setenv("SIMVUE_RUNTIME_DIRECTORY", str(tmp_path / name))
        with pytest.raises(ConfigurationError, match=name):
            Runtime.open()


@pytest.fixture
def other_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The plain path of a user who does not exist, so that no real directory is touched."""
    uid = 4_000_000_000 + os.getpid()
    monkeypatch.delenv("SIMVUE_RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: uid)
    parents = [Path(parent) for parent in ("/dev/shm", str(tmp_path)) if os.access(parent, os.W_OK)]
    yield str(parents[0] / f"simvue-{uid}")
    for parent in parents:
        for path in parent.glob(f"simvue-{uid}*"):
            shutil.rmtree(path)


def test_without_a_setting_the_directory_is_the_users_own(other_user):
    first, second = Runtime.open(), Runtime.open()
    assert first.path == second.path == other_user
    assert stat.S_IMODE(os.stat(other_user).st_mode) == 0o700


def test_where_a_stranger_holds_the_name_a_random_one_is_remembered(other_user):
    os.mkdir(other_user, 0o755)
    first, second = Runtime.open(), Runtime.open()
    assert first.path == second.path
    assert first.path.startswith(f"{other_user}-")
    assert len(first.path) == len(other_user) + 1 + 22


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_are_private_whatever_the_umask(tmp_path, monkeypatch, umask):
    monkeypatch.setenv("SIMVUE_RUNTIME_DIRECTORY", str(tmp_path / "mine"))
    before = os.umask(umask)
    try:
        runtime = Runtime.open()
        process = Process(runtime)
        assert runtime.make_segment("a.seg", 4096) is not None
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(runtime.path).st_mode) == 0o700
    assert sorted(runtime.names()) == sorted(["a.seg", f"{process.id}.alive"])
    for name in runtime.names():
        assert stat.S_IMODE(os.stat(name, dir_fd=runtime.fd).st_mode) == 0o600


def test_every_file_is_reached_through_the_directory_that_was_opened(runtime):
    """Somebody who puts another directory in its place gets nothing."""
    os.rename(runtime.path, runtime.path + "-moved")
    os.mkdir(runtime.path, 0o700)
    assert not runtime.is_there
    assert runtime.make_segment("a.seg", 4096) is not None
    assert runtime.has("a.seg")
    assert os.listdir(runtime.path) == []


def test_what_is_no_segment_of_ours_is_not_mapped(runtime, tmp_path):
    directory = Path(runtime.path)
    (directory / "empty").touch()
    (directory / "short").write_bytes(bytes(SEGMENT_HEADER_SIZE))
    (directory / "zeros").write_bytes(bytes(4096))
    segment = runtime.make_segment("good", 4096)
    newer = bytearray((directory / "good").read_bytes())
    newer[4] += 1
    (directory / "newer").write_bytes(newer)
    (directory / "link").symlink_to("good")
    (directory / "directory").mkdir()
    assert segment.is_whole
    assert runtime.map_segment("good").capacity == 4096 - SEGMENT_HEADER_SIZE
    for name in ("empty", "short", "zeros", "newer", "gone"):
        assert runtime.map_segment(name) is None
    if os.geteuid() == 0:
        os.chown(directory / "good", 12345, 12345)
        assert runtime.map_segment("good") is None


def test_a_segment_that_the_disk_does_not_hold_is_not_made(runtime):
    """It would be the end by SIGBUS at a store."""
    with files_of_at_most(100_000):
        assert runtime.make_segment("a.seg", 200_000) is None
    assert "a.seg" not in runtime.names()
    assert "a.seg.new" not in runtime.names()
    assert not runtime.has_room(1 << 60)
    assert runtime.make_segment("a.seg", 1 << 60) is None


def test_names_say_what_a_file_is_and_strangers_names_say_nothing():
    process, writer = new_id(), new_id()
    for kind in ("metrics", "events", "calls"):
        name = f"{process}.{RUN}.{kind}.{writer}.12.seg"
        assert parse_segment_name(name) == (process, RUN, kind, writer)
    for name in (f"{process}.alive", "shipper.sock", f"{process}.{RUN}.metrics.{writer}.0.seg.new",
                 f"{process}.{RUN}.other.{writer}.0.seg", ".seg", ""):  # fmt: skip
        assert parse_segment_name(name) is None


# ---- Alive --------------------------------------------------------------------------------


def test_a_process_is_alive_until_it_is_killed_whatever_it_forked(runtime):
    """The lock goes with the process, and is not its child's."""
    to_parent, from_child = os.pipe()
    keep_open, release = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(release)
        identifier = this_process().id
        if os.fork() == 0:
            # The grandchild outlives its parent, until the test lets it go.
            os.read(keep_open, 1)
            os._exit(0)
        os.write(from_child, identifier.encode())
        signal.pause()
    os.close(keep_open)
    identifier = os.read(to_parent, 22).decode()
    try:
        assert is_alive(runtime, identifier)
        # To have asked does not end it.
        assert is_alive(runtime, identifier)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert not is_alive(runtime, identifier)
    assert set(list_processes(runtime)) == {identifier, this_process().id}
    remove_process(runtime, identifier)
    assert list_processes(runtime) == [this_process().id]
    for fd in (to_parent, from_child, release):
        os.close(fd)


def test_a_process_that_asks_after_itself_stays_alive(runtime):
    """Closing a second descriptor of its own file would drop its lock."""
    own = this_process().id
    assert is_alive(runtime, own)

    def look() -> None:
        assert is_alive(runtime, own)
        assert this_process().id != own
        assert this_process().pid == os.getpid()

    in_a_child(look)
    assert is_alive(runtime, own)
    assert not is_alive(runtime, new_id())


def test_a_process_says_its_pid_to_people(runtime):
    assert Path(runtime.path, f"{this_process().id}.alive").read_text() == f"{os.getpid()}\n"
    assert this_process() is this_process()


# ---- Segments -----------------------------------------------------------------------------


def test_the_header_lies_in_the_file_as_the_page_says(runtime):
    """Field by field: whoever reads a core dump, or writes a reader in another language."""
    made = Queue(RUN, "metrics", size_max=800 << 10, policy="drop")
    count = fill(made.stream)
    for _ in range(2):
        made.stream.write(LARGE)
    # Three, and the one that ended the filling.
    first, second = (runtime.map_segment(name) for name in segments(runtime))
    first.ship(1, len(LARGE))

    def fields(name: str) -> tuple[int, ...]:
        head = Path(runtime.path, name).read_bytes()[:SEGMENT_HEADER_SIZE]
        found = struct.unpack("<IIQQQQI4xQ8xQQI44x", head)
        assert len(head) == struct.calcsize("<IIQQQQI4xQ8xQQI44x") == 128
        return found

    assert fields(segments(runtime)[0]) == (
        int.from_bytes(b"vSeg", "little"), 1, 1, 0, 2 << 32 | 2 * len(LARGE), 0, 0, 1,
        1 << 32 | len(LARGE), 0, 0,
    )  # fmt: skip
    assert fields(segments(runtime)[1]) == (
        int.from_bytes(b"vSeg", "little"), 1, 2, 2, (count - 2) << 32 | (count - 2) * len(LARGE),
        3, 0, 2, 0, 0, 0,
    )  # fmt: skip
    assert (first.number, first.first_row, first.published) == (1, 0, (2, 2 * len(LARGE)))
    assert (first.shipped, first.returned, first.dropped) == ((1, len(LARGE)), 0, 0)
    assert (second.number, second.first_row, second.sealed, second.dropped) == (2, 2, 2, 3)
    first.ship(2, 2 * len(LARGE))
    first.hand_back()
    assert fields(segments(runtime)[0])[8:10] == (0, 1)


def test_segments_double_from_256_kib_to_4_mib_up_to_the_bound(runtime):
    made = Queue(RUN, "metrics", size_max=16 << 20, policy="drop")
    fill(made.stream)
    *doubled, rest = (size >> 10 for size in sizes(runtime))
    assert doubled == [256, 512, 1024, 2048, 4096, 4096, 4096]
    # What the headers leave of the bound, in whole pages.
    assert sum(doubled) + rest <= (16 << 10) + 4
    assert made.stream.dropped == 1
    for kind in ("events", "calls"):
        made = Queue(RUN, kind, size_max=400 << 10, policy="drop")
        fill(made.stream, ROW)
    assert [size >> 10 for size in sizes(runtime)][:2] != [256, 256]
    assert sum(size == 64 << 10 for size in sizes(runtime)) == 2


def test_a_rank_that_logs_at_1_khz_stays_under_1_mib(runtime):
    """Twenty seconds of five metrics, flushed once a second, beside its calls."""
    metrics, events, calls = (Queue(RUN, kind) for kind in SEGMENT_SIZE_FIRST)
    writer = Writer()
    writer._attach(metrics.stream, events.stream)
    calls.stream.write(ROW)
    row = {"residual/Ux": 0.1, "residual/Uy": 0.2, "residual/p": 0.3, "continuity": 1.0, "dt": 1e-3}
    for step in range(1000):
        writer.log_metrics(row, step=step)
    shipper = Shipper(runtime, metrics.writer)
    assert len(shipper.ship()) == 1000
    for second in range(1, 20):
        for step in range(1000 * second, 1000 * second + 1000):
            assert writer.log_metrics(row, step=step)
        assert len(shipper.ship()) == 1000
    assert sum(sizes(runtime)) <= 1 << 20
    assert metrics.stream.next_row == 20_000
    assert shipper.intake.is_settled(20_000)


def test_the_largest_free_segment_is_filled_first(full, runtime):
    shipper = Shipper(runtime, full.writer)
    capacities = []
    for _ in range(6):
        shipper.ship()
        number = full.stream.number
        while full.stream.number == number:
            assert full.stream.write(LARGE)
        capacities.append(full.stream.segment.capacity + SEGMENT_HEADER_SIZE >> 10)
    # After the first time one of the two is always still to come back.
    assert capacities == [512, 256, 512, 256, 512, 256]
    assert len(segments(runtime)) == 2


def test_a_large_first_row_gets_a_segment_of_its_size(runtime):
    made = Queue(RUN, "events")
    row = b"\xc6" + (5 << 20).to_bytes(4, "big") + bytes(5 << 20)
    assert made.stream.write(row) is True
    (size,) = sizes(runtime)
    assert 5 << 20 < size < (5 << 20) + 16_384
    assert size % mmap.PAGESIZE == 0
    with pytest.raises(InvalidValueError, match="over the limit"):
        made.stream.write(bytes(64 << 20))


# ---- A full queue -------------------------------------------------------------------------


def test_drop_never_waits_and_counts(full, runtime, caplog):
    full.policy = "drop"
    begun = time.monotonic()
    assert [full.stream.write(LARGE) for _ in range(100)] == [False] * 100
    # A hundred waits would be 100 s.
    assert time.monotonic() - begun < 1
    assert full.stream.dropped == 101
    assert Shipper(runtime, full.writer).intake.dropped == 101
    assert full.stream.next_row == 7
    # Said once, however many.
    said = [*caplog.get_records("setup"), *caplog.records]
    assert [record.getMessage().split(":")[0] for record in said] == [f"run {RUN}"]


@pytest.mark.parametrize("policy", ["drop", "wait"])
@pytest.mark.parametrize("mib", [1, 64])
def test_a_dropped_row_costs_a_microsecond_or_two(runtime, policy, mib):
    """At its bound, with two segments and with many: it is memory that is asked, not the system."""
    made = Queue(RUN, "metrics", size_max=mib << 20, policy=policy, wait_ms_max=0)
    fill(made.stream, LARGE)
    assert made.stream.next_row * len(LARGE) > (mib << 20) * 0.7
    # Measured 35 and 60; to ask each time is 290 and 370.
    assert in_empty_calls(lambda: made.stream.write(ROW)) < 140


def test_a_row_that_the_file_system_refuses_costs_no_more(runtime):
    """Below its bound a queue could grow, and would ask with each row: 1,000 empty calls."""
    made = Queue(RUN, "metrics", policy="drop")
    with files_of_at_most(1 << 20):
        fill(made.stream)
        assert in_empty_calls(lambda: made.stream.write(ROW)) < 140


def in_empty_calls(act: Callable[[], object]) -> float:
    """Return how many empty calls *act* costs: the least of many loops of each, taken in turn."""
    least = {act: math.inf, _empty: math.inf}
    for _ in range(100):
        for call in least:
            begun = time.perf_counter()
            for _ in range(500):
                call()
            least[call] = min(least[call], time.perf_counter() - begun)
    return least[act] / least[_empty]


def _empty() -> None:
    pass


def test_a_row_is_taken_the_moment_a_segment_comes_back(full, runtime):
    shipper = Shipper(runtime, full.writer)
    full.policy = "drop"
    for _ in range(3):
        assert full.stream.write(LARGE) is False
        shipper.ship()
        for _ in range(2):
            assert full.stream.write(LARGE) is True
        fill(full.stream)


def test_a_small_row_finds_the_room_that_a_large_one_did_not(runtime):
    made = Queue(RUN, "events", policy="drop")
    made.stream.write(ROW)
    with files_of_at_most(1 << 20):
        assert made.stream.write(bytes(2 << 20)) is False
        assert made.stream.write(ROW) is True
        assert made.stream.write(bytes(2 << 20)) is False


def test_wait_ends_as_soon_as_a_segment_comes_back(full, runtime):
    shipper = Shipper(runtime, full.writer)
    full.wait_ms_max = 60_000
    with alarm(0.01, shipper.ship):
        assert full.stream.write(LARGE) is True
    assert full.stream.dropped == 1
    # The row that did not fit when the queue was filled took no number.
    assert full.stream.next_row == 8


def test_wait_goes_on_while_the_shipper_makes_progress(full, runtime):
    """Twelve steps 10 ms apart, each within the 60 ms that it waits for one."""
    shipper = Shipper(runtime, full.writer)
    second = runtime.map_segment(segments(runtime)[1])
    steps = iter(range(1, 13))

    def ship_a_bit() -> None:
        step = next(steps, None)
        if step is None:
            shipper.ship()
        else:
            second.ship(0, step)

    full.wait_ms_max = 60
    with alarm(0.01, ship_a_bit):
        assert full.stream.write(LARGE) is True
    assert next(steps, None) is None


def test_wait_without_progress_ends_and_is_not_paid_again(full, runtime):
    stalls = []
    made = Queue(
        RUN, "metrics", size_max=800 << 10, wait_ms_max=30, on_stall=lambda: stalls.append(True)
    )
    begun = time.monotonic()
    assert fill(made.stream) == 7
    assert time.monotonic() - begun >= 0.03
    assert [made.stream.write(LARGE) for _ in range(50)] == [False] * 50
    assert stalls == [True]
    assert made.stream.dropped == 51
    # Once the shipper is back, so is the patience.
    assert len(Shipper(runtime, made.writer).ship()) == 7
    assert fill(made.stream) > 0
    assert stalls == [True, True]


def test_waiting_without_bound_tells_of_every_stall(full, runtime, monkeypatch):
    monkeypatch.setattr(queue, "WAIT_MS_MAX", 10)
    shipper = Shipper(runtime, full.writer)
    stalls: list[int] = []

    def note() -> None:
        stalls.append(len(stalls))
        if len(stalls) == 5:
            shipper.ship()

    made = Queue(RUN, "metrics", size_max=800 << 10, wait_ms_max=math.inf, on_stall=note)
    for _ in range(7):
        assert made.stream.write(LARGE)
    shipper = Shipper(runtime, made.writer)
    assert made.stream.write(LARGE) is True
    assert stalls == list(range(5))
    assert made.stream.dropped == 0


def test_a_signal_handler_may_log_while_its_thread_waits(full, runtime):
    shipper = Shipper(runtime, full.writer)
    logged: list[bool] = []

    def log_and_ship() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        shipper.ship()
        logged.append(full.stream.write(ROW))

    full.wait_ms_max = 60_000
    with alarm(0.01, log_and_ship):
        assert full.stream.write(LARGE) is True
    assert logged == [True]
    assert [len(row) for row in shipper.ship()] == [len(ROW) - 1, len(LARGE) - 5]
    assert full.stream.dropped == 1


def test_threads_that_wait_all_go_on(full, runtime):
    shipper = Shipper(runtime, full.writer)
    full.wait_ms_max = 60_000
    results: list[bool] = []
    workers = [
        threading.Thread(target=lambda: results.append(full.stream.write(ROW))) for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    rows = len(shipper.ship())
    for worker in workers:
        worker.join()
    rows += len(shipper.ship())
    assert results == [True] * 8
    assert rows == full.stream.next_row == 7 + 8


# ---- Forks --------------------------------------------------------------------------------


def test_a_forked_child_writes_as_a_new_writer_and_leaves_its_parents_rows(runtime):
    made = Queue(RUN, "metrics")
    for row in (b"\x01", b"\x02", b"\x03"):
        made.stream.write(row)
    before = {name: Path(runtime.path, name).read_bytes() for name in segments(runtime)}
    writer = made.writer

    def write() -> None:
        assert made.mark == (writer, 0)
        assert not made.owed
        assert made.stream.write(b"\x04")
        assert made.stream.next_row == 1
        assert made.mark[0] != writer
        assert made.owed

    in_a_child(write)
    for name, content in before.items():
        assert Path(runtime.path, name).read_bytes() == content
    (new,) = set(segments(runtime)) - set(before)
    process, run, kind, child = parse_segment_name(new)
    assert (run, kind) == (RUN, "metrics")
    assert child != writer
    assert process != this_process().id
    assert not is_alive(runtime, process)
    assert Shipper(runtime, child).ship() == [4]
    # The parent goes on where it was.
    made.stream.write(b"\x05")
    assert made.mark == (writer, 4)
    assert Shipper(runtime, writer).ship() == [1, 2, 3, 5]


def test_a_grandchild_and_a_second_child_are_writers_of_their_own(runtime):
    metrics, events = Queue(RUN, "metrics"), Queue(RUN, "events")
    writer = Writer()
    writer._attach(metrics.stream, events.stream)
    writer.log_metrics({"parent": 0.0})

    def log(name: str, inner: Callable[[], None] = lambda: None) -> None:
        for _ in range(3):
            assert writer.log_metrics({name: 1.0})
        inner()
        assert writer.log_metrics({name: 2.0})

    in_a_child(lambda: log("child", lambda: in_a_child(lambda: log("grandchild"))))
    in_a_child(lambda: log("second"))
    writer.log_metrics({"parent": 9.0})
    found = {}
    for name in segments(runtime):
        process, _, _, number = parse_segment_name(name)
        rows = Shipper(runtime, number).ship()
        found[process, number] = [dict(row["values"]) for row in rows]
    assert sorted(map(str, found.values())) == sorted(
        str([{name: value} for value in values])
        for name, values in (
            ("parent", [0.0, 9.0]), ("child", [1.0, 1.0, 1.0, 2.0]),
            ("grandchild", [1.0, 1.0, 1.0, 2.0]), ("second", [1.0, 1.0, 1.0, 2.0]),
        )
    )  # fmt: skip
    assert len({process for process, _ in found}) == 4


def test_workers_of_multiprocessing_lose_nothing(runtime):
    made = Queue(RUN, "metrics")
    made.stream.write(b"\x00")
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_write_rows, args=(made, number), daemon=True) for number in (1, 2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    found = sorted(
        Shipper(runtime, writer).ship()
        for writer in {parse_segment_name(name)[3] for name in segments(runtime)}
    )
    assert found == [[0], [1] * 1000, [2] * 1000]


def _write_rows(made: Queue, number: int) -> None:
    for _ in range(1000):
        assert made.stream.write(bytes([number]))


def test_a_child_forked_while_a_thread_rolls_can_roll(full, runtime):
    """The lock that the thread held is not held in the child."""
    shipper = Shipper(runtime, full.writer)
    full.wait_ms_max = 60_000
    waiting = threading.Thread(target=full.stream.write, args=(ROW,))
    waiting.start()

    def write() -> None:
        signal.alarm(20)
        assert full.stream.write(ROW)

    in_a_child(write)
    shipper.ship()
    waiting.join()


# ---- The directory goes --------------------------------------------------------------------


def test_a_writer_whose_directory_is_removed_moves_house(runtime):
    """As RemoveIPC does at a log-out: the old rows stay readable to whoever has them mapped."""
    made = Queue(RUN, "metrics", policy="drop")
    made.stream.write(b"\x01")
    old = Shipper(runtime, made.writer)
    shutil.rmtree(runtime.path)
    while len(made.stream.segment.copy(b"", 0, 1)) and made.stream.number == 1:
        assert made.stream.write(LARGE)
    new = this_process().runtime
    assert (new.path, new.is_there, runtime.is_there) == (runtime.path, True, False)
    assert len(segments(new)) == 1
    assert made.owed
    ahead = Shipper(new, made.writer)
    rows = ahead.take()
    # Numbered on: the server knows each row by its number.
    assert rows[0].first == made.stream.segment.first_row == made.stream.next_row - 1
    for piece in (*rows, *old.take()):
        piece.done = True
    ahead.intake.settle()
    assert made.owed
    old.intake.settle()
    assert not made.owed


def test_a_full_queue_moves_house_too_though_it_drops(full, runtime):
    """It looks again every few hundredths of a second."""
    full.policy = "drop"
    assert full.stream.write(LARGE) is False
    shutil.rmtree(runtime.path)
    taken_again_soon(full.stream)
    assert len(segments(this_process().runtime)) == 1
    assert full.mark[1] == 8


def taken_again_soon(stream: Stream) -> None:
    """Write until a row is taken, for as long as a writer takes no for an answer."""
    again = time.monotonic() + queue.ASK_AGAIN_S
    due = False
    while not stream.write(LARGE):
        assert not due, "it asks again by then"
        due = time.monotonic() >= again


# ---- The shipper's side ---------------------------------------------------------------------


@pytest.fixture
def made(runtime: Runtime) -> Queue:
    """A queue that holds one row."""
    made = Queue(RUN, "metrics", size_max=800 << 10, policy="drop")
    made.stream.write(b"\x01")
    return made


@pytest.fixture
def shipper(made: Queue, runtime: Runtime) -> Shipper:
    """The shipper's side of ``made``."""
    return Shipper(runtime, made.writer)


def roll(made: Queue, shipper: Shipper) -> None:
    """Fill the segment and begin another, which the shipper sees."""
    number = made.stream.number
    while made.stream.number == number:
        assert made.stream.write(LARGE)
    shipper.adopt()


def head(count: int) -> bytes:
    return b"%d:" % count


def test_rows_are_due_when_the_oldest_has_waited(made, shipper):
    reader = shipper.intake
    assert list(reader.take(10.0, 1.0, 1000, head)) == []
    assert reader.since == 10.0
    made.stream.write(b"\x02")
    assert list(reader.take(10.9, 1.0, 1000, head)) == []
    (piece,) = reader.take(11.0, 1.0, 1000, head)
    assert (piece.first, piece.end, piece.body) == (0, 2, b"2:\x01\x02")
    assert reader.since is None
    # The next row came at some time after the last one was taken.
    made.stream.write(b"\x03")
    assert list(reader.take(11.9, 1.0, 1000, head)) == []
    assert reader.since == 11.0
    (piece,) = reader.take(12.0, 1.0, 1000, head)
    assert (piece.first, piece.end, piece.body) == (2, 3, b"1:\x03")


def test_rows_are_due_at_once_when_they_are_many_or_sealed(made, shipper):
    reader = shipper.intake
    assert list(reader.take(0.0, 1.0, 3, head)) == []
    made.stream.write(b"\x02\x02")
    (piece,) = reader.take(0.0, 1.0, 3, head)
    assert piece.body == b"2:\x01\x02\x02"
    roll(made, shipper)
    (sealed,) = reader.take(0.0, 1.0, 1 << 30, head)
    assert (sealed.first, sealed.end) == (2, made.stream.segment.first_row)
    assert reader.since == 0.0


def test_rows_are_safe_in_their_order_though_answers_are_not(made, shipper):
    reader = shipper.intake
    (first,) = reader.take(0.0, 0.0, 1, head)
    made.stream.write(b"\x02\x02")
    (second,) = reader.take(0.0, 0.0, 1, head)
    assert reader.waiting() == [first, second]
    second.done = True
    reader.settle()
    assert made.stream.segment.shipped == (0, 0)
    assert [reader.is_settled(row) for row in range(3)] == [True, False, False]
    assert reader.waiting() == [first]
    assert reader.owed
    assert made.owed
    first.done = True
    assert reader.settle() is True
    assert made.stream.segment.shipped == (2, 3)
    assert reader.is_settled(2)
    assert reader.settle() is False
    assert not reader.owed
    assert not made.owed
    # The latest filling stays the writer's.
    assert not made.stream.segment.is_free


def test_a_sealed_filling_is_handed_back_when_all_of_it_is_safe(made, shipper):
    reader = shipper.intake
    sealed = made.stream.segment
    roll(made, shipper)
    pieces = list(reader.take(0.0, 0.0, 1, head))
    reader.settle()
    assert not sealed.is_free
    pieces[-1].done = True
    reader.settle()
    assert not sealed.is_free
    assert not reader.is_settled(1)
    for piece in pieces:
        piece.done = True
    reader.settle()
    assert sealed.is_free
    assert not made.stream.segment.is_free
    assert reader.is_settled(made.stream.next_row)
    assert reader.waiting() == []


def test_a_new_shipper_sends_again_what_was_on_the_way_and_no_more(made, shipper, runtime):
    reader = shipper.intake
    (first,) = reader.take(0.0, 0.0, 1, head)
    first.done = True
    reader.settle()
    made.stream.write(b"\x02")
    assert [piece.body for piece in reader.take(0.0, 0.0, 1, head)] == [b"1:\x02"]
    made.stream.write(b"\x03")
    successor = Shipper(runtime, made.writer).intake
    (again,) = successor.take(0.0, 0.0, 1, head)
    assert (again.first, again.end, again.body) == (1, 3, b"2:\x02\x03")


def test_the_open_call_is_kept_for_a_later_shipper(runtime):
    """It says where a run's rows go, so that the first filling of the calls never comes back."""
    calls = Queue(RUN, "calls", policy="drop")
    calls.stream.write(b"\x01")
    first = calls.stream.segment
    shipper = Shipper(runtime, calls.writer)
    while calls.stream.number < 4:
        assert calls.stream.write(bytes(60_000))
        shipper.ship()
    assert not first.is_free
    assert not shipper.intake.owed
    assert not calls.owed
    assert Shipper(runtime, calls.writer).intake.read_first()[:1] == b"\x01"


def test_a_finished_writer_leaves_no_file_behind(made, shipper, runtime):
    reader = shipper.intake
    fill(made.stream)
    shipper.adopt()
    assert len(reader.names) == 2
    reader.remove()
    assert segments(runtime) == []
    assert reader.names == []
    # What a process still maps stays readable to it.
    assert made.stream.segment.published[0] > 0


# ---- What limits must not do ------------------------------------------------------------------


def test_a_directory_below_one_with_a_group_of_its_own_is_private_enough(tmp_path, monkeypatch):
    """Project file systems set the group bit, and every new directory inherits it."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project").chmod(0o2770)
    monkeypatch.setenv("SIMVUE_RUNTIME_DIRECTORY", str(tmp_path / "project" / "mine"))
    runtime = Runtime.open()
    assert stat.S_IMODE(os.stat(runtime.path).st_mode) & 0o777 == 0o700


def test_a_directory_is_private_even_where_the_umask_forbids_its_owner(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMVUE_RUNTIME_DIRECTORY", str(tmp_path / "mine"))
    before = os.umask(0o777)
    try:
        runtime = Runtime.open()
        assert runtime.make_segment("a.seg", 4096) is not None
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(runtime.path).st_mode) == 0o700


def test_a_relative_directory_is_the_same_wherever_the_simulation_goes(tmp_path, monkeypatch):
    """The shipper works in ``/``, and simulations change into their case's directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMVUE_RUNTIME_DIRECTORY", "mine")
    runtime = Runtime.open()
    monkeypatch.chdir("/")
    assert runtime.is_there
    assert runtime.path == str(tmp_path / "mine")


@pytest.mark.parametrize("size_max", [256 << 10, 300 << 10, 512 << 10, 767 << 10])
def test_the_smallest_buffer_goes_on_while_the_shipper_does(runtime, size_max):
    """The configuration takes 256 KiB: a queue of that size must not come to an end."""
    made = Queue(RUN, "metrics", size_max=size_max, policy="drop")
    made.stream.write(LARGE)
    shipper = Shipper(runtime, made.writer)
    taken = 0
    for _ in range(20):
        assert made.stream.write(LARGE) is True
        taken += len(shipper.ship())
    assert taken == 21
    # One segment to fill and one to ship are the least; more would be more than was allowed.
    # A header each, in whole pages, comes on top.
    assert sum(sizes(runtime)) <= max(size_max, 512 << 10) + mmap.PAGESIZE


def test_a_queue_that_can_have_no_second_segment_goes_on_while_the_shipper_does(runtime):
    made = Queue(RUN, "metrics", policy="drop")
    made.stream.write(LARGE)
    shipper = Shipper(runtime, made.writer)
    with files_of_at_most(1000):
        shipper.ship()
        written = [made.stream.write(LARGE) for _ in range(2)]
        shipper.ship()
        written += [made.stream.write(LARGE) for _ in range(2)]
    assert any(written[2:])


def test_a_large_row_finds_room_though_small_ones_came_before(runtime):
    """A row that does not fit gets a segment of its own size, up to 64 MiB."""
    made = Queue(RUN, "events", size_max=1 << 20, policy="drop")
    made.stream.write(ROW)
    row = b"\xc6" + (2 << 20).to_bytes(4, "big") + bytes(2 << 20)
    assert made.stream.write(row) is True
    shipper = Shipper(runtime, made.writer)
    made.policy, made.wait_ms_max = "wait", 60_000
    with alarm(0.005, shipper.ship):
        for _ in range(5):
            assert made.stream.write(ROW) is True
            assert made.stream.write(row) is True
    # The one of its size is used again.
    assert sum(sizes(runtime)) < 3 << 20


def test_a_process_without_a_descriptor_left_drops_and_counts(runtime):
    """No trouble that is not the caller's raises in somebody's simulation."""
    made = Queue(RUN, "metrics", policy="drop")
    made.stream.write(LARGE)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        written = [made.stream.write(LARGE) for _ in range(5)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert written == [True, False, False, False, False]
    assert made.stream.dropped == 4
    taken_again_soon(made.stream)


def test_a_new_shipper_does_not_take_a_row_for_safe_that_an_older_filling_owes(
    made, shipper, runtime
):
    """Fillings may come back out of order; a call waits for all the rows before it."""
    made.size_max = 4 << 20
    roll(made, shipper)
    roll(made, shipper)
    shipper.take()[1].done = True
    shipper.intake.settle()
    successor = Shipper(runtime, made.writer).intake
    assert successor.is_settled(0)
    assert not successor.is_settled(1)
    assert not successor.is_settled(made.stream.next_row)
