"""The shared queue: one writer's segments in shared memory; make, take, adopt, remove.

::

    the run's process                      the shipper
    Queue.roll   fill the next free one    Intake.take    rows published, not yet taken
       │                                      │
       │  <process>.<run>.<kind>.<writer>.<n>.seg   ── a mapped file, see _batch.pxd
       │  <process>.alive                           ── locked from birth to death
       v                                      v
    Segment.is_free?  <── hand_back ──     Intake.settle  acknowledged, or in the spool

Everything lies in the *runtime directory*, which is the user's own.  What a file is, is
in its name, so a shipper that starts anew learns all from one listing.
docs/design/queue.md draws the states of a segment.
"""

from __future__ import annotations

import fcntl
import logging
import math
import mmap
import os
import re
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

from simvue._batch import Segment, Stream
from simvue.exception import ConfigurationError
from simvue.wire import BODY_SIZE_MAX, new_id

_logger = logging.getLogger("simvue")

Kind = Literal["metrics", "events", "calls"]
ROWS: Final[tuple[Kind, Kind]] = ("metrics", "events")


SEGMENT_SIZE_FIRST: Final[dict[Kind, int]] = {
    # 1.6 s of a rank that logs five metrics at 1 kHz, so two of them last beyond a flush.
    "metrics": 256 << 10,
    # An untouched rank costs at most 1 MiB in all, and these are rarely busy.
    "events": 64 << 10,
    "calls": 64 << 10,
}
SEGMENT_SIZE_MAX: Final = 4 << 20
"""Larger ones gain nothing: measured, 4 x 4 MiB carries 9M points/s, 16 x 1 MiB 6M."""

WAIT_MS_MAX: Final = 1000
"""How long a full queue waits without any progress by the shipper: longer than its flush and
one slow request, shorter than a person's patience with a simulation."""

_WAIT_SLICE_S: Final = 0.0005
"""Half of the shipper's fastest poll, so a freed segment is seen soon and signals are served."""

_SEGMENT_NAME: Final = re.compile(
    r"(?P<process>\w{22})\.(?P<run>\w{22})\."
    r"(?P<kind>metrics|events|calls)\.(?P<writer>\w{22})\.\d+\.seg"
)
_ALIVE_SUFFIX: Final = ".alive"
SOCKET_NAME: Final = "shipper.sock"
LOCK_NAME: Final = "shipper.lock"


# ---- The runtime directory ----------------------------------------------------------


class Runtime:
    """The directory of one user on one node for segments, locks and the shipper's socket.

    Every file is reached through the directory's descriptor, so nobody can swap the path
    under us.  Raises ConfigurationError if no private directory can be had.
    """

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd

    @classmethod
    def open(cls) -> Runtime:
        """Open the user's runtime directory, making it if need be.

        ``SIMVUE_RUNTIME_DIRECTORY``, else ``/dev/shm/simvue-UID``, else ``$TMPDIR/simvue-UID``;
        where a stranger holds that name, a random one that is remembered at home.
        """
        chosen = os.environ.get("SIMVUE_RUNTIME_DIRECTORY")
        if chosen:
            # The shipper works in another directory, and the simulation may change its own.
            return cls._open_own(os.path.abspath(chosen))
        name = f"simvue-{os.getuid()}"
        parents = [p for p in ("/dev/shm", temporary_directory()) if os.access(p, os.W_OK)]
        for parent in parents:
            try:
                return cls._open_own(os.path.join(parent, name))
            except ConfigurationError:
                try:
                    return cls._open_own(os.path.join(parent, _remembered_name(name)))
                except (ConfigurationError, OSError):
                    continue
        raise ConfigurationError(
            f"no private directory can be made under {' or '.join(parents) or '/dev/shm'}; "
            "set SIMVUE_RUNTIME_DIRECTORY to one that only you can write to"
        )

    @classmethod
    def _open_own(cls, path: str) -> Runtime:
        try:
            try:
                os.mkdir(path, 0o700)
                # The umask may have taken bits away; the name is ours, in a sticky directory.
                os.chmod(path, 0o700)
            except FileExistsError:
                pass
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigurationError(f"runtime directory {path}: {error.strerror}") from None
        owner = os.fstat(fd)
        # Only who may do what: a set-group bit is inherited on many project file systems.
        if owner.st_uid != os.geteuid() or stat.S_IMODE(owner.st_mode) & 0o777 != 0o700:
            os.close(fd)
            raise ConfigurationError(
                f"runtime directory {path} is not yours alone (owner {owner.st_uid}, mode "
                f"{stat.S_IMODE(owner.st_mode):o}); remove it or set SIMVUE_RUNTIME_DIRECTORY"
            )
        return cls(path, fd)

    @property
    def is_there(self) -> bool:
        """Whether the path still leads to this directory; a log-out may have cleaned it up."""
        try:
            here, there = os.fstat(self.fd), os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)

    def has_room(self, size: int) -> bool:
        """Whether *size* more bytes leave half of what the file system had free to others."""
        free = os.fstatvfs(self.fd)
        available = free.f_bavail * free.f_frsize
        taken = 0
        for name in self.names():
            try:
                taken += os.stat(name, dir_fd=self.fd).st_size
            except FileNotFoundError:
                continue
        return taken + size <= (available + taken) // 2

    def names(self) -> list[str]:
        """List the directory."""
        return os.listdir(self.fd)

    def has(self, name: str) -> bool:
        """Whether a file of that name is there."""
        try:
            os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            pass

    def make(self, name: str) -> int:
        """Make a file that nobody else can have made, mode 0600 whatever the umask."""
        fd = os.open(
            name,
            os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW,
            0o600,
            dir_fd=self.fd,
        )
        os.fchmod(fd, 0o600)
        return fd

    def make_segment(self, name: str, size: int) -> Segment | None:
        """Make a reserved, pre-faulted and formatted segment; None where it cannot be had."""
        draft = name + ".new"
        try:
            if not self.has_room(size):
                return None
            fd = self.make(draft)
        except OSError:
            return None
        try:
            # Reserved, so that a full tmpfs is an error here and not a SIGBUS at a store.
            os.posix_fallocate(fd, 0, size)
            segment = Segment(
                mmap.mmap(fd, size, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)), name
            )
            segment.format()
            # The name is what the shipper looks for: it appears when the header stands.
            os.rename(draft, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except OSError:
            self.remove(draft)
            return None
        finally:
            os.close(fd)
        return segment

    def map_segment(self, name: str) -> Segment | None:
        """Map a segment that a writer made; None if it is gone or not one of ours."""
        try:
            fd = os.open(name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        try:
            owner = os.fstat(fd)
            if owner.st_uid != os.geteuid() or not stat.S_ISREG(owner.st_mode):
                return None
            try:
                segment = Segment(mmap.mmap(fd, owner.st_size), name)
            except ValueError:
                return None
        finally:
            os.close(fd)
        return segment if segment.is_whole else None


def temporary_directory() -> str:
    """Return ``$TMPDIR``, else ``/tmp``."""
    return os.environ.get("TMPDIR") or "/tmp"


def _remembered_name(name: str) -> str:
    """Return the random directory name that this user took when a stranger held the plain one."""
    home = Path(os.environ.get("XDG_RUNTIME_DIR") or Path.home() / ".simvue")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    memory = home / "simvue-runtime-name"
    try:
        with open(memory, "x", encoding="ascii") as file:
            file.write(f"{name}-{new_id()}")
    except FileExistsError:
        pass
    return memory.read_text(encoding="ascii")


# ---- Alive ---------------------------------------------------------------------------


class Process:
    """This process, alive for as long as the kernel says so.

    A POSIX record lock on its own file: the kernel drops it at any death and a forked child
    does not inherit it.  The descriptor is never closed, as closing any descriptor of the
    file would drop the lock; so there is one of these a process.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.id = new_id()
        self.pid = os.getpid()
        self.runtime = runtime
        self._fd = runtime.make(self.id + ".new")
        fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(self._fd, f"{self.pid}\n".encode())
        # Named once it is locked: a shipper that finds the name finds the lock.
        os.rename(
            self.id + ".new", self.id + _ALIVE_SUFFIX, src_dir_fd=runtime.fd, dst_dir_fd=runtime.fd
        )


_process: Process | None = None
_process_lock = threading.RLock()


def _forget_process() -> None:
    global _process, _process_lock
    _process, _process_lock = None, threading.RLock()


os.register_at_fork(after_in_child=_forget_process)


def this_process() -> Process:
    """Return this process's own entry in the runtime directory; a forked child makes its own."""
    global _process
    with _process_lock:
        if _process is None or _process.pid != os.getpid() or not _process.runtime.is_there:
            _process = Process(Runtime.open())
        return _process


class Starter:
    """The right to start the node's shipper: one process at a time has it.

    The ranks of a job all find none within the same second, and that many interpreters would
    keep the one that is to be from starting.
    """

    def __init__(self, runtime: Runtime) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open("shipper.starting", flags, 0o600, dir_fd=runtime.fd)

    def is_ours(self) -> bool:
        """Take the right if nobody has it; the kernel takes it back at any death."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give the right back."""
        os.close(self._fd)


def is_alive(runtime: Runtime, process: str) -> bool:
    """Ask the kernel whether the process that wrote ``<process>.alive`` still lives."""
    if _process is not None and process == _process.id:
        # Closing a second descriptor of our own file would drop our lock.
        return True
    try:
        fd = os.open(process + _ALIVE_SUFFIX, os.O_RDWR | os.O_CLOEXEC, dir_fd=runtime.fd)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(fd)
    return False


# ---- The writer's side -----------------------------------------------------------------


class Queue:
    """One writer's segments: used in turn, growing in number and size up to *size_max* bytes.

    ``stream`` is what rows are written to.  *on_roll* is called when a segment is full,
    *on_stall* when the shipper makes no progress: it may be gone.  After a fork the stream has
    left its parent's segments, and the first roll makes this queue a new writer.
    """

    def __init__(
        self,
        run: str,
        kind: Kind,
        *,
        size_max: int = 64 << 20,
        policy: str = "wait",
        wait_ms_max: float = WAIT_MS_MAX,
        on_roll: Callable[[], object] = lambda: None,
        on_stall: Callable[[], object] = lambda: None,
    ) -> None:
        self.run = run
        self.kind: Kind = kind
        self.size_max = size_max
        self.policy = policy
        self.wait_ms_max = wait_ms_max
        self._on_roll = on_roll
        self._on_stall = on_stall
        self.stream = Stream(self.roll)
        self._begin()

    def _begin(self) -> None:
        self.writer = new_id()
        self._pid = os.getpid()
        self._segments: list[Segment] = []
        # Segments in a directory that someone removed: a shipper that mapped them goes on.
        self._left: list[Segment] = []
        self._made = 0
        self._stalled = False
        self._told = False
        self._rolling = threading.RLock()

    def roll(self, stream: Stream, size: int) -> bool:
        """Put a segment in place that has room for a row of *size* bytes; False: drop the row.

        The only system calls on the road of a row stand here, once a segment.
        """
        if self._pid != os.getpid():
            self._begin()
        with self._rolling:
            if stream.fits(size):
                # Another thread rolled while this one waited for the lock.
                return True
            full = stream.segment
            if stream.seal():
                self._on_roll()
            self._move_house()
            if self._switch(stream, full, size) or self._grow(stream, full, size):
                self._stalled = False
                return True
            if self.policy != "drop" and not self._stalled and self._segments:
                self._stalled = not self._wait(stream, full, size)
                if not self._stalled:
                    return True
        self._tell_of_drops()
        return False

    @property
    def mark(self) -> tuple[str, int]:
        """(writer, the number its next row gets); 0 in a forked child that has not logged yet."""
        return self.writer, self.stream.next_row if self._pid == os.getpid() else 0

    @property
    def owed(self) -> bool:
        """Whether a row of this process is neither acknowledged nor in the spool."""
        if self._pid != os.getpid():
            return False
        return any(segment.owed for segment in (*self._segments, *self._left))

    def _tell_of_drops(self) -> None:
        if not self._told:
            self._told = True
            _logger.warning(
                "run %s: its queue is full and the shipper does not empty it; rows are dropped and "
                "counted until it does",
                self.run,
            )

    def _switch(self, stream: Stream, full: Segment | None, size: int) -> bool:
        # The largest first: a larger body costs less a row.  Equal ones in the order of their
        # making, so that few of them stay warm.
        free = [s for s in self._segments if s.is_free and s.capacity >= size]
        free.sort(key=lambda s: -s.capacity)
        return any(stream.switch(full, segment) for segment in free) or stream.segment is not full

    def _grow(self, stream: Stream, full: Segment | None, size: int) -> bool:
        step = self._size_of_next(size)
        segment = self._make(step) if step else None
        if segment is None:
            return False
        self._segments.append(segment)
        return stream.switch(full, segment) or stream.segment is not full

    def _size_of_next(self, size: int) -> int:
        """Return the size of one more segment for a row of *size* bytes; 0 if none may be."""
        first = SEGMENT_SIZE_FIRST[self.kind]
        total = sum(s.capacity for s in self._segments)
        largest = max((s.capacity for s in self._segments), default=0)
        step = min(2 * largest, SEGMENT_SIZE_MAX) if largest else first
        if len(self._segments) < 2:
            # One to fill and one to ship are the least that goes on.
            step = min(step, max(first, self.size_max - total))
        elif total + first <= self.size_max:
            step = min(step, self.size_max - total)
        elif size <= largest:
            return 0
        # A row that no segment takes gets one of its own size.
        step = min(max(step, size + mmap.PAGESIZE), BODY_SIZE_MAX)
        return -(-step // mmap.PAGESIZE) * mmap.PAGESIZE

    def _make(self, size: int) -> Segment | None:
        try:
            process = this_process()
        except (OSError, ConfigurationError):
            return None
        name = f"{process.id}.{self.run}.{self.kind}.{self.writer}.{self._made}.seg"
        self._made += 1
        return process.runtime.make_segment(name, size)

    def _move_house(self) -> None:
        """Leave segments whose directory someone removed (RemoveIPC at a log-out)."""
        if self._segments and not this_process().runtime.has(self._segments[-1].name):
            self._left = [s for s in (*self._left, *self._segments) if s.owed]
            self._segments = []

    def _wait(self, stream: Stream, full: Segment | None, size: int) -> bool:
        """Wait for a free segment while the shipper makes progress; False when it does not."""
        seen = self._progress()
        patience = min(self.wait_ms_max, WAIT_MS_MAX) / 1000
        deadline = time.monotonic() + patience
        while True:
            time.sleep(_WAIT_SLICE_S)
            if stream.segment is not full or self._switch(stream, full, size):
                return True
            now = self._progress()
            if now != seen:
                seen = now
                deadline = time.monotonic() + patience
            elif time.monotonic() > deadline:
                self._on_stall()
                if self.wait_ms_max < math.inf:
                    return False
                deadline = time.monotonic() + patience

    def _progress(self) -> list[object]:
        return [(s.returned, s.shipped) for s in self._segments]


# ---- The shipper's side ------------------------------------------------------------------


class Piece:
    """Rows of one filling that go out as one body; ``done`` once acknowledged or in the spool."""

    __slots__ = ("body", "done", "end", "first")

    def __init__(self, first: int, end: int, body: bytes) -> None:
        self.first = first
        self.end = end
        self.body = body
        self.done = False


class _Filling:
    """One filling of one segment, and how far the shipper is with it."""

    __slots__ = ("first_row", "number", "pieces", "segment", "taken")

    def __init__(
        self, segment: Segment, number: int, first_row: int, taken: tuple[int, int]
    ) -> None:
        self.segment = segment
        self.number = number
        self.first_row = first_row
        self.taken = taken
        # (piece, rows, bytes) in the order of taking; rows and bytes count from the start.
        self.pieces: deque[tuple[Piece, int, int]] = deque()


class Intake:
    """One writer's segments as the shipper sees them: it alone moves ``shipped`` and ``returned``.

    One thread uses it.  A new shipper begins where ``shipped`` stands: rows that were on the
    way when the old one died go out again, and the server stores them once.
    """

    def __init__(self, runtime: Runtime, process: str, run: str, kind: Kind, writer: str) -> None:
        self.runtime = runtime
        self.process = process
        self.run = run
        self.kind: Kind = kind
        self.writer = writer
        self.since: float | None = None
        """No row that waits was published before this moment of the caller's clock."""
        self._emptied: float | None = None
        """When everything that there was had been taken."""
        self._unsettled = True
        """Whether ``settle`` may find something to do; looking costs more than nothing."""
        self._segments: dict[str, Segment] = {}
        self._fillings: dict[str, _Filling] = {}

    def adopt(self, name: str) -> None:
        """Map one more segment of this writer."""
        if name in self._segments:
            return
        segment = self.runtime.map_segment(name)
        if segment is None:
            return
        self._segments[name] = segment

    @property
    def names(self) -> list[str]:
        """The segments' file names."""
        return list(self._segments)

    @property
    def dropped(self) -> int:
        """Rows the writer lost to a full queue."""
        return max((s.dropped for s in self._segments.values()), default=0)

    def look(self) -> list[tuple[_Filling, bool, int, int]]:
        """Return (filling, sealed, rows, bytes) of every filling not handed back, in order."""
        found = []
        for name, segment in self._segments.items():
            number = segment.number
            if number == segment.returned:
                continue
            filling = self._fillings.get(name)
            if filling is None or filling.number != number:
                filling = _Filling(segment, number, segment.first_row, segment.shipped)
                self._fillings[name] = filling
            # `sealed` before the count: the count of a sealed filling is final.
            sealed = segment.sealed == number
            found.append((filling, sealed, *segment.published))
        found.sort(key=lambda entry: entry[0].number)
        return found

    def take(
        self, now: float, flush_s: float, size_min: int, header: Callable[[int], bytes]
    ) -> Iterator[Piece]:
        """Yield the pieces that are due at *now*, each copied out when it is asked for.

        A piece is due when its segment is sealed, when *size_min* bytes wait, or when the
        oldest waits for *flush_s* seconds.  *header* makes a body's front from its row count.
        """
        waiting = False
        for filling, sealed, rows, size in self.look():
            taken_rows, taken_size = filling.taken
            if rows == taken_rows:
                # Sealed with nothing more in it: it is to be handed back.
                self._unsettled = self._unsettled or sealed
                continue
            waiting = True
            if self.since is None:
                self.since = now if self._emptied is None else self._emptied
            due = sealed or size - taken_size >= size_min or now - self.since >= flush_s
            if due:
                piece = Piece(
                    filling.first_row + taken_rows,
                    filling.first_row + rows,
                    filling.segment.copy(header(rows - taken_rows), taken_size, size),
                )
                filling.taken = (rows, size)
                filling.pieces.append((piece, rows, size))
                self._unsettled = True
                # Before the yield: the caller may not come back for more.
                waiting, self.since, self._emptied = False, None, now
                yield piece
        if not waiting:
            self.since, self._emptied = None, now

    def settle(self) -> bool:
        """Tell the writer what is done and hand back what is empty; True if something moved."""
        if not self._unsettled:
            return False
        self._unsettled = False
        moved = False
        for filling, sealed, rows, size in self.look():
            while filling.pieces and filling.pieces[0][0].done:
                _, done_rows, done_size = filling.pieces.popleft()
                filling.segment.ship(done_rows, done_size)
                moved = True
            done = filling.segment.shipped == (rows, size)
            if sealed and done and not self._keeps(filling):
                filling.segment.hand_back()
                moved = True
            elif filling.pieces:
                self._unsettled = True
        return moved

    def is_settled(self, row: int) -> bool:
        """Whether all rows below *row* are acknowledged or in the spool.

        The caller knows that they are published, and has every segment adopted since: then
        each lies in a filling that was handed back, or in one of those seen here.
        """
        self.settle()
        for filling, _, rows, size in self.look():
            shipped = filling.segment.shipped
            if filling.first_row + shipped[0] < row and shipped != (rows, size):
                return False
        return True

    def read_first(self) -> bytes:
        """Return the calls from the open call on, settled ones too; empty before there is one."""
        for filling, _, _, size in self.look():
            if self._keeps(filling):
                return filling.segment.copy(b"", 0, size)
        return b""

    def _keeps(self, filling: _Filling) -> bool:
        # The open call says where a run's rows go, and a later shipper has to read it too.
        return self.kind == "calls" and filling.number == 1

    @property
    def owed(self) -> bool:
        """Whether a published row is neither acknowledged nor in the spool."""
        return any(segment.owed for segment in self._segments.values())

    def waiting(self) -> list[Piece]:
        """Return the pieces that are taken and not done, oldest first."""
        fillings = sorted(self._fillings.values(), key=lambda filling: filling.number)
        return [p for filling in fillings for p, _, _ in filling.pieces if not p.done]

    def remove(self) -> None:
        """Remove the files; what a process still maps stays readable to it."""
        for name in self._segments:
            self.runtime.remove(name)
        self._segments.clear()
        self._fillings.clear()


def parse_segment_name(name: str) -> tuple[str, str, Kind, str] | None:
    """Return (process, run, kind, writer) of a segment's file name, None for any other name."""
    match = _SEGMENT_NAME.fullmatch(name)
    if match is None:
        return None
    kind: Kind = match["kind"]  # type: ignore[assignment]
    return match["process"], match["run"], kind, match["writer"]


def list_processes(runtime: Runtime) -> list[str]:
    """Return the ids of all processes with an entry in the runtime directory, dead ones too."""
    return [n[: -len(_ALIVE_SUFFIX)] for n in runtime.names() if n.endswith(_ALIVE_SUFFIX)]


def remove_process(runtime: Runtime, process: str) -> None:
    """Remove the entry of a process that is dead and owes nothing."""
    runtime.remove(process + _ALIVE_SUFFIX)
