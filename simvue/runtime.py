"""The runtime directory: what one user has on one node, and which of its processes live.

::

    /dev/shm/simvue-UID/                           0700, reached by its descriptor only
        <process>.alive                            locked from a process's birth to its death
        <process>.<run>.<kind>.<writer>.<n>.seg    a segment, see _batch.pxd
        shipper.sock  shipper.lock  shipper.log    the node's one shipper
        shipper.starting                           locked by whoever starts it

What a file is, is in its name, so a shipper that starts anew learns all from one listing.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import stat
import threading
from pathlib import Path
from typing import Final, Literal

from simvue._batch import Segment
from simvue.exception import ConfigurationError
from simvue.wire import new_id

Kind = Literal["metrics", "events", "calls"]

_SEGMENT_NAME: Final = re.compile(
    r"(?P<process>\w{22})\.(?P<run>\w{22})\."
    r"(?P<kind>metrics|events|calls)\.(?P<writer>\w{22})\.\d+\.seg"
)
_ALIVE_SUFFIX: Final = ".alive"
_STARTING_NAME: Final = "shipper.starting"
SOCKET_NAME: Final = "shipper.sock"
LOCK_NAME: Final = "shipper.lock"


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
    """Remove the entry of a process that is dead and owes nothing."""
    runtime.remove(process + _ALIVE_SUFFIX)
