"""The runtime directory: what one user has on one node, and which of its processes live.

::

    /dev/shm/simvue-UID/                           0700, reached by its descriptor only
        <process>.alive                            locked from a process's birth to its death
        <process>.<run>.<kind>.<writer>.<n>.seg    a segment, see _batch.pxd; or, where memory
                                                   is full, a link to one that overflowed
        shipper.sock  shipper.lock  shipper.log    the node's one shipper
        shipper.starting                           locked by whoever starts it
    $TMPDIR/simvue-UID/                            the same rules
        <random>.overflow                          a segment on disk, of which there is more

What a file is, is in its name, so a shipper that starts anew learns all from one listing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, TypeVar

from simvue._batch import Segment
from simvue.exception import ConfigurationError
from simvue.room import Room, make_room
from simvue.wire import new_id

Kind = Literal["metrics", "events", "calls"]

_SEGMENT_NAME: Final = re.compile(
    r"(?P<process>\w{22})\.(?P<run>\w{22})\."
    r"(?P<kind>metrics|events|calls)\.(?P<writer>\w{22})\.\d+\.seg"
)
_ALIVE_SUFFIX: Final = ".alive"
_DRAFT_SUFFIX: Final = ".new"
_OVERFLOW_SUFFIX: Final = ".overflow"
_STARTING_NAME: Final = "shipper.starting"
SOCKET_NAME: Final = "shipper.sock"
LOCK_NAME: Final = "shipper.lock"


class Runtime(Room):
    """The directory of one user on one node for segments, locks and the shipper's socket.

    Raises ConfigurationError if no private directory can be had.
    """

    @classmethod
    def open(cls) -> Runtime:
        """Open the user's runtime directory, making it if need be.

        ``SIMVUE_RUNTIME_DIRECTORY``, else ``/dev/shm/simvue-UID``, else ``$TMPDIR/simvue-UID``;
        where a stranger holds that name, a random one that is remembered at home.
        """
        chosen = os.environ.get("SIMVUE_RUNTIME_DIRECTORY")
        if chosen:
            # The shipper works in another directory, and the simulation may change its own.
            path = os.path.abspath(chosen)
            make_room(path)
            return cls(path)
        parents = [p for p in ("/dev/shm", temporary_directory()) if os.access(p, os.W_OK)]
        for parent in parents:
            with contextlib.suppress(ConfigurationError, OSError):
                return _open_below(cls, parent)
        raise ConfigurationError(
            f"no private directory can be made under {' or '.join(parents) or '/dev/shm'}; "
            "set SIMVUE_RUNTIME_DIRECTORY to one that only you can write to"
        )

    def open_overflow(self) -> Room:
        """Open the room for segments that do not fit here, which the caller closes.

        ``$TMPDIR/simvue-UID``, by the same rules.  Raises ConfigurationError if it cannot be
        had, or is no help as it lies on this directory's file system; OSError as the system says.
        """
        room = _open_below(Room, os.path.abspath(temporary_directory()))
        if os.fstat(room.fd).st_dev == os.fstat(self.fd).st_dev:
            room.close()
            raise ConfigurationError(f"{room.path} is on the same file system as {self.path}")
        return room

    def make_segment(self, name: str, size: int) -> Segment | None:
        """Make a reserved, pre-faulted and formatted segment; None where it cannot be had."""
        draft = name + _DRAFT_SUFFIX
        try:
            segment = Segment(self._reserve_anywhere(draft, size), name)
            segment.format()
            # The name is what the shipper looks for: it appears when the header stands.
            os.rename(draft, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except (OSError, ConfigurationError):
            self.remove(draft)
            return None
        return segment

    def map_segment(self, name: str) -> Segment | None:
        """Map a segment that a writer made; None if it is gone or not one of ours."""
        try:
            with self._place_of(name) as (room, file):
                memory = room.map(file)
            segment = Segment(memory, name) if memory is not None else None
        except (ConfigurationError, ValueError):
            return None
        return segment if segment is not None and segment.is_whole else None

    def remove(self, name: str) -> None:
        """Remove a file if it is there, and what it leads to."""
        with contextlib.suppress(ConfigurationError), self._place_of(name) as (room, file):
            room.unlink(file)
        self.unlink(name)

    def _reserve_anywhere(self, draft: str, size: int) -> mmap.mmap:
        if self.has_room(size):
            # Another process may have been faster.
            with contextlib.suppress(OSError):
                return self.reserve(draft, size)
        with contextlib.closing(self.open_overflow()) as room:
            if not room.has_room(size):
                raise OSError(errno.ENOSPC, "too little is free", room.path)
            # Not a segment's name: this may be the runtime directory of a node without memory.
            # And short: a link of 127 bytes needs no block, which a full tmpfs does not have.
            file = new_id() + _OVERFLOW_SUFFIX
            # The link first: who finds the draft of a process that died finds the file.
            os.symlink(os.path.join(room.path, file), draft, dir_fd=self.fd)
            return room.reserve(file, size)

    @contextlib.contextmanager
    def _place_of(self, name: str) -> Iterator[tuple[Room, str]]:
        """Give the room in which a file truly lies, and its name there."""
        try:
            target = os.readlink(name, dir_fd=self.fd)
        except OSError:
            target = None
        if target is None:
            yield self, name
        else:
            path, file = os.path.split(target)
            with contextlib.closing(Room(path)) as room:
                yield room, file


def temporary_directory() -> str:
    """Return ``$TMPDIR``, else ``/tmp``."""
    return os.environ.get("TMPDIR") or "/tmp"


_AnyRoom = TypeVar("_AnyRoom", bound=Room)


def _open_below(kind: type[_AnyRoom], parent: str) -> _AnyRoom:
    """Open the user's room below *parent*, where everybody may make directories."""
    name = f"simvue-{os.getuid()}"
    path = os.path.join(parent, name)
    try:
        make_room(path)
        return kind(path)
    except ConfigurationError:
        if not os.path.lexists(path):
            # Nobody holds the name: it is the parent that takes none.
            raise
    path = os.path.join(parent, _remembered_name(name))
    make_room(path)
    return kind(path)


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


def parse_segment_name(name: str) -> tuple[str, str, Kind, str] | None:
    """Return (process, run, kind, writer) of a segment's file name, None for any other name."""
    match = _SEGMENT_NAME.fullmatch(name)
    if match is None:
        return None
    kind: Kind = match["kind"]  # type: ignore[assignment]
    return match["process"], match["run"], kind, match["writer"]


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
        draft = self.id + _DRAFT_SUFFIX
        self._fd = runtime.make(draft)
        fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # For people only: memory may be full, and a name and a lock take none of it.
        with contextlib.suppress(OSError):
            os.write(self._fd, f"{self.pid}\n".encode())
        # Named once it is locked: a shipper that finds the name finds the lock.
        os.rename(draft, self.id + _ALIVE_SUFFIX, src_dir_fd=runtime.fd, dst_dir_fd=runtime.fd)


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
        self._fd = os.open(_STARTING_NAME, flags, 0o600, dir_fd=runtime.fd)

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


def list_processes(runtime: Runtime) -> list[str]:
    """Return the ids of all processes with an entry in the runtime directory, dead ones too."""
    return [n[: -len(_ALIVE_SUFFIX)] for n in runtime.names() if n.endswith(_ALIVE_SUFFIX)]


def remove_process(runtime: Runtime, process: str) -> None:
    """Remove the entry of a process that is dead and owes nothing, and what it had not finished."""
    for name in runtime.names():
        if name.startswith(process) and name.endswith(_DRAFT_SUFFIX):
            runtime.remove(name)
    runtime.remove(process + _ALIVE_SUFFIX)
