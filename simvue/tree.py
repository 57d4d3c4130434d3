"""Process trees: who is whose child on this machine, and what each uses, as /proc tells.

One table is read for all that ask at the same moment, 64 ranks say: 10 us a process of the
machine, from one file each (measured on 2 busy cores).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

_SLICE_S: Final = 0.02
"""Between two looks whether what was asked to end has ended."""

GRACE_S: Final = 5.0
"""Between SIGTERM and SIGKILL: for an mpirun to end its ranks on other nodes, say."""


class Process(NamedTuple):
    """One process; ``started`` in ticks since the boot tells it from a later one of its pid."""

    pid: int
    parent: int
    started: int
    cpu_s: float
    """CPU time of all its threads, and of the children that it has waited for."""
    memory: int
    """Resident bytes."""
    ended: bool
    """It is a zombie: nobody has waited for it yet."""


class Table:
    """Processes of the machine at the moment ``time`` of the monotonic clock."""

    def __init__(self, time: float, processes: Iterable[Process]) -> None:
        self.time = time
        self.processes: dict[int, Process] = {}
        self._children: defaultdict[int, list[Process]] = defaultdict(list)
        for process in processes:
            self.processes[process.pid] = process
            self._children[process.parent].append(process)

    def tree(self, pid: int) -> list[Process]:
        """Return the process and all its descendants, parents first; empty if it is gone."""
        if pid not in self.processes:
            return []
        found = [self.processes[pid]]
        for process in found:
            found.extend(self._children[process.pid])
        return found

    def has(self, process: Process) -> bool:
        """Whether *process*, which was seen before, is still there."""
        now = self.processes.get(process.pid)
        return now is not None and now.started == process.started


def read_table(root: str = "/proc") -> Table:
    """Read every process that may be seen; *root* is where they are listed."""
    now = time.monotonic()
    found = (read_process(int(name), root) for name in os.listdir(root) if name.isdigit())
    return Table(now, (process for process in found if process is not None))


def read_process(pid: int, root: str = "/proc") -> Process | None:
    """Return what /proc says of one process; None if it is gone."""
    try:
        with open(f"{root}/{pid}/stat", "rb", buffering=0) as file:
            return parse_stat(file.read(1024))
    except (OSError, ValueError):
        return None


def parse_stat(text: bytes) -> Process:
    """Read the line of a ``/proc/<pid>/stat``; raise ValueError if it is none."""
    # The name stands in parentheses and may hold any character, these too.
    front, closed, rest = text.rpartition(b") ")
    fields = rest.split()
    if not closed or len(fields) < 22:
        raise ValueError("not the line of a process")
    # proc_pid_stat(5) counts from 1, and the third field is the first one here.
    used = sum(map(int, fields[11:15]))
    return Process(
        pid=int(front.partition(b" ")[0]),
        parent=int(fields[1]),
        started=int(fields[19]),
        cpu_s=used / _TICKS,
        memory=int(fields[21]) * _PAGE,
        ended=fields[0] in (b"Z", b"X"),
    )


def end(processes: Iterable[Process], grace_s: float = GRACE_S) -> None:
    """Ask *processes* to end, and kill those that are still there *grace_s* seconds later.

    Returns as soon as all are gone.  One that has the pid of another now is left alone.
    """
    left = _signal(processes, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while left and time.monotonic() < deadline:
        time.sleep(_SLICE_S)
        left = [process for process in left if _is_there(process)]
    _signal(left, signal.SIGKILL)


def _signal(processes: Iterable[Process], number: signal.Signals) -> list[Process]:
    found = [process for process in processes if _is_there(process)]
    for process in found:
        # It may be gone by now, or somebody else's: a code that runs as root, say.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)
    return found


def _is_there(process: Process) -> bool:
    now = read_process(process.pid)
    return now is not None and now.started == process.started and not now.ended
