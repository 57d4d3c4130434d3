"""The shared queue, the writer's side: segments in shared memory; make, roll, seal.

::

    the run's process                      the shipper (intake.py)
    Queue.roll   fill the next free one    Intake.take    rows published, not yet taken
       │                                      │
       v      segments: _batch.pxd            v
    Segment.is_free?  <── hand_back ──     Intake.settle  acknowledged, or in the spool

docs/design/queue.md draws the states of a segment.
"""

from __future__ import annotations

import logging
import math
import mmap
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from simvue._batch import Segment, Stream
from simvue.exception import ConfigurationError
from simvue.runtime import Kind, this_process
from simvue.wire import BODY_SIZE_MAX, new_id

_logger = logging.getLogger("simvue")

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

ASK_AGAIN_S: Final = 0.02
"""How long a writer that could not grow takes no for an answer.  To ask the file system costs
some 50 us, so that many drops would slow the simulation down; this is one in 400 at most."""

_WAIT_SLICE_S: Final = 0.0005
"""Half of the shipper's fastest poll, so a freed segment is seen soon and signals are served."""


class Queue:
    """One writer's segments: used in turn, growing in number and size up to *size_max* bytes.

    ``stream`` is what rows are written to.  *on_roll* is called when a segment is full,
    *on_stall* when the shipper makes no progress: it may be gone.  After a fork the stream has
    left its parent's segments; the child's first roll makes this queue a new writer and calls
    *on_fork*.
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
        on_fork: Callable[[], object] = lambda: None,
    ) -> None:
        self.run = run
        self.kind: Kind = kind
        self.size_max = size_max
        self.policy = policy
        self.wait_ms_max = wait_ms_max
        self._on_roll = on_roll
        self._on_stall = on_stall
        self._on_fork = on_fork
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
        # Until when, and from which size on, a row is dropped unless a segment comes back.
        self._full_until = 0.0
        self._full_size = 0
        self._told = False
        self._rolling = threading.RLock()

    def roll(self, stream: Stream, size: int) -> bool:
        """Put a segment in place that has room for a row of *size* bytes; False: drop the row.

        The system calls on the road of a row stand here: once a segment, and while rows are
        dropped once in ASK_AGAIN_S.
        """
        if self._pid != os.getpid():
            self._begin()
            self._on_fork()
        with self._rolling:
            if stream.fits(size):
                # Another thread rolled while this one waited for the lock.
                return True
            if self._is_known_full(size):
                return False
            full = stream.segment
            if stream.seal():
                self._on_roll()
            self._move_house()
            if self._switch(stream, full, size) or self._grow(stream, full, size):
                self._stalled = False
                return True
            if self._is_patient:
                self._stalled = not self._wait(stream, full, size)
                if not self._stalled:
                    return True
            self._full_until, self._full_size = time.monotonic() + ASK_AGAIN_S, size
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

    @property
    def _is_patient(self) -> bool:
        """Whether a row that finds no room waits for some."""
        return self.policy != "drop" and not self._stalled and bool(self._segments)

    def _is_known_full(self, size: int) -> bool:
        """Whether a row of *size* bytes was refused just now, would not wait, and nothing changed.

        Reads memory and a clock: what a dropped row costs, it costs its simulation.
        """
        return (
            size >= self._full_size
            and not self._is_patient
            and time.monotonic() < self._full_until
            and not any(s.is_free and s.capacity >= size for s in self._segments)
        )

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
