"""What Linux says about a process: its time, its sleep, its memory.

It imports next to nothing, because the memory of a process that imports it is measured.
"""

from __future__ import annotations

import os


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has used so far, all threads, to a hundredth."""
    with open(f"/proc/{pid}/stat") as file:
        # The name may hold anything, spaces too, but it ends at the last bracket.
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sleeps(pid: int) -> dict[str, int]:
    """Return, by thread, how often it went to sleep of its own will: a poll does it each time."""
    threads = os.listdir(f"/proc/{pid}/task")
    return {
        thread: int(_status(f"{pid}/task/{thread}")["voluntary_ctxt_switches"])
        for thread in threads
    }


def own_memory() -> int:
    """Return the bytes of memory that this process holds and that are not shared segments."""
    status = _status("self")
    return sum(int(status[name].split()[0]) << 10 for name in ("RssAnon", "RssFile"))


def is_running(pid: int) -> bool:
    """Whether there is such a process and it has not ended."""
    try:
        return _status(str(pid))["State"][0] not in "ZX"
    except OSError:
        return False


def _status(process: str) -> dict[str, str]:
    found = {}
    with open(f"/proc/{process}/status") as file:
        for line in file:
            name, _, value = line.partition(":")
            found[name] = value.strip()
    return found
