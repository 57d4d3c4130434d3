"""What lies on this node: what is there, what is whole, what is owed.  Looks, and changes nothing.

``simvue doctor`` and ``simvue spool`` say it in words.  Locks are asked about and never taken,
so that nobody who starts at this moment finds a door shut.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from simvue.runtime import (
    LOCK_NAME,
    Runtime,
    list_processes,
    parse_segment_name,
)
from simvue.spool import Flaw, RecordKind, walk

STALE_S: Final = 7 * 86400.0
"""A file that did not grow for so long has lost its writer; longer than a machine's repair."""

_FLOCK: Final = struct.Struct("hhqqi4x")
"""The kernel's ``struct flock``: type, whence, start, length, pid."""


# ---- The spool -----------------------------------------------------------------------------


@dataclass
class FileState:
    """One file of a spool directory."""

    path: Path
    size: int = 0
    age: float = 0.0
    """Seconds since it last grew."""
    sealed: bool = False
    """Whether its END record is there."""
    rows: dict[str, int] = field(default_factory=dict)
    """Rows in whole records, by run."""
    calls: int = 0
    names: dict[str, str] = field(default_factory=dict)
    """The runs' names, of those that are opened in it."""
    flaws: list[tuple[int, int, str]] = field(default_factory=list)
    """(first byte, end, a sentence) of each damaged stretch."""
    torn: int | None = None
    """Where its last record is cut off: what a crash leaves."""
    writers: list[int] = field(default_factory=list)
    """Processes of this user on this machine that have it open."""

    @property
    def host(self) -> str:
        """The machine that wrote it, as its name says."""
        return self.path.stem.rsplit("-", 2)[0]

    @property
    def state(self) -> str:
        """``open`` while it may grow, ``done``, or ``damaged``."""
        return "damaged" if self.flaws else self.path.suffix.removeprefix(".")

    @property
    def is_stale(self) -> bool:
        """Whether nobody seems to write it any more."""
        return self.path.suffix == ".open" and not self.writers and self.age >= STALE_S


def examine_file(path: Path) -> FileState:
    """Read all of a spool file.  Raises FileNotFoundError; other trouble is a flaw of the file."""
    found = FileState(path, writers=holders(path) if path.suffix == ".open" else [])
    about = path.stat()
    found.size, found.age = about.st_size, max(0.0, time.time() - about.st_mtime)
    try:
        for offset, end, content in walk(path):
            if isinstance(content, Flaw):
                if content.torn and path.suffix == ".open":
                    found.torn = offset
                else:
                    found.flaws.append((offset, end, content.reason))
            elif content.kind is RecordKind.END:
                found.sealed = True
            elif content.kind is RecordKind.CALL:
                found.calls += 1
                found.rows.setdefault(content.run, 0)
                if content.call.get("call") == "open":
                    name = (content.call.get("run") or {}).get("name") or content.call.get("find")
                    if name:
                        found.names[content.run] = str(name)
            else:
                rows = found.rows.get(content.run, 0)
                found.rows[content.run] = rows + content.end - content.first
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        found.flaws.append((0, found.size, str(error)))
    if path.suffix == ".done" and not found.sealed and not found.flaws:
        found.flaws.append((found.size, found.size, f"{path} was cut short: its end is missing"))
    return found


def holders(path: Path) -> list[int]:
    """Return the processes of this user, on this machine, that have *path* open."""
    try:
        wanted = path.stat()
    except FileNotFoundError:
        return []
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            opened = list((process / "fd").iterdir())
        except OSError:
            continue  # Another user's, or it ended.
        for link in opened:
            try:
                about = link.stat()
            except OSError:
                continue
            if (about.st_dev, about.st_ino) == (wanted.st_dev, wanted.st_ino):
                found.append(int(process.name))
                break
    return found


# ---- The runtime directory -----------------------------------------------------------------


@dataclass
class ShipperState:
    """The node's shipper, or what is left of the last one."""

    pid: int | None = None
    """Who holds the office; 0 for somebody whose number is not known here."""
    state: str = ""
    """The letter of its state in /proc; T is stopped, Z is dead and not yet buried."""
    last_words: str = ""
    """The last line of its log."""

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped, by SIGSTOP say: it keeps its office, and ships nothing."""
        return self.state in ("T", "t")


@dataclass
class Debt:
    """What one process's run has in shared memory that is neither acknowledged nor on disk."""

    run: str
    process: str
    pid: int | None
    """The process that logs, if it lives; 0 where its number is not known here."""
    rows: int = 0
    calls: int = 0
    dropped: int = 0
    """Rows lost to a full queue, in all."""


def examine_shipper(runtime: Runtime) -> ShipperState:
    """Say who is the shipper in *runtime*, and how it is."""
    found = ShipperState(pid=_lock_holder(runtime, LOCK_NAME))
    if found.pid:
        found.state = _state_of(found.pid)
    try:
        log = os.open("shipper.log", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=runtime.fd)
    except OSError:
        return found
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file:
            found.last_words = line.strip() or found.last_words
    return found


def examine_processes(runtime: Runtime) -> dict[str, int | None]:
    """Return who has an entry in *runtime*: its pid, 0 if that is not known here, None if it died.

    To be asked by another process: one that closes its own entry's file loses the lock on it.
    """
    return {
        process: _lock_holder(runtime, f"{process}.alive") for process in list_processes(runtime)
    }


def examine_debts(runtime: Runtime) -> list[Debt]:
    """Count what each run of each process owes, and has dropped; those that are even are left out.

    To be asked by another process, as ``examine_processes``.
    """
    pids = examine_processes(runtime)
    debts: dict[tuple[str, str], Debt] = {}
    dropped: dict[tuple[str, str], dict[str, int]] = {}
    for name in sorted(runtime.names()):
        parsed = parse_segment_name(name)
        segment = runtime.map_segment(name) if parsed else None
        if parsed is None or segment is None:
            continue
        process, run, kind, writer = parsed
        debt = debts.setdefault((process, run), Debt(run, process, pids.get(process)))
        # Each segment of a writer has its count so far, so the largest is the writer's.
        lost = dropped.setdefault((process, run), {})
        lost[writer] = max(lost.get(writer, 0), segment.dropped)
        if segment.number == segment.returned:
            continue
        owed = segment.published[0] - segment.shipped[0]
        if kind == "calls":
            debt.calls += owed
        else:
            debt.rows += owed
    for key, debt in debts.items():
        debt.dropped = sum(dropped[key].values())
    return [debt for debt in debts.values() if debt.rows or debt.calls or debt.dropped]


def _lock_holder(runtime: Runtime, name: str) -> int | None:
    """Return the process that has a record lock on a file; 0 if it is not known here, else None."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=runtime.fd)
    except OSError:
        return None
    try:
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(fd, fcntl.F_GETLK, question)
    finally:
        os.close(fd)
    kind, _, _, _, pid = _FLOCK.unpack(answer)
    # In another pid namespace the kernel has no number for it.
    return None if kind == fcntl.F_UNLCK else max(0, int(pid))


def _state_of(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The name before it is in brackets, and may hold anything.
    return text.rpartition(")")[2].split()[0]
