"""Room: what bounds the memory of the bodies that wait for their commit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from . import Busy

WAITING_MAX: Final = 256 << 20
"""Bytes of decoded bodies that may wait for their commit: four of the largest bodies,
or a second of the fastest disk; more would only be latency (chosen)."""


class Room:
    """Room for WAITING_MAX bytes, shared by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting = 0

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        """Take room for *size* bytes that wait; raise Busy if there is none.

        A body larger than all the room is let in when nothing else waits.
        """
        with self._lock:
            if self._waiting and self._waiting + size > WAITING_MAX:
                raise Busy(f"{self._waiting >> 20} MiB of bodies wait to be written")
            self._waiting += size
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= size
