"""How a process ended, as seen from outside by the shipper, which is not its parent.

A pidfd is opened while the process lives, so that no other process can take its place.  At
the end the kernel (6.15 or newer) tells the exit status through it; before that, a zombie's
``/proc/<pid>/stat`` does, for as long as its parent has not looked.  Where neither can be
had, nothing is guessed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
from pathlib import Path
from typing import Final, NamedTuple

# include/uapi/linux/pidfd.h: _IOWR(0xFF, 11, struct pidfd_info), 64 bytes; the mask's bit 3
# asks for the exit status, which stands in the last word.
_INFO: Final = struct.Struct("<QQ11Ii")
_GET_INFO: Final = (3 << 30) | (_INFO.size << 16) | (0xFF << 8) | 11
_WANT_EXIT: Final = 1 << 3


class Death(NamedTuple):
    """A wait status in words, and whether the process was in charge of its end."""

    words: str
    killed: bool
    """By SIGKILL: nobody in the process could have known."""
    failed: bool
    """By another signal, or with a status that is not 0."""


class Witness:
    """Watches one process from its registration on; opens nothing if it is gone already."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._fd = -1
        with contextlib.suppress(OSError, AttributeError):
            self._fd = os.pidfd_open(pid)
        self._kills = _oom_kills(pid)
        self._events = _memory_events(pid)

    def testify(self) -> Death | None:
        """Say how the process ended; None if that cannot be known."""
        status = self._status()
        if status is None:
            return None
        number = status & 0x7F
        if not number:
            code = status >> 8
            return Death(f"it ended with status {code}", False, code != 0)
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        words = f"it was killed by signal {number} ({name})"
        if number == signal.SIGKILL:
            if self._events is not None and _read_kills(self._events) > self._kills:
                words += ", probably because the memory of its job was used up"
            return Death(words, True, True)
        return Death(words, False, True)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _status(self) -> int | None:
        if self._fd < 0:
            return None
        buffer = bytearray(_INFO.pack(_WANT_EXIT, *([0] * 13)))
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._fd, _GET_INFO, buffer)
            mask, *_, status = _INFO.unpack(buffer)
            if mask & _WANT_EXIT:
                return int(status)
        # A zombie: its last field is the status.
        with contextlib.suppress(OSError, ValueError, IndexError):
            stat = Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii", errors="replace")
            fields = stat.rpartition(")")[2].split()
            if fields[0] == "Z":
                return int(fields[-1])
        return None


def _memory_events(pid: int) -> Path | None:
    """Return the file in which the process's control group counts its out-of-memory kills."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    groups = Path("/sys/fs/cgroup")
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            events = groups / path.lstrip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            # The first version of control groups, on older clusters.
            events = groups / "memory" / path.lstrip("/") / "memory.oom_control"
        else:
            continue
        if events.exists():
            return events
    return None


def _oom_kills(pid: int) -> int:
    events = _memory_events(pid)
    return 0 if events is None else _read_kills(events)


def _read_kills(events: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in events.read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
