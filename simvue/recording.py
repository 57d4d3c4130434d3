"""Recording: one run in one process while it is open; its streams, and what the shipper is told.

::

    Run ── log_* ────────> metrics, events ┐
        ── write ────────> calls           ├── segments ──> the shipper
        ── register, finish ── link ───────┴─ its socket ──^

Each stream is a queue of its own (queue.py), so a fork or an unpickled run, which is a writer of
its own, joins the same run by an open call in a calls stream of its own.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from simvue import _batch
from simvue.arguments import plain
from simvue.config import Config
from simvue.link import Link, this_link
from simvue.queue import ROWS, WAIT_MS_MAX, Queue
from simvue.runtime import this_process

_logger = logging.getLogger("simvue")

_SPOOL_BEFORE_S: Final = 3.0
"""So long before its deadline, ``finish`` asks for the rest to be put on disk: what a disk
takes for 64 MiB when it is slow."""

_SLEEP_OF_SHIPPER_S: Final = 0.5
"""More than a shipper that is well takes to answer; it is awake, as it has just settled rows."""

_FINISH_SLICE_S: Final = 0.001
_FINISH_SLICE_S_MAX: Final = 0.02
"""Between two looks while ``finish`` waits: soon at first, then out of the way of others."""


class Recording:
    """The streams of *run* in this process; nothing is written before ``open`` or ``join``.

    *run* is the id under which they lie in shared memory.  *offline* says that no server is to
    be contacted; *share* who this process is among those that share the run, if any do.
    """

    def __init__(
        self,
        run: str,
        config: Config,
        *,
        offline: bool,
        share: Mapping[str, Any] | None,
        policy: str | None,
        blocking: bool,
    ) -> None:
        self.run = run
        self._config = config
        self._offline = offline
        self._share = share
        self._joined = 0
        self._noted: _batch.Segment | None = None
        self.metrics, self.events = (
            Queue(
                run,
                kind,
                size_max=config.buffer_size,
                policy=policy or config.policy,
                wait_ms_max=math.inf if blocking else WAIT_MS_MAX,
                on_roll=lambda: this_link().nudge(),
                on_stall=lambda: this_link().revive(),
                on_fork=self.join,
            )
            for kind in ROWS
        )
        self._calls = Queue(run, "calls")

    @property
    def dropped(self) -> int:
        """Rows lost to a full queue in this process so far."""
        return sum(queue.stream.dropped for queue in self._queues)

    @property
    def link(self) -> Link:
        """The way to the shipper."""
        return link_of(self._config)

    # ---- Opening ----------------------------------------------------------------------

    def open(self, call: dict[str, Any], resources: Mapping[str, Any]) -> None:
        """Write the open *call*, and how the shipper is to measure a run that starts."""
        self._joined = os.getpid()
        measured = None
        if not call["created"]:
            # The machine's own clocks, so that a later shipper can go on from there.
            measured = {"start": time.monotonic(), "cpu_s": sum(os.times()[:4]), **resources}
        self._write_open({**call, "resources": measured})
        # The signal that ends the process is noted where the shipper finds it.
        self._noted = self._calls.stream.segment
        if self._noted is not None:
            self._noted.note_signals()

    def join(self) -> None:
        """Take part in the run from a process that did not open it: a fork, an unpickled one."""
        if self._joined != os.getpid():
            self._joined = os.getpid()
            self._write_open({"call": "open", "run": None, "created": False, "joined": True})

    def _write_open(self, call: dict[str, Any]) -> None:
        """Append an open call: *call*, and where the rows behind it go."""
        config = self._config
        self.write(
            {
                "resources": None,
                **call,
                "share": self._share,
                "server": None if self._offline else server_of(config),
                "offline": self._offline,
                "cache": os.path.abspath(config.cache),
                "flush_interval": config.flush_interval,
                "linger": config.linger,
            }
        )

    def register(self, aborted: Callable[[], None]) -> dict[str, Any] | None:
        """Have the shipper register the run, and wait for the answer; None if there is none.

        *aborted* is called in the link's thread whenever the server asks the run to stop.
        """
        link = self.link
        link.runs[self.run] = aborted
        question = {"open": self.run, "process": this_process().id}
        return link.ask(question, self._config.init_timeout)

    def withdraw(self) -> None:
        """Have the shipper forget a run that was refused."""
        self.link.tell({"forget": self.run, "process": this_process().id})

    # ---- While it is open ---------------------------------------------------------------

    def write(self, call: dict[str, Any]) -> bool:
        """Append *call* to the calls stream, behind the rows that this process logged so far."""
        marks = [queue.mark for queue in (self.metrics, self.events)]
        call["after"] = {writer: row for writer, row in marks if row}
        text = json.dumps(call, separators=(",", ":"), default=plain).encode()
        return bool(self._calls.stream.write(len(text).to_bytes(4, "big") + text))

    @property
    def _queues(self) -> tuple[Queue, Queue, Queue]:
        return self.metrics, self.events, self._calls

    # ---- Closing ------------------------------------------------------------------------

    def finish(self, name: str | None) -> bool:
        """Say that no more follows, and wait until all is on the server, or on disk.

        Returns False, with a warning that calls the run *name*, if that takes longer than
        ``close_timeout``.
        """
        if self._joined != os.getpid() and not any(queue.mark[1] for queue in self._queues):
            # A fork that never logged leaves no trace.
            return True
        self.join()
        self.write({"call": "end"})
        return self._wait_until_sent(name)

    def forget(self) -> None:
        """Hear no more of the run in this process."""
        if self._noted is not None:
            self._noted.forget_signals()
        this_link().runs.pop(self.run, None)

    def _wait_until_sent(self, name: str | None) -> bool:
        link, process = self.link, this_process()
        link.revive()
        begun = time.monotonic()
        deadline = begun + self._config.close_timeout
        spool_at = max(begun, deadline - _SPOOL_BEFORE_S)
        link.tell({"flush": self.run, "process": process.id})
        asked = False
        slice_s = _FINISH_SLICE_S
        while any(queue.owed for queue in self._queues):
            # The last shipper may have gone: what it left is for the next one.
            now = time.monotonic()
            link.revive(max(0.0, deadline - now))
            if now > spool_at and not asked:
                asked = link.tell({"spool": self.run, "process": process.id})
            if now > deadline:
                _logger.warning(
                    "run %s: not everything could be sent or put on disk within %g s; it lies in "
                    "%s, and 'simvue ship' sends it",
                    name, self._config.close_timeout, process.runtime.path,
                )  # fmt: skip
                return False
            time.sleep(slice_s)
            slice_s = min(slice_s * 1.2, _FINISH_SLICE_S_MAX)
        if not self._offline:
            self._tell_what_is_left(name, spool_at)
        return True

    def _tell_what_is_left(self, name: str | None, deadline: float) -> None:
        """Say where that lies which is safe, but not yet on the server.

        Artifacts that are on their way are waited for until *deadline*.
        """
        left = self._ask_what_is_left()
        while left.get("moving") and time.monotonic() < deadline:
            time.sleep(_FINISH_SLICE_S_MAX)
            left = self._ask_what_is_left()
        directory = left.get("directory")
        if directory:
            _logger.warning(
                "run %s: the server did not take everything yet%s; the rest lies in %s and is sent "
                "when it answers, or by 'simvue ship'",
                name, f" ({left['trouble']})" if left.get("trouble") else "", directory,
            )  # fmt: skip

    def _ask_what_is_left(self) -> dict[str, Any]:
        asked = self.link.ask({"left": self.run}, _SLEEP_OF_SHIPPER_S) or {}
        return asked.get("content") or {}


def link_of(config: Config) -> Link:
    """Return this process's link to the shipper, told whether it may start one."""
    link = this_link()
    link.starts = config.shipper == "auto"
    return link


def server_of(config: Config) -> dict[str, Any]:
    """Return what the shipper has to know of the server: for shared memory only."""
    return {
        "url": config.url,
        "token": config.token,
        "token_source": config.token_source,
        "ca_file": str(config.ca_file) if config.ca_file else None,
        "proxy": config.proxy,
    }
