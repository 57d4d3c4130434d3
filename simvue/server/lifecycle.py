"""Lifecycle: the server's own look at its runs, to notice those that fell silent.

A running run that gave no sign of life for longer than its ``heartbeat_timeout`` is
``lost``; its next sign of life makes it ``running`` again.  Only the server's clock
counts, and a server that was down has heard nobody: opening the store is a sign of life
of every run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from simvue.exception import StoreError

from .store import Busy, Store

# How often the runs are looked at: a small part of the default timeout of 180 s.
INTERVAL_S: Final = 3.0


async def watch(
    store: Store, interval: float = INTERVAL_S, clock: Callable[[], float] = time.time
) -> None:
    """Mark silent runs as lost every *interval* seconds, until cancelled."""
    while True:
        await asyncio.sleep(interval)
        try:
            await asyncio.to_thread(store.mark_lost, clock())
        except (Busy, StoreError):
            # The disk is slow or full, which every request is told; who is silent now will
            # still be silent at the next look.
            continue
